"""A SendGrid that only counts: 202 and a unique X-Message-Id, as fast as a socket allows.

    python -m mailer.sandbox.sink --port 0 --latency-ms 150

Prints its port, then answers until it is ended; `GET /count` says what came. For measuring our own
side only: it checks nothing, keeps nothing and shows nothing. Loopback only.
"""

import argparse
import asyncio
import secrets
import sys
from dataclasses import dataclass, field
from typing import cast

import orjson

HOST = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024
# Once in each personalization; inside a JSON string the closing quote would be `\"`.
MARK = b'"to":'


@dataclass(slots=True)
class Count:
    """What came so far."""

    requests: int = 0
    personalizations: int = 0
    body_bytes: int = 0
    prefix: str = field(default_factory=lambda: secrets.token_urlsafe(8)[:10])

    def message_id(self) -> str:
        """22 characters, never given twice."""
        return f"{self.prefix}{self.requests:012d}"


class Sink(asyncio.Protocol):
    """One connection: heads are parsed for their length, bodies are counted as they pass."""

    def __init__(self, count: Count, latency_seconds: float) -> None:
        self._count = count
        self._latency = latency_seconds
        self._transport: asyncio.Transport
        self._head = bytearray()
        self._left = 0  # bytes of the body still to come
        self._tail = b""  # end of the last piece: a mark may be cut in two
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        while data:
            data = self._body(data) if self._in_body else self._read_head(data)

    def _read_head(self, data: bytes) -> bytes:
        """Collect a head; what lies behind it."""
        self._head += data
        end = self._head.find(HEAD_END)
        if end < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                self._transport.abort()
            return b""
        head, rest = bytes(self._head[:end]), bytes(self._head[end + len(HEAD_END) :])
        self._head.clear()
        if head.startswith(b"GET "):
            self._transport.write(_answer(b"200 OK", orjson.dumps(_shown(self._count))))
            return rest
        length = _content_length(head)
        if length is None:
            self._transport.write(_answer(b"411 Length Required"))
            self._transport.close()
            return b""
        if b"\r\nexpect:" in head.lower():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._left, self._in_body, self._tail = length, True, b""
        return rest if length else self._end(rest)

    def _body(self, data: bytes) -> bytes:
        piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self._count.body_bytes += len(piece)
        self._count.personalizations += (self._tail + piece).count(MARK)
        self._tail = (self._tail + piece[-len(MARK) + 1 :])[-len(MARK) + 1 :]
        return rest if self._left else self._end(rest)

    def _end(self, rest: bytes) -> bytes:
        self._in_body = False
        self._count.requests += 1
        answer = _answer(b"202 Accepted", b"", f"X-Message-Id: {self._count.message_id()}\r\n".encode())
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._write, answer)
        else:
            self._transport.write(answer)
        return rest

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


def _answer(status: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def _shown(count: Count) -> dict[str, int]:
    return {
        "requests": count.requests,
        "personalizations": count.personalizations,
        "body_bytes": count.body_bytes,
    }


async def _serve(port: int, latency_seconds: float) -> None:
    count = Count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(count, latency_seconds), HOST, port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mailer.sandbox.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="time before each answer")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        try:
            runner.run(_serve(chosen.port, chosen.latency_ms / 1000))
        except KeyboardInterrupt:
            return


def _fastest_loop() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # none for Windows
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
