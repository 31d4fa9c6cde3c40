"""The mailbox in the browser: what was accepted, as each recipient sees it. Reads only.

Every string on these pages comes from outside: templates escape, the letter itself lives in a frame
without rights, and the policy allows neither script nor foreign addresses.
"""

import json
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailer.config import Settings
from mailer.sandbox import letters, listing
from mailer.sandbox.frame import Theme, frame_policy, framed
from mailer.sandbox.letters import Letter
from mailer.sandbox.state import SandboxState, state_of
from mailer.templates import environment, template_folders

STYLE = "web/sandbox/sandbox.css"
VIEWS = ("letter", "text", "headers", "source", "events")
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
WIDTHS = ("desk", "phone")
MAX_CALLS = 200
AVATAR_COLOURS = 8
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Pages:
    """The pages of one sandbox, with the templates of one site."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates = _templates(settings)

    def routes(self) -> list[Route]:
        return [
            Route("/", self._list, methods=["GET"]),
            Route("/calls", self._calls, methods=["GET"]),
            Route("/letters/{id:int}", self._letter, methods=["GET"]),
            Route("/letters/{id:int}/frame", self._frame, methods=["GET"]),
            Route("/letters/{id:int}/source.eml", self._source, methods=["GET"]),
            Route("/sandbox.css", self._style, methods=["GET"]),
        ]

    async def _list(self, request: Request) -> Response:
        return await run_in_threadpool(self._drawn_list, state_of(request), request)

    def _drawn_list(self, state: SandboxState, request: Request) -> Response:
        search, wanted = _search(request), _wanted(request)
        page = _number(request.query_params.get("page", "1"))
        found = listing.listing(state.mailbox, search=search, wanted=wanted, page=page)
        return self._page(
            "list.html.j2",
            listing=found,
            counts=listing.counts(state.mailbox, search),
            subjects=listing.subjects(state.mailbox),
            is_empty=listing.is_empty(state.mailbox),
            search=search,
            wanted=wanted,
            address=str(request.base_url).rstrip("/"),
            public_key=state.signer.public_key,
        )

    async def _letter(self, request: Request) -> Response:
        return await run_in_threadpool(self._drawn_letter, state_of(request), request)

    def _drawn_letter(self, state: SandboxState, request: Request) -> Response:
        letter = letters.find_one(state.mailbox, request.path_params["id"])
        if letter is None:
            return self._missing()
        search, wanted = _search(request), _wanted(request)
        newer, older = listing.neighbours(state.mailbox, letter.id, search, wanted)
        events = [
            {**row, "payload": json.loads(row["payload"])}
            for row in listing.timeline(state.mailbox, letter.id)
        ]
        view = _one_of(request, "view", VIEWS)
        return self._page(
            "letter.html.j2",
            letter=letter,
            view=view if letter.html or view != "letter" else "text",
            theme=_one_of(request, "theme", THEMES),
            width=_one_of(request, "width", WIDTHS),
            images=request.query_params.get("images") == "on",
            mail_headers=_mail_headers(letter) if view == "headers" else [],
            source=letters.source(letter).decode("utf-8", "replace") if view == "source" else "",
            events=events,
            search=search,
            wanted=wanted,
            newer=newer,
            older=older,
        )

    async def _frame(self, request: Request) -> Response:
        state = state_of(request)
        letter = await run_in_threadpool(letters.find_one, state.mailbox, request.path_params["id"])
        if letter is None or letter.html is None:
            return self._missing()
        with_images = request.query_params.get("images") == "on"
        document = framed(letter.html, _one_of(request, "theme", THEMES))
        headers = {**_HEADERS, "Content-Security-Policy": frame_policy(with_images=with_images)}
        return HTMLResponse(document.encode("utf-8", "replace"), headers=headers)

    async def _source(self, request: Request) -> Response:
        state = state_of(request)
        letter = await run_in_threadpool(letters.find_one, state.mailbox, request.path_params["id"])
        if letter is None:
            return self._missing()
        headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="letter-{letter.id}.eml"'}
        return Response(letters.source(letter), media_type="message/rfc822", headers=headers)

    async def _calls(self, request: Request) -> Response:
        rows = await run_in_threadpool(
            state_of(request).mailbox.rows, "SELECT * FROM call ORDER BY id DESC LIMIT ?", (MAX_CALLS,)
        )
        return self._page("calls.html.j2", calls=rows, search="", wanted="all")

    async def _style(self, _request: Request) -> Response:
        for folder in template_folders(self._settings):
            path: Path = folder / STYLE
            if path.is_file():
                return Response(path.read_bytes(), media_type="text/css", headers=_HEADERS)
        return self._missing()

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(f"web/sandbox/{template}").render(**values)
        headers = {**_HEADERS, "Content-Security-Policy": PAGE_POLICY}
        return HTMLResponse(text.encode("utf-8", "replace"), status_code=status, headers=headers)

    def _missing(self) -> Response:
        return self._page("missing.html.j2", status=404, search="", wanted="all")


def _templates(settings: Settings) -> Environment:
    templates = environment(settings).overlay()
    templates.filters["clock"] = partial(_clock, zone=settings.zone)
    templates.globals["zone"] = settings.newsletter.timezone
    templates.filters["avatar"] = lambda text: sum(text.encode()) % AVATAR_COLOURS
    return templates


def _clock(seconds: float, *, zone: tzinfo) -> str:
    """The newsletter's time, as on the results page. Today's go without the date."""
    local = datetime.fromtimestamp(seconds, zone)
    is_today = local.date() == datetime.now(zone).date()
    return local.strftime("%H:%M:%S" if is_today else "%d %b %H:%M:%S")


def _search(request: Request) -> str:
    return request.query_params.get("q", "")[:200].strip()


def _wanted(request: Request) -> str:
    return str(_one_of(request, "show", tuple(listing.FILTERS)))


def _one_of(request: Request, name: str, allowed: tuple[Any, ...]) -> Any:
    value = request.query_params.get(name)
    return value if value in allowed else allowed[0]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _mail_headers(letter: Letter) -> list[tuple[str, str]]:
    """The header block as it would arrive, decoded."""
    return [(name, str(value)) for name, value in letters.message(letter).items()]
