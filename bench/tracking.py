"""Asks for pixels and clicks of a server in its own process; prints hits a second and p99, targets beside.

    python -m bench.tracking [SECONDS]

Twice each: offered at the target's rate, when an answer's time counts from when its request was due; and
as fast as answers come, every connection asking again at once, when it counts mostly how many wait in line.
Loopback only; ends by itself. Every answer comes after its hit was committed, and every hit is counted
in the database at the end.
"""

import asyncio
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
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
STORED_EVENTS = 1_000_000
# Asking as fast as answers come: 10,000 a second are 12.8 ms for each of them.
BUSY_CONNECTIONS = 128
# Offered: enough for a quarter of a second's requests to be open at once.
OFFERED_CONNECTIONS = 256
TARGET = 10_000
TARGET_P99_MS = 25.0
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
WARM_UP_SECONDS = 1.0
TICK_SECONDS = 0.001
# Prime to the number of letters.
ORDER = 7_919


class Asker(asyncio.Protocol):
    """One connection; tells when it was answered."""

    def __init__(self, answered: Callable[["Asker", float], None]) -> None:
        self._answered = answered
        self._due_at = 0.0
        self._seen = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def ask(self, request: bytes, due_at: float) -> None:
        self._due_at = due_at
        self.transport.write(request)

    def data_received(self, received: bytes) -> None:
        self._seen += received
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 302")):
            self.ended.set_exception(RuntimeError(head.decode("latin-1").splitlines()[0]))
            self.transport.close()
            return
        self._seen = b""
        self._answered(self, time.perf_counter() - self._due_at)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Crowd:
    """Connections that ask for `seconds`: at a rate, or each again as soon as it was answered."""

    def __init__(self, requests: list[bytes], seconds: float, rate: float | None) -> None:
        self._requests = requests
        self._rate = rate
        self._asked = 0
        self._free: list[Asker] = []
        self._due: deque[float] = deque()
        self._seconds = seconds
        self.latencies: list[float] = []

    async def ask(self, url: str) -> None:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        askers = []
        for _ in range(OFFERED_CONNECTIONS if self._rate else BUSY_CONNECTIONS):
            _, asker = await loop.create_connection(
                lambda: Asker(self._answered), parts.hostname or "", parts.port or 0
            )
            askers.append(asker)
        self._started = time.perf_counter()
        if self._rate:
            self._free = list(askers)
            self._tick()
        else:
            for asker in askers:
                self._ask(asker, self._started)
        await asyncio.gather(*(asker.ended for asker in askers))

    def _tick(self) -> None:
        """Hand out what fell due; what finds no connection free waits, and its wait counts."""
        assert self._rate is not None
        passed = min(time.perf_counter() - self._started, self._seconds)
        while (self._asked + len(self._due)) / self._rate < passed:
            self._due.append(self._started + (self._asked + len(self._due)) / self._rate)
            if self._free:
                self._ask(self._free.pop(), self._due.popleft())
        if passed < self._seconds:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        else:
            for asker in self._free:
                asker.transport.close()

    def _answered(self, asker: Asker, latency: float) -> None:
        self.latencies.append(latency)
        now = time.perf_counter()
        is_over = now - self._started >= self._seconds
        if self._due:
            self._ask(asker, self._due.popleft())
        elif is_over:
            asker.transport.close()
        elif self._rate:
            self._free.append(asker)
        else:
            self._ask(asker, now)

    def _ask(self, asker: Asker, due_at: float) -> None:
        asker.ask(self._requests[self._asked % len(self._requests)], due_at)
        self._asked += 1


def main(seconds: float = SECONDS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sent = make_sent(Path(folder), LETTERS, STORED_EVENTS)
        print(f"tracking: {STORED_EVENTS:,} events stored before, {seconds:.0f} s each", flush=True)
        answered = 0
        with served(sent.folder) as url:
            for what in ("pixel", "click"):
                requests = _requests(sent, what, url)
                answered += len(ask_for(url, requests, WARM_UP_SECONDS))
                for rate in (TARGET, None):
                    latencies = ask_for(url, requests, seconds, rate)
                    answered += len(latencies)
                    print(f"  {what}, {_said(latencies, seconds, rate)}", flush=True)
        with sent.database.reader() as connection:
            found = connection.execute(select(func.count()).select_from(events)).scalar_one()
        print(f"  answered {answered:,}, stored {found - STORED_EVENTS:,}")
        sent.database.close()


def ask_for(url: str, requests: list[bytes], seconds: float, rate: float | None = None) -> list[float]:
    """Seconds that each answer took."""
    crowd = Crowd(requests, seconds, rate)
    uvloop.run(crowd.ask(url))
    return crowd.latencies


def _said(latencies: list[float], seconds: float, rate: float | None) -> str:
    p99 = sorted(latencies)[int(len(latencies) * 0.99)] * 1000
    if rate:
        return (
            f"{rate:,.0f}/s offered over {OFFERED_CONNECTIONS} connections: "
            f"p99 {p99:5.1f} ms    target <= {TARGET_P99_MS:.0f} ms"
        )
    return (
        f"{BUSY_CONNECTIONS} connections asking at once again: {len(latencies) / seconds:>8,.0f} hits/s, "
        f"p99 {p99:5.1f} ms    target >= {TARGET:,}/s"
    )


def _requests(sent: Sent, what: str, url: str) -> list[bytes]:
    made = []
    # Every tenth letter, in no order: as readers come.
    for place in range(0, LETTERS, 10):
        letter = place * ORDER % LETTERS + 1
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
