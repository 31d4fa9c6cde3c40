"""How every page leaves the house: one look, strict headers, no script, no referrer, nothing cached.

A page shows what people typed as text. A token never appears in a log, and a page that was reached
by one tells no other site where it came from.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mailer.editions.colours import Palette, theme_of
from mailer.service.rooms import Rooms
from mailer.templates import environment

STATIC = Path(__file__).with_name("static")
# A form of ours has a few hundred bytes.
FORM_MAX_BYTES = 64 * 1024
# The longest wait for the body of a request, forms and events alike.
BODY_SECONDS = 30.0
# The style sheet changes with a release or a configuration: five minutes is a visit.
STYLE_CACHE = "public, max-age=300"

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Mail HTML has its own styles and pictures from anywhere, and may run nothing. Its links leave the
# sandbox, so that the sites they lead to work.
LETTER_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Split with its group, the matches stand at the odd places.
_HYPHENED = re.compile(r"(\b\w{1,12}-\w{1,2}\b)")

HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PRIVATE = {"Cache-Control": "no-store, private", "X-Robots-Tag": "noindex, nofollow"}
READ_METHODS = ["GET", "HEAD"]


def page(
    rooms: Rooms,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    is_private: bool = True,
    **values: Any,
) -> HTMLResponse:
    """A page of templates/web; `is_private` pages belong to one reader or to staff."""
    settings = rooms.settings
    body = (
        environment(settings)
        .get_template(f"web/{template}")
        .render(
            newsletter=settings.newsletter,
            topics=settings.topics,
            root=urlsplit(settings.web.base_url).path.rstrip("/"),
            unbroken=unbroken,
            **values,
        )
    )
    headers = HEADERS | (PRIVATE if is_private else {"Cache-Control": "no-cache"})
    return HTMLResponse(body, status, headers)


def letter_page(letter: str) -> HTMLResponse:
    """Mail HTML as a page of its own, in a sandbox."""
    return HTMLResponse(letter, headers=HEADERS | PRIVATE | {"Content-Security-Policy": LETTER_POLICY})


def words(rooms: Rooms) -> Callable[..., str]:
    """`_` for words that no template says, in the newsletter's language."""
    return cast(Callable[..., str], environment(rooms.settings).globals["_"])


def message(
    rooms: Rooms, title: str, *lines: str, status: int = HTTPStatus.OK, base: str = "base.html.j2"
) -> HTMLResponse:
    """A page that says one thing."""
    return page(rooms, "message.html.j2", status=status, title=title, lines=lines, base=base)


def unknown(rooms: Rooms, *, base: str = "base.html.j2") -> HTMLResponse:
    """The one answer to every token and page that is none; it tells nothing more."""
    say = words(rooms)
    return message(
        rooms,
        say("There is nothing here"),
        say("This link may have been cut short by a mail program, or what it led to is gone."),
        status=HTTPStatus.NOT_FOUND,
        base=base,
    )


def as_header(url: str) -> str:
    """A URL of an issue as `Location` takes it: other characters than ASCII as percent-encoded UTF-8."""
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~-._")


def unbroken(words_of_title: str) -> Markup:
    """A title that no line break takes apart at a hyphen before one or two letters: CAR-T, IL-6."""
    parts = _HYPHENED.split(words_of_title)
    return Markup("").join(
        Markup('<span class="nowrap">{}</span>').format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body. Raises 413 before more than `limit` bytes are held, 408 when it does not come."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from None
    return bytes(body)


def add_house(app: FastAPI, rooms: Rooms, *, base: str = "base.html.j2") -> None:
    """Style sheets and the pages of errors."""

    def style() -> Response:
        return _styled((STATIC / "house.css").read_text(encoding="utf-8"))

    def theme() -> Response:
        return _styled(theme_css(rooms))

    app.add_api_route("/static/house.css", style, methods=READ_METHODS)
    app.add_api_route("/static/theme.css", theme, methods=READ_METHODS)

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        if status == HTTPStatus.NOT_FOUND:
            return unknown(rooms, base=base)
        say = words(rooms)
        said = {
            HTTPStatus.METHOD_NOT_ALLOWED: say("This page cannot be asked like that."),
            HTTPStatus.REQUEST_TIMEOUT: say("That took too long. Please try again."),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: say("That was more than this page can take."),
        }.get(HTTPStatus(status), say("Something went wrong here. Please try again in a minute."))
        response = message(rooms, say("That did not work"), said, status=status, base=base)
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)
        return response

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR.value, refused)


def theme_css(rooms: Rooms) -> str:
    """Colours of the site as custom properties: those of its letters, made readable in both schemes."""
    theme = theme_of(rooms.settings.newsletter.brand_colour)
    light, dark = [], []
    for slug, topic in rooms.settings.topics.items():
        light.append(f".chip-{slug}{{color:{topic.chip};background:{topic.chip_ground}}}")
        dark.append(f".chip-{slug}{{color:{topic.chip_dark};background:{topic.chip_ground_dark}}}")
    return (
        f":root{{color-scheme:light dark;{_properties(theme.light)}}}\n"
        + "\n".join(light)
        + f"\n@media (prefers-color-scheme:dark){{:root{{{_properties(theme.dark)}}}\n"
        + "\n".join(dark)
        + "\n}\n"
    )


def _properties(palette: Palette) -> str:
    return ";".join(
        f"--{name.replace('_', '-')}:{getattr(palette, name)}" for name in Palette.__dataclass_fields__
    )


def _styled(css: str) -> Response:
    headers: Mapping[str, str] = HEADERS | {"Cache-Control": STYLE_CACHE}
    return Response(css, media_type="text/css", headers=headers)
