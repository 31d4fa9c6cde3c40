"""A TCP proxy that treats a connection badly: between the real transport and the sandbox.

Cuts after so many bytes (of either direction), by an end or a reset; half-open; byte by byte; garbage.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Way:
    """How one direction of a connection is treated; `None`: as it should be."""

    cut_after: int | None = None  # bytes that pass, then the whole connection ends
    reset: bool = False  # the end is a RST
    silent_after: int | None = None  # bytes that pass, then nothing does, though the connection stays
    drip_seconds: float = 0.0  # between two bytes
    garbage: bytes = b""  # comes instead of what was said


GOOD = Way()


class Proxy:
    """Listens on a port of its own and hands everything on, as badly as it was told."""

    def __init__(self, port: int, up: Way = GOOD, down: Way = GOOD) -> None:
        self.up, self.down = up, down
        self.passed_up = 0
        self._target = port
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _begin(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._begin(self._pass_on, client, server, self.up)
                self._begin(self._pass_on, server, client, self.down)

    def _pass_on(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            if way.cut_after == 0:
                self._cut(source, target, way)
                return
            while piece := source.recv(PIECE):
                if way.garbage:
                    target.sendall(way.garbage)
                    self._cut(source, target, way)
                    return
                if way.silent_after is not None:
                    piece = piece[: max(0, way.silent_after - passed)]
                if way.cut_after is not None:
                    piece = piece[: way.cut_after - passed]
                self._write(target, piece, way)
                passed += len(piece)
                if way is self.up:
                    self.passed_up = passed
                if way.cut_after is not None and passed >= way.cut_after:
                    self._cut(source, target, way)
                    return
            if way.silent_after is None:
                target.shutdown(socket.SHUT_WR)

    def _write(self, target: socket.socket, piece: bytes, way: Way) -> None:
        if not way.drip_seconds:
            target.sendall(piece)
            return
        for place in range(len(piece)):
            target.sendall(piece[place : place + 1])
            if self._ended.wait(way.drip_seconds):
                return

    def _cut(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        for sock in (source, target):
            with contextlib.suppress(OSError):
                if way.reset:
                    # Linger on, for zero seconds: what is queued is thrown away and a RST leaves.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD)  # wakes up the thread that reads here
                    sock.close()
                else:
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._ended.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def between(port: int, up: Way = GOOD, down: Way = GOOD) -> Iterator[Proxy]:
    proxy = Proxy(port, up, down)
    try:
        yield proxy
    finally:
        proxy.close()
