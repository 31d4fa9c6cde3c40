"""A server in a thread answers when it has started, and a start that fails ends."""

import asyncio
import threading

import pytest
from starlette.types import Receive, Scope, Send

from mailer import listening
from mailer.listening import ServerThread, listen, quiet
from subscribers.errors import NewsletterError

HANGS_SECONDS = 20  # far beyond what giving up takes here


def test_a_server_that_never_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "START_SECONDS", 0.2)
    monkeypatch.setattr(listening, "GIVE_UP_SECONDS", 0.2)
    released = asyncio.Event()

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await released.wait()
        await send({"type": "lifespan.startup.complete"})

    server = ServerThread("stuck")
    taken = listen("127.0.0.1", 0, "[web] port")
    given_up = threading.Event()

    def start() -> None:
        with pytest.raises(NewsletterError, match="the stuck server did not start"):
            server.start([quiet(application, lifespan="on")], [taken])
        given_up.set()

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    try:
        assert given_up.wait(HANGS_SECONDS)
        assert taken.fileno() == -1
        server.stop()  # there is nothing more to wait for
    finally:
        server.call(released.set)
        starting.join(HANGS_SECONDS)
        for thread in threading.enumerate():
            if thread.name == "stuck":
                thread.join(HANGS_SECONDS)
