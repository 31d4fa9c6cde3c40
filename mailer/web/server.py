"""Both applications in one process: readers on their host, results on loopback, on one loop.

`WebServer` runs in a thread, for the demo, tests and `mailer serve` alike; it answers when `start`
returns, and at `stop` what waits is written first. Access logs are off: paths hold tokens.
"""

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

import structlog
import uvicorn
from starlette.types import ASGIApp

from mailer.web.app import create_admin_app, create_public_app
from mailer.web.context import WebContext
from subscribers.errors import NewsletterError

ADMIN_HOST = "127.0.0.1"
START_SECONDS = 20.0
# Answers under way at the end.
GRACE_SECONDS = 3
# Image proxies and mail programs ask for several things in a row.
KEEP_ALIVE_SECONDS = 15
# Beyond this many open requests a proxy is told to come back; each is a few kilobytes.
OPEN_REQUESTS = 10_000
BACKLOG = 2_048
# The hit writer's thread asks for the interpreter a few times a group; Python's own 5 ms are a long wait
# beside a busy loop. Holds for the process.
SWITCH_SECONDS = 0.001

log = structlog.get_logger()


class WebServer:
    """The doors of a site; a context manager. Port 0 takes any free one, `url` says which."""

    def __init__(
        self,
        context: WebContext,
        *,
        host: str | None = None,
        port: int | None = None,
        admin_port: int | None = None,
    ) -> None:
        web = context.settings.web
        self._context = context
        self._host = web.host if host is None else host
        self._port = web.port if port is None else port
        self._admin_port = web.admin_port if admin_port is None else admin_port
        self._thread: threading.Thread | None = None
        self._servers: list[uvicorn.Server] = []
        self._failure: Exception | None = None
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return _url(self._sockets[0])

    @property
    def admin_url(self) -> str:
        return _url(self._sockets[1])

    def start(self) -> "WebServer":
        """Listen and answer. Raises NewsletterError when a port is taken."""
        self._sockets = [
            _listen(self._host, self._port, "web.port"),
            _listen(ADMIN_HOST, self._admin_port, "web.admin_port"),
        ]
        self._servers = [
            _server(create_public_app(self._context)),
            _server(create_admin_app(self._context)),
        ]
        sys.setswitchinterval(SWITCH_SECONDS)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="web", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or self._failure is not None:
            self.stop()
            raise NewsletterError("the web server did not start.", cure="See the log above.")
        return self

    def stop(self) -> None:
        """End after the answers under way; hits that wait are written."""
        for server in self._servers:
            server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for each in self._sockets:
            each.close()

    def wait(self, stopped: threading.Event) -> None:
        """Serve until `stopped` is set or the loop ends."""
        while self._thread is not None and self._thread.is_alive() and not stopped.wait(0.5):
            continue

    def __enter__(self) -> "WebServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve(ready))
        except Exception as failure:
            log.exception("the web server ended")
            self._failure = failure
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        serving = [
            asyncio.ensure_future(server.serve(sockets=[listening]))
            for server, listening in zip(self._servers, self._sockets, strict=True)
        ]
        while not all(server.started for server in self._servers):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(0.005)
        else:
            ready.set()
        await asyncio.gather(*serving)


class _Server(uvicorn.Server):
    """Signals belong to the process, not to its web server."""

    def install_signal_handlers(self) -> None:
        return

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,
            http="httptools",
            lifespan="on",
            access_log=False,
            log_level="warning",
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            limit_concurrency=OPEN_REQUESTS,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one (not on Windows): three times the hits a second."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _listen(host: str, port: int, field: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise NewsletterError(
            f"cannot listen on {host}:{port}: {error.strerror}.",
            field=field,
            cure="Stop what listens there, or choose another port.",
        ) from None
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
