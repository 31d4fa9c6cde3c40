"""HTTP that waits for nobody without end: a request's head comes soon and stays small, or the line is cut.

uvicorn bounds neither. A proxy in front does, but a few hundred half-open requests must not be able to use up
what this process may open when there is none, or a careless one.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# From the first byte, or from the connection, to the empty line.
HEAD_SECONDS = 15.0
# Proxies forward 32 to 64 KiB at most; ours have less than one.
HEAD_MAX_BYTES = 64 * 1024


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to its patience."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What came with the end of a head is its body, and counted where bodies are read.
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self._cut()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def _begin_head(self) -> None:
        self._head_bytes = 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)

    def _end_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._end_head()
        # Nobody reads what is left to write to somebody who is cut.
        self.transport.abort()
