"""The doors that are knocked at most: pixel, click, and SendGrid's events.

Plain Starlette routes on one loop; nothing here touches the database but the hit writer's thread.
An answer never depends on who asks: machines get the picture and the redirect like everybody.
"""

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from mailer.tracking import webhook
from mailer.tracking.hits import Hit, HitWriter, Kind, TooBusy
from mailer.tracking.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from mailer.web.context import WebContext
from mailer.web.pages import HEADERS, READ_METHODS, as_header, read_body, unknown

# The smallest transparent picture, 43 bytes.
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
# SendGrid posts up to 768 kB; a few of those at once, should it change its mind.
EVENTS_MAX_BYTES = 4 * 1024 * 1024
# Ids of links are counted from 1 in 63 bits.
LINK_ID_MAX_DIGITS = 18
RETRY_SECONDS = "1"

_PIXEL_HEADERS = {
    "Cache-Control": "no-store, private",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Webmail shows the picture on its own pages.
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_CLICK_HEADERS = {
    "Cache-Control": "no-store, private",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}

log = structlog.get_logger()


def add_counting(app: FastAPI, context: WebContext, hits: HitWriter) -> None:
    """`/o/{token}.gif`, `/c/{token}/{link}` and `/webhooks/sendgrid`."""

    async def pixel(request: Request) -> Response:
        hit = _hit(request, "open", request.path_params["token"], None)
        try:
            await hits.submit(hit)
        except TooBusy:
            log.error("a pixel was not counted: too many hits wait")
        return Response(PIXEL, media_type="image/gif", headers=_PIXEL_HEADERS)

    async def click(request: Request) -> Response:
        number = request.path_params["link"]
        if not (number.isascii() and number.isdigit() and len(number) <= LINK_ID_MAX_DIGITS):
            return unknown(context)
        try:
            landing = await hits.submit(_hit(request, "click", request.path_params["token"], int(number)))
        except TooBusy:
            return PlainTextResponse(
                "Please try again in a moment.",
                HTTPStatus.SERVICE_UNAVAILABLE,
                headers=_CLICK_HEADERS | {"Retry-After": RETRY_SECONDS},
            )
        if landing.url is None:
            return unknown(context)
        return Response(
            status_code=HTTPStatus.FOUND, headers=_CLICK_HEADERS | {"Location": as_header(landing.url)}
        )

    def _hit(request: Request, kind: Kind, token: str, link_id: int | None) -> Hit:
        asked: Kind = "head" if request.method == "HEAD" else kind
        return Hit(asked, token, link_id, request.headers.get("user-agent", ""), context.now())

    async def events(request: Request) -> Response:
        body = await read_body(request, EVENTS_MAX_BYTES)
        headers = request.headers
        is_ours = webhook.verify(
            context.settings.sendgrid.webhook_public_key,
            headers.get(SIGNATURE_HEADER),
            headers.get(TIMESTAMP_HEADER),
            body,
        )
        if not is_ours:
            # Also without a key in the configuration: an unsigned event could unsubscribe anybody.
            return PlainTextResponse(_refusal(context), HTTPStatus.FORBIDDEN, headers=HEADERS)
        report = await run_in_threadpool(
            webhook.ingest,
            context.database,
            body,
            tokens=context.tokens,
            settings=context.settings,
            now=context.now(),
        )
        if report.unreadable or report.unknown:
            log.warning("events without a place", unknown=report.unknown, unreadable=report.unreadable)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)

    app.add_route("/o/{token}.gif", pixel, methods=READ_METHODS)
    app.add_route("/c/{token}/{link}", click, methods=READ_METHODS)
    app.add_route("/webhooks/sendgrid", events, methods=["POST"])


def _refusal(context: WebContext) -> str:
    if not context.settings.sendgrid.webhook_public_key:
        log.error("an event POST was refused: [sendgrid] webhook_public_key is not set")
        return "No webhook_public_key is configured under [sendgrid]; events are refused until it is.\n"
    log.warning("an event POST was refused: its signature does not verify")
    return "The signature does not verify.\n"
