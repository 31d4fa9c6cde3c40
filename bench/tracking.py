"""Asks for pixels and clicks of a server in its own process; prints hits a second and p99, targets beside.

    python -m bench.tracking [SECONDS]

Loopback only; ends by itself. Every answer comes after its hit was committed, and every hit is counted
in the database at the end.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop
from sqlalchemy import func, select

from bench.doors import served
from bench.sent import LINKS, Sent, make_sent
from mailer.links import Purpose
from mailer.tables import events

SECONDS = 5.0
LETTERS = 200_000
CONNECTIONS = 128
TARGET = 10_000
TARGET_P99_MS = 25.0
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
WARM_UP_SECONDS = 1.0


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, requests: list[bytes], until: float, latencies: list[float]) -> None:
        self._requests = requests
        self._until = until
        self._latencies = latencies
        self._next = 0
        self._asked_at = 0.0
        self._seen = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._ask()

    def data_received(self, received: bytes) -> None:
        self._seen += received
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 302")):
            self.done.set_exception(RuntimeError(head.decode("latin-1").splitlines()[0]))
            self._transport.close()
            return
        self._seen = b""
        self._latencies.append(time.perf_counter() - self._asked_at)
        if time.perf_counter() < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


def main(seconds: float = SECONDS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sent = make_sent(Path(folder), LETTERS, LETTERS)
        print(f"tracking: {CONNECTIONS} connections for {seconds:.0f} s each", flush=True)
        answered = 0
        with served(sent.folder) as url:
            for what in ("pixel", "click"):
                requests = _requests(sent, what, url)
                answered += len(uvloop.run(_ask_for(url, requests, WARM_UP_SECONDS)))
                started = time.perf_counter()
                latencies = uvloop.run(_ask_for(url, requests, seconds))
                took = time.perf_counter() - started
                answered += len(latencies)
                p99 = sorted(latencies)[int(len(latencies) * 0.99)] * 1000
                print(
                    f"  {what}: {len(latencies) / took:>8,.0f} hits/s, p99 {p99:5.1f} ms"
                    f"    target >= {TARGET:,}, <= {TARGET_P99_MS:.0f} ms",
                    flush=True,
                )
        with sent.database.reader() as connection:
            found = connection.execute(select(func.count()).select_from(events)).scalar_one() - LETTERS
        print(f"  answered {answered:,}, stored {found:,}")
        sent.database.close()


async def _ask_for(url: str, requests: list[bytes], seconds: float) -> list[float]:
    parts = urlsplit(url)
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    share = len(requests) // CONNECTIONS
    askers = []
    for number in range(CONNECTIONS):
        own = requests[number * share : (number + 1) * share]
        _, asker = await asyncio.get_running_loop().create_connection(
            lambda own=own: Asker(own, until, latencies),  # type: ignore[misc]
            parts.hostname or "",
            parts.port or 0,
        )
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    return latencies


def _requests(sent: Sent, what: str, url: str) -> list[bytes]:
    made = []
    for letter in range(1, LETTERS + 1, 10):
        token = sent.tokens.sign(Purpose.TRACK, letter)
        path = f"/o/{token}.gif" if what == "pixel" else f"/c/{token}/{sent.links[letter % LINKS]}"
        made.append(
            f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nUser-Agent: {AGENT}\r\n\r\n".encode()
        )
    return made


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.removeprefix(b"content-length:"))
    return 0


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:2]))
