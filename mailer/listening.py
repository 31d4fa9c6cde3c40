"""Servers in a thread of this process: they answer when `start` returns, and end gently at `stop`.

The readers' pages, the results and the sandbox run like this, for commands, demo and tests alike. Signals
belong to the process, never to a server. Access logs are off: paths hold tokens.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from subscribers.errors import NewsletterError

START_SECONDS = 20.0
# For the end of one that did not start: what its application waits for may never come.
GIVE_UP_SECONDS = 5.0
BACKLOG = 2_048

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

log = structlog.get_logger()


class ServerThread:
    """Applications on sockets of their own, on one loop in one thread; when one ends, all end."""

    def __init__(self, name: str, loop_factory: LoopFactory | None = None) -> None:
        self._name = name
        self._loop_factory = loop_factory
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: Sequence[socket.socket] = ()
        self.servers: Sequence[uvicorn.Server] = ()

    def start(self, configs: Sequence[uvicorn.Config], sockets: Sequence[socket.socket]) -> None:
        """Answer on each socket with the application at its place. Raises NewsletterError."""
        ready = threading.Event()
        self._sockets = sockets
        self.servers = [_Server(config, self._told(ready)) for config in configs]
        self._thread = threading.Thread(target=self._run, args=(ready,), name=self._name, daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or not self._all_started():
            self._end(GIVE_UP_SECONDS)
            raise NewsletterError(f"the {self._name} server did not start.", cure="See the log above.")

    def stop(self) -> None:
        """End after the answers under way; a second call does nothing."""
        self._end()

    def _end(self, seconds: float | None = None) -> None:
        for server in self.servers:
            server.should_exit = True
        self.join(seconds)
        self._thread = None
        for each in self._sockets:
            each.close()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; whether it has come."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def call(self, what: Callable[..., object], *values: Any) -> None:
        """Have something done on the loop soon; nothing when it has ended."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(what, *values)

    def _told(self, ready: threading.Event) -> Callable[[], None]:
        return lambda: ready.set() if self._all_started() else None

    def _all_started(self) -> bool:
        return all(server.started for server in self.servers)

    def _run(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except Exception:
            log.exception("a server ended", server=self._name)
        finally:
            ready.set()

    async def _serve(self) -> None:
        serving = [
            asyncio.ensure_future(server.serve(sockets=[listening]))
            for server, listening in zip(self.servers, self._sockets, strict=True)
        ]
        await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        for server in self.servers:
            server.should_exit = True
        await asyncio.gather(*serving)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def quiet(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """How every server of ours is set: it logs no address, names no version, believes no proxy."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        # What strangers send wrong is no news; below this level uvicorn writes a line for each.
        log_level="error",
        backlog=BACKLOG,
        **options,
    )


def listen(host: str, port: int, field: str) -> socket.socket:
    """A socket that takes connections; port 0 is any free one. Raises NewsletterError naming the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise NewsletterError(
            f"cannot listen on {host}:{port}: {error.strerror}.",
            field=field,
            cure="Stop what listens there, or choose another port.",
        ) from None
    listening.setblocking(False)
    return listening


def url_of(listening: socket.socket) -> str:
    """The address of a socket that listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
