"""Pages for everybody: what this is, how to join, and the issues that were sent."""

from functools import lru_cache

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from mailer.editions.compose import whole
from mailer.editions.content import EditionContent
from mailer.editions.links import faq_sources
from mailer.issues.store import load_revision
from mailer.service.rooms import Rooms
from mailer.web import sent
from mailer.web.pages import HEADERS, READ_METHODS, page, unknown

# Composing an issue costs about 10 ms; people read the newest few.
ISSUES_KEPT = 16
LATEST_SHOWN = 3

# Doors that a token opens are nobody's to index.
ROBOTS = "User-agent: *\n" + "".join(f"Disallow: /{door}/\n" for door in "vupcot")


def add_public(app: FastAPI, rooms: Rooms) -> None:
    """`/`, `/subscribe`, `/archive`, `/archive/{slug}`, `/robots.txt`."""

    @lru_cache(maxsize=ISSUES_KEPT)
    def content_of(revision_id: int) -> EditionContent:
        with rooms.database.reader() as connection:
            issue = load_revision(connection, revision_id, rooms.settings)
        return whole(issue, rooms.settings)

    def home() -> Response:
        with rooms.database.reader() as connection:
            latest = sent.sent_issues(connection)[:LATEST_SHOWN]
        return page(rooms, "home.html.j2", is_private=False, latest=latest)

    def subscribe() -> Response:
        newsletter = rooms.settings.newsletter
        return page(
            rooms,
            "subscribe.html.j2",
            is_private=False,
            address=newsletter.reply_to or newsletter.from_email,
        )

    def archive() -> Response:
        with rooms.database.reader() as connection:
            found = sent.sent_issues(connection)
        return page(rooms, "archive.html.j2", is_private=False, issues=found)

    def issue(slug: str) -> Response:
        with rooms.database.reader() as connection:
            found = sent.sent_issues(connection, slug)
        if not found:
            return unknown(rooms)
        return issue_page(rooms, content_of(found[0].revision_id), found[0])

    def robots() -> Response:
        return PlainTextResponse(ROBOTS, headers=HEADERS)

    for path, shown in (
        ("/", home),
        ("/subscribe", subscribe),
        ("/archive", archive),
        ("/archive/{slug}", issue),
        ("/robots.txt", robots),
    ):
        app.add_api_route(path, shown, methods=READ_METHODS)


def issue_page(rooms: Rooms, content: EditionContent, found: sent.SentIssue | None) -> Response:
    """A whole issue; without `found` it was not sent and is nobody else's yet."""
    sources = {entry.number: faq_sources(content, entry) for entry in content.faq}
    return page(
        rooms,
        "issue.html.j2",
        is_private=found is None,
        content=content,
        sent_at=found.sent_at if found else None,
        sources=sources,
    )
