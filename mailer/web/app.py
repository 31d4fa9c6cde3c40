"""The two applications: what readers reach, and what staff see on this machine only.

They share nothing but the rooms. No redirect of paths, no interactive API pages, no cookies.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from mailer.service.rooms import Rooms
from mailer.tracking.hits import HitWriter
from mailer.web.counting import CountingDoors, add_webhook
from mailer.web.health import add_health, add_metrics
from mailer.web.letters import add_letters
from mailer.web.pages import add_house
from mailer.web.public import add_public
from mailer.web.readers import add_readers
from mailer.web.results import DESK, add_results

# Names of this machine; any other in `Host` is a web page of somebody else's that reaches for ours.
LOOPBACK_HOSTS = frozenset(("127.0.0.1", "localhost", "[::1]"))


def create_public_app(rooms: Rooms) -> ASGIApp:
    """The readers' application; its lifespan starts the hit writer and writes what waits at the end."""
    hits = HitWriter(rooms.database, rooms.tokens, rooms.settings)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        hits.start()
        try:
            yield
        finally:
            hits.stop()

    pages = _bare_app(life)
    add_health(pages, rooms, tells_all=False)
    if token := rooms.settings.web.metrics_token.get_secret_value():
        add_metrics(pages, rooms, token=token)
    add_webhook(pages, rooms)
    add_letters(pages, rooms)
    add_readers(pages, rooms)
    add_public(pages, rooms)
    add_house(pages, rooms)
    return CountingDoors(rooms, hits, pages)


def create_admin_app(rooms: Rooms) -> FastAPI:
    """Results, until accounts exist: for this machine only, checked by the name that was asked for."""
    app = _bare_app()
    add_health(app, rooms, tells_all=True)
    add_metrics(app, rooms, token=None)
    add_results(app, rooms)
    add_house(app, rooms, base=DESK)
    app.add_middleware(LoopbackOnly)
    return app


class LoopbackOnly:
    """Refuse requests for a name that is not this machine's (DNS rebinding)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host(Request(scope)) not in LOOPBACK_HOSTS:
            refusal: Response = PlainTextResponse(
                "Results are shown on this machine only.\n", HTTPStatus.MISDIRECTED_REQUEST
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host(request: Request) -> str:
    host = request.headers.get("host", "").lower()
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _bare_app(life: Lifespan[FastAPI] | None = None) -> FastAPI:
    return FastAPI(
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect would break one-click unsubscribing (RFC 8058, 3.1).
        redirect_slashes=False,
    )
