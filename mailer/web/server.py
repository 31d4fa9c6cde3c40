"""Both applications in one process: readers on their host, results on loopback, on one loop.

For the demo, tests and `mailer serve` alike; at `stop` what waits is written first.
"""

import socket
import sys
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from mailer.listening import LoopFactory, ServerThread, listen, quiet, url_of
from mailer.service.rooms import Rooms
from mailer.web.app import create_admin_app, create_public_app
from mailer.web.protocol import PatientProtocol
from subscribers.errors import NewsletterError

ADMIN_HOST = "127.0.0.1"
# Answers under way at the end.
GRACE_SECONDS = 3
# Image proxies and mail programs ask for several things in a row.
KEEP_ALIVE_SECONDS = 15
# Beyond this many open requests a proxy is told to come back; each is a few kilobytes.
OPEN_REQUESTS = 10_000
# The hit writer's thread asks for the interpreter a few times a group; Python's own 5 ms are a long wait
# beside a busy loop. Holds for the process.
SWITCH_SECONDS = 0.001
WAIT_LOOK_SECONDS = 0.5


class WebServer:
    """The doors of a site; a context manager. Port 0 takes any free one, `url` says which."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        host: str | None = None,
        port: int | None = None,
        admin_port: int | None = None,
    ) -> None:
        web = rooms.settings.web
        self._rooms = rooms
        self._host = web.host if host is None else host
        self._port = web.port if port is None else port
        self._admin_port = web.admin_port if admin_port is None else admin_port
        self._serving = ServerThread("web", _loop_factory())
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return url_of(self._sockets[0])

    @property
    def admin_url(self) -> str:
        return url_of(self._sockets[1])

    def start(self) -> "WebServer":
        """Listen and answer. Raises NewsletterError when a port is taken."""
        readers = listen(self._host, self._port, "web.port")
        try:
            self._sockets = [readers, listen(ADMIN_HOST, self._admin_port, "web.admin_port")]
        except NewsletterError:
            readers.close()
            raise
        sys.setswitchinterval(SWITCH_SECONDS)
        apps = (create_public_app(self._rooms), create_admin_app(self._rooms))
        self._serving.start([_config(app) for app in apps], self._sockets)
        return self

    def stop(self) -> None:
        """End after the answers under way; hits that wait are written."""
        self._serving.stop()

    def wait(self, stopped: threading.Event) -> None:
        """Serve until `stopped` is set or the loop ends."""
        while not self._serving.join(0) and not stopped.wait(WAIT_LOOK_SECONDS):
            continue

    def __enter__(self) -> "WebServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _config(app: ASGIApp) -> uvicorn.Config:
    return quiet(
        app,
        http=PatientProtocol,
        lifespan="on",
        limit_concurrency=OPEN_REQUESTS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _loop_factory() -> LoopFactory | None:
    """uvloop where there is one (not on Windows): three times the hits a second."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: LoopFactory = uvloop.new_event_loop
    return factory
