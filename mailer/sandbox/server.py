"""A sandbox in a thread of this process: start, url, stop. Loopback only.

with SandboxServer(database_path=folder / "sandbox.db") as sandbox:
    client = SendGridAPIClient(api_key="SG.anything", host=sandbox.url)
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import uvicorn

from mailer.config import Settings
from mailer.sandbox.app import create_app
from mailer.sandbox.faults import FaultQueue
from mailer.sandbox.mailbox import Mailbox
from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.player import Player
from mailer.sandbox.state import SandboxState
from mailer.sandbox.wire import CuttableProtocol, reset
from subscribers.errors import NewsletterError

START_SECONDS = 10.0
GRACE_SECONDS = 2  # for answers under way when it stops
REBIND_SECONDS = 0.05  # between tries to take the port back after an outage


class SandboxServer:
    """One running sandbox; a context manager. `url` is known once it was started."""

    def __init__(
        self,
        options: SandboxOptions | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        database_path: Path,
        settings: Settings | None = None,
    ) -> None:
        if not _is_loopback(host):
            raise NewsletterError(
                f"the sandbox listens on this machine only, not on '{host}'.",
                field="sandbox.host",
                cure='Use host = "127.0.0.1".',
            )
        self.host = host
        self.port = port
        # Of a site's settings only its templates, language and `[sandbox] play` matter here.
        self._settings = settings or Settings.model_construct()
        self.mailbox = Mailbox(database_path)
        self.state = SandboxState(self.mailbox, options or SandboxOptions())
        self.state.refuse_connections = self.refuse
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._outage: asyncio.Task[None] | None = None
        self._player = Player(self)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def public_key(self) -> str:
        """What `[sendgrid] webhook_public_key` must be for its events to be believed."""
        return self.state.signer.public_key

    @property
    def faults(self) -> FaultQueue:
        return self.state.faults

    def start(self) -> "SandboxServer":
        """Listen, and return once connections are taken. Raises NewsletterError when the port is not free."""
        listener = _listener(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="sandbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise NewsletterError("the sandbox did not start.")
        self._player.start()
        return self

    def _run(self, listener: socket.socket) -> None:
        asyncio.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        config = uvicorn.Config(
            create_app(self.state, self._settings),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _AnnouncingServer(config, self._ready)
        await self._server.serve(sockets=[listener])
        if self._outage:
            self._outage.cancel()

    def refuse(self, seconds: float) -> None:
        """Close the port for a while: connections are refused, as when a machine is down."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._begin_outage, seconds)

    def _begin_outage(self, seconds: float) -> None:
        assert self._server is not None
        if self._outage is None or self._outage.done():
            for listening in self._server.servers:
                listening.close()
            for connection in list(self._server.server_state.connections):
                reset(connection.transport)
            self._outage = asyncio.get_running_loop().create_task(self._reopen(seconds))

    async def _reopen(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        server = self._server
        assert server is not None
        while not server.should_exit:
            try:
                listener = _listener(self.host, self.port)
            except NewsletterError:
                await asyncio.sleep(REBIND_SECONDS)
                continue
            loop = asyncio.get_running_loop()
            server.servers[:] = [await loop.create_server(self._protocol, sock=listener)]
            return

    def _protocol(self) -> asyncio.Protocol:
        assert self._server is not None
        return CuttableProtocol(self._server.config, self._server.server_state, self._server.lifespan.state)

    def stop(self) -> None:
        """End every connection and wait for the thread; a second call does nothing."""
        self._player.stop()
        if self._thread is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join()
            self._thread = None
        self.mailbox.close()

    def _end(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        for transport in list(self.state.held):
            transport.abort()

    def serve_forever(self) -> None:
        """Start and stay until Ctrl-C; readers act on their own, unless `[sandbox] play` is false."""
        self.state.change({"play": "on" if self._settings.sandbox.play else "off"})
        with self:
            assert self._thread is not None
            with contextlib.suppress(KeyboardInterrupt):
                self._thread.join()

    def __enter__(self) -> "SandboxServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the process, not to a thread of it


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise NewsletterError(
            f"port {port} of {host} is not free ({error.strerror}).",
            field="sandbox.port",
            cure="Stop what listens there, or choose another port.",
        ) from None
    return listener
