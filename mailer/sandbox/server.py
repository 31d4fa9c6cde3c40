"""A sandbox in a thread of this process: start, url, stop. Loopback only.

with SandboxServer(database_path=folder / "sandbox.db") as sandbox:
    client = SendGridAPIClient(api_key="SG.anything", host=sandbox.url)
"""

import asyncio
import contextlib
import ipaddress
from pathlib import Path
from types import TracebackType

from mailer.config import Settings
from mailer.listening import ServerThread, listen, quiet
from mailer.sandbox.app import create_app
from mailer.sandbox.faults import FaultQueue
from mailer.sandbox.mailbox import Mailbox
from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.player import Player
from mailer.sandbox.state import SandboxState
from mailer.sandbox.wire import CuttableProtocol, reset
from subscribers.errors import NewsletterError

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
        self._serving = ServerThread("sandbox")
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
        listener = listen(self.host, self.port, "sandbox.port")
        self.port = listener.getsockname()[1]
        config = quiet(
            create_app(self.state, self._settings),
            http=CuttableProtocol,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._serving.start([config], [listener])
        self._player.start()
        return self

    def refuse(self, seconds: float) -> None:
        """Close the port for a while: connections are refused, as when a machine is down."""
        self._serving.call(self._begin_outage, seconds)

    def _begin_outage(self, seconds: float) -> None:
        if self._outage is None or self._outage.done():
            self._outage = asyncio.get_running_loop().create_task(self._stay_away(seconds))

    async def _stay_away(self, seconds: float) -> None:
        (server,) = self._serving.servers
        loop = asyncio.get_running_loop()
        for listening in server.servers:
            for sock in listening.sockets:
                loop.remove_reader(sock.fileno())
        # Who was accepted in this turn of the loop is being let in: a closed server would drop them unclosed.
        await asyncio.sleep(0)
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            reset(connection.transport)
        await asyncio.sleep(seconds)
        while not server.should_exit:
            try:
                listener = listen(self.host, self.port, "sandbox.port")
            except NewsletterError:
                await asyncio.sleep(REBIND_SECONDS)
                continue
            server.servers[:] = [await loop.create_server(self._protocol, sock=listener)]
            return

    def _protocol(self) -> asyncio.Protocol:
        (server,) = self._serving.servers
        return CuttableProtocol(server.config, server.server_state, server.lifespan.state)

    def stop(self) -> None:
        """End every connection and wait for the thread; a second call does nothing."""
        self._player.stop()
        self._serving.call(self._hang_up)
        self._serving.stop()
        self.mailbox.close()

    def _hang_up(self) -> None:
        """Cut what misbehaviour holds open, or it would hold the end up."""
        for transport in list(self.state.held):
            transport.abort()

    def serve_forever(self) -> None:
        """Start and stay until Ctrl-C; readers act on their own, unless `[sandbox] play` is false."""
        self.state.change({"play": "on" if self._settings.sandbox.play else "off"})
        with self, contextlib.suppress(KeyboardInterrupt):
            self._serving.join()

    def __enter__(self) -> "SandboxServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
