"""The doors that are knocked at most: pixel, click, and SendGrid's events.

Pixel and click are bare ASGI on one loop; nothing here touches the database but the hit writer's thread.
An answer never depends on who asks: machines get the picture and the redirect like everybody.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from mailer.service.rooms import Rooms
from mailer.tracking import heartbeats, webhook
from mailer.tracking.hits import Hit, HitWriter, Kind, TooBusy
from mailer.tracking.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from mailer.web.pages import HEADERS, READ_METHODS, as_header, read_body, unknown

# The smallest transparent picture, 43 bytes.
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
# SendGrid posts up to 768 kB; a few of those at once, should it change its mind.
EVENTS_MAX_BYTES = 4 * 1024 * 1024
# Ids of links are counted from 1 in 63 bits.
LINK_ID_MAX_DIGITS = 18
# Between two log lines about refused POSTs.
TOLD_EVERY = timedelta(minutes=1)
BEAT_EVERY = timedelta(seconds=10)
NO_KEY = "No webhook_public_key is configured under [sendgrid]; events are refused until it is."
UNVERIFIED = "The signature does not verify."
RETRY_SECONDS = "1"
# Addresses of links that people click now, made ready for the header.
LOCATIONS = 4_096
_PIXEL_END = ".gif"

_PIXEL_HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(PIXEL)).encode()),
    (b"cache-control", b"no-store, private"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Webmail shows the picture on its own pages.
    (b"cross-origin-resource-policy", b"cross-origin"),
]
_CLICK_HEADERS = [
    (b"content-length", b"0"),
    (b"cache-control", b"no-store, private"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
]

log = structlog.get_logger()


class CountingDoors:
    """`/o/{token}.gif` and `/c/{token}/{link}`; every other path is for the pages behind.

    In front of all routers, which cost as much as a hit's own work.
    """

    def __init__(self, rooms: Rooms, hits: HitWriter, pages: ASGIApp) -> None:
        self._rooms = rooms
        self._hits = hits
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith("/o/"):
                token = path[len("/o/") : -len(_PIXEL_END)]
                if token and path.endswith(_PIXEL_END) and "/" not in token:
                    await self._pixel(token, scope, receive, send)
                    return
            elif path.startswith("/c/"):
                token, _, number = path[len("/c/") :].partition("/")
                if token and number and "/" not in number:
                    await self._click(token, number, scope, receive, send)
                    return
        await self._pages(scope, receive, send)

    async def _pixel(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The picture for everybody, the hit for whom the token belongs to."""
        if scope["method"] not in READ_METHODS:
            await _not_like_that(scope, receive, send)
            return
        try:
            await self._hits.submit(self._hit(scope, "open", token, None))
        except TooBusy:
            log.error("a pixel was not counted: too many hits wait")
        await send({"type": "http.response.start", "status": 200, "headers": _PIXEL_HEADERS})
        await send({"type": "http.response.body", "body": PIXEL})

    async def _click(self, token: str, number: str, scope: Scope, receive: Receive, send: Send) -> None:
        """On to the link's address; it never stands in the URL."""
        if scope["method"] not in READ_METHODS:
            await _not_like_that(scope, receive, send)
            return
        if not (number.isascii() and number.isdigit() and len(number) <= LINK_ID_MAX_DIGITS):
            await unknown(self._rooms)(scope, receive, send)
            return
        try:
            landing = await self._hits.submit(self._hit(scope, "click", token, int(number)))
        except TooBusy:
            await _come_back(scope, receive, send)
            return
        if landing.url is None:
            await unknown(self._rooms)(scope, receive, send)
            return
        location = (b"location", _location(landing.url))
        headers = [location, *_CLICK_HEADERS]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _hit(self, scope: Scope, kind: Kind, token: str, link_id: int | None) -> Hit:
        asked: Kind = "head" if scope["method"] == "HEAD" else kind
        agent = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value
                break
        return Hit(asked, token, link_id, agent.decode("latin-1"), self._rooms.now())


@lru_cache(maxsize=LOCATIONS)
def _location(url: str) -> bytes:
    return as_header(url).encode("ascii")


async def _not_like_that(scope: Scope, receive: Receive, send: Send) -> None:
    headers = HEADERS | {"Allow": ", ".join(READ_METHODS)}
    answer = PlainTextResponse("Method Not Allowed\n", HTTPStatus.METHOD_NOT_ALLOWED, headers=headers)
    await answer(scope, receive, send)


async def _come_back(scope: Scope, receive: Receive, send: Send) -> None:
    headers = HEADERS | {"Retry-After": RETRY_SECONDS, "Cache-Control": "no-store"}
    answer = PlainTextResponse("Please try again.\n", HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
    await answer(scope, receive, send)


def add_webhook(app: FastAPI, rooms: Rooms) -> None:
    """`/webhooks/sendgrid`."""
    refusals, beats = Refusals(), _Beats()

    async def events(request: Request) -> Response:
        body = await read_body(request, EVENTS_MAX_BYTES)
        headers = request.headers
        is_ours = webhook.verify(
            rooms.settings.sendgrid.webhook_public_key,
            headers.get(SIGNATURE_HEADER),
            headers.get(TIMESTAMP_HEADER),
            body,
        )
        if not is_ours:
            # Also without a key in the configuration: an unsigned event could unsubscribe anybody.
            reason = UNVERIFIED if rooms.settings.sendgrid.webhook_public_key else NO_KEY
            refusals.count(rooms.now(), reason)
            return PlainTextResponse(f"{reason}\n", HTTPStatus.FORBIDDEN, headers=HEADERS)
        report = await run_in_threadpool(
            webhook.ingest,
            rooms.database,
            body,
            tokens=rooms.tokens,
            settings=rooms.settings,
            now=rooms.now(),
        )
        await run_in_threadpool(beats.beat, rooms)
        if report.unreadable or report.unknown:
            log.warning("events without a place", unknown=report.unknown, unreadable=report.unreadable)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)

    app.add_route("/webhooks/sendgrid", events, methods=["POST"])


class _Beats:
    """Writes down that signed events came in, every ten seconds at most: not with every POST."""

    def __init__(self) -> None:
        self._at: datetime | None = None

    def beat(self, rooms: Rooms) -> None:
        now = rooms.now()
        if self._at is not None and timedelta() <= now - self._at < BEAT_EVERY:
            return
        self._at = now
        with rooms.database.tracking() as connection:
            heartbeats.beat(connection, heartbeats.WEBHOOK, now, every=BEAT_EVERY)


class Refusals:
    """Tells of refused POSTs in a line a minute at most: anybody may post, and nobody fills a disk."""

    def __init__(self) -> None:
        self._untold = 0
        self._told_at: datetime | None = None

    def count(self, now: datetime, reason: str) -> None:
        self._untold += 1
        if self._told_at is None or now - self._told_at >= TOLD_EVERY:
            log.warning("event POSTs were refused", refused=self._untold, reason=reason)
            self._untold, self._told_at = 0, now
