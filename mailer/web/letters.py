"""A letter in the browser, as its reader got it, and the links of test letters, which store nothing."""

import html
from http import HTTPStatus

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection, select

from mailer.delivery.body import plain_name
from mailer.editions.compose import whole
from mailer.editions.links import TestTokens, fill
from mailer.issues.store import load_revision
from mailer.links import Purpose, Slot, Slots
from mailer.measuring import is_measured
from mailer.service.rooms import Rooms
from mailer.tables import deliveries, editions
from mailer.web import sent
from mailer.web.holder import Holder, holder_of
from mailer.web.pages import (
    HEADERS,
    PRIVATE,
    READ_METHODS,
    as_header,
    letter_page,
    message,
    unknown,
    words,
)
from mailer.web.public import issue_page
from subscribers.errors import NotFound


def add_letters(app: FastAPI, rooms: Rooms) -> None:
    """`/v` and `/t`."""

    def view(token: str) -> Response:
        with rooms.database.reader() as connection:
            holder = holder_of(connection, rooms, Purpose.READ, token)
            letter = _letter(connection, holder.delivery_id) if holder else None
        if holder is None or letter is None:
            return unknown(rooms)
        return letter_page(_filled(rooms, holder, *letter))

    def test_link(token: str) -> Response:
        return _test_link(rooms, token)

    app.add_api_route("/v/{token}", view, methods=READ_METHODS)
    app.add_api_route("/t/{token:path}", test_link, methods=READ_METHODS)


def _letter(connection: Connection, delivery_id: int) -> tuple[str, str] | None:
    row = connection.execute(
        select(editions.c.html, editions.c.slot_nonce)
        .join(deliveries, deliveries.c.edition_id == editions.c.id)
        .where(deliveries.c.id == delivery_id)
    ).one_or_none()
    return (row.html, row.slot_nonce) if row else None


def _filled(rooms: Rooms, holder: Holder, letter: str, nonce: str) -> str:
    sign = rooms.tokens.sign
    if is_measured(rooms.settings.tracking.individual, holder.has_consent):
        track = sign(Purpose.TRACK, holder.delivery_id)
    else:
        track = sign(Purpose.TRACK_CAMPAIGN, holder.campaign_id)
    values = {
        Slot.TRACK: track,
        Slot.VIEW: sign(Purpose.READ, holder.delivery_id),
        Slot.LEAVE: sign(Purpose.LEAVE, holder.delivery_id),
        Slot.PREFS: sign(Purpose.PREFS, holder.delivery_id),
        # Last, since a name is the one value that is not ours.
        Slot.NAME_HTML: html.escape(plain_name(holder.name)),
    }
    return fill(letter, Slots(nonce), values)


def _test_link(rooms: Rooms, token: str) -> Response:
    """Lead on from a test letter; what would concern a reader says that it is a test."""
    target = TestTokens([secret.get_secret_value() for secret in rooms.settings.web.secrets]).open(token)
    if target is None:
        return unknown(rooms)
    with rooms.database.reader() as connection:
        try:
            issue = load_revision(connection, target.revision_id, rooms.settings)
        except NotFound:
            return unknown(rooms)
    if target.place == "view":
        return issue_page(rooms, whole(issue, rooms.settings), None)
    if target.place in ("leave", "prefs"):
        say = words(rooms)
        return message(
            rooms,
            say("This was a test letter"),
            say("It went to somebody who looks at an issue before it is sent."),
            say("Nobody is subscribed by it, so there is nothing to leave or to change here."),
        )
    url = sent.test_url(issue, rooms.settings, target)
    if url is None:
        return unknown(rooms)
    return RedirectResponse(as_header(url), HTTPStatus.FOUND, headers=HEADERS | PRIVATE)
