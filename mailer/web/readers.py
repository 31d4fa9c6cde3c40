"""What one reader decides from a letter: the way out, the way back, the choices.

GET shows, POST changes; HEAD and OPTIONS do neither. A token is all that a reader needs, so nothing
here asks for a cookie, and nothing shows more of the address than its owner recognises. Who left comes
back by a button of any of their letters; an address that must never be mailed does not (decision 0062).
"""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import events
from mailer.tracking.agents import judge_agent
from mailer.web.holder import Holder, holder_of
from mailer.web.pages import (
    FORM_MAX_BYTES,
    HEADERS,
    PRIVATE,
    READ_METHODS,
    page,
    read_body,
    unknown,
    words,
)
from subscribers import choices, consent, roster
from subscribers.models import ChosenBy
from subscribers.tables import upsert

# The weeks a reader may ask for silence.
PAUSE_WEEKS = (2, 4, 8, 12)
# Raised when the sentence beside the tick box changes: the proof names the words that were read.
TRACK_WORDING_VERSION = "1"
# Raised with the words of the button that brings somebody back.
RETURN_WORDING_VERSION = "1"
SOURCE_LEAVE, SOURCE_ONE_CLICK, SOURCE_PREFS = "leave page", "one-click", "preferences page"
# The body of a mail program's POST (RFC 8058, 3.1), in whichever encoding.
ONE_CLICK_WORD = b"One-Click"
LEFT_KIND = "unsubscribe"
# What the button of somebody who left posts as `do`.
RETURN = "return"


def add_readers(app: FastAPI, rooms: Rooms) -> None:
    """`/u` and `/p`."""

    def leave(token: str, saved: str = "") -> Response:
        with rooms.database.reader() as connection:
            holder = holder_of(connection, rooms, Purpose.LEAVE, token)
        if holder is None:
            return unknown(rooms)
        return _leave_page(rooms, holder, has_left=not holder.is_active, saved=saved)

    async def leave_now(request: Request) -> Response:
        body = await read_body(request, FORM_MAX_BYTES)
        is_one_click = ONE_CLICK_WORD in body
        source = SOURCE_ONE_CLICK if is_one_click else SOURCE_LEAVE
        door = (rooms, Purpose.LEAVE, request.path_params["token"], source, _family(request))
        # Whatever else is posted here leaves: mail programs write the body as they like.
        if not is_one_click and _form(body).get("do") == [RETURN]:
            return await run_in_threadpool(_come_back, *door)
        holder = await run_in_threadpool(_leave, *door)
        if is_one_click:
            # The same words for a token of ours and any other.
            return PlainTextResponse("You are unsubscribed.\n", headers=HEADERS | PRIVATE)
        return _leave_page(rooms, holder, has_left=True)

    def prefs(token: str, saved: str = "") -> Response:
        with rooms.database.reader() as connection:
            holder = holder_of(connection, rooms, Purpose.PREFS, token)
            chosen = choices.of(connection, holder.subscriber_id) if holder else None
        if holder is None:
            return unknown(rooms)
        return _prefs_page(rooms, holder, chosen, saved)

    async def save_prefs(request: Request) -> Response:
        body = await read_body(request, FORM_MAX_BYTES)
        token = request.path_params["token"]
        return await run_in_threadpool(_save, rooms, token, _form(body), _family(request))

    app.add_api_route("/u/{token}", leave, methods=READ_METHODS)
    app.add_route("/u/{token}", leave_now, methods=["POST"])
    app.add_api_route("/p/{token}", prefs, methods=READ_METHODS)
    app.add_route("/p/{token}", save_prefs, methods=["POST"])


def track_wording(rooms: Rooms) -> str:
    """What a reader agrees to, word for word; kept with the consent."""
    return words(rooms)(
        "Count my own opens and clicks, so that the editors learn which stories are read. "
        "I can withdraw this at any time, also for letters that I have already received."
    )


def return_wording(rooms: Rooms) -> str:
    """What somebody who left asks for, word for word; kept with the consent."""
    return words(rooms)("Send me the newsletter again")


def _form(body: bytes) -> Mapping[str, list[str]]:
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


def _leave(rooms: Rooms, purpose: Purpose, token: str, source: str, agent: str) -> Holder | None:
    """End the subscription of a token's reader, now and durably; None when there is none."""
    now = rooms.now()
    with rooms.database.ledger() as connection:
        holder = holder_of(connection, rooms, purpose, token)
        if holder is not None and roster.unsubscribe(
            connection, holder.subscriber_id, now=now, source=source, agent=agent or None
        ):
            # The letter that somebody left from, once: the campaign's own number of people who left.
            row = {
                "dedupe_key": f"w:left:{holder.delivery_id}",
                "campaign_id": holder.campaign_id,
                "delivery_id": holder.delivery_id,
                "kind": LEFT_KIND,
                "occurred_at": now,
                "received_at": now,
                "settled": True,
                "detail": {},
            }
            statement = upsert(events).values(row)
            connection.execute(statement.on_conflict_do_nothing(index_elements=["dedupe_key"]))
    rooms.bring_leavers()
    return holder


def _come_back(rooms: Rooms, purpose: Purpose, token: str, source: str, agent: str) -> Response:
    """Send to a token's reader again, topics as they were, unless the address is suppressed."""
    with rooms.database.ledger() as connection:
        holder = holder_of(connection, rooms, purpose, token)
        if holder is not None and not holder.is_suppressed:
            roster.resubscribe(
                connection,
                holder.subscriber_id,
                now=rooms.now(),
                source=source,
                wording=return_wording(rooms),
                wording_version=RETURN_WORDING_VERSION,
                agent=agent or None,
            )
    rooms.bring_leavers()
    return _see_again(RETURN) if holder else unknown(rooms)


def _save(rooms: Rooms, token: str, form: Mapping[str, list[str]], agent: str) -> Response:
    wanted = form.get("do", [""])[0]
    if wanted == "leave":
        holder = _leave(rooms, Purpose.PREFS, token, SOURCE_PREFS, agent)
        return _see_again("left") if holder else unknown(rooms)
    if wanted == RETURN:
        return _come_back(rooms, Purpose.PREFS, token, SOURCE_PREFS, agent)
    with rooms.database.ledger() as connection:
        holder = holder_of(connection, rooms, Purpose.PREFS, token)
        if holder is None:
            return unknown(rooms)
        chosen = choices.of(connection, holder.subscriber_id)
        if wanted == "topics":
            picked = [slug for slug in form.get("topic", []) if slug in rooms.settings.topics]
            wants_all = form.get("which", [""])[0] == "all"
            if not picked and not wants_all:
                return _prefs_page(rooms, holder, chosen, "", fault="no-topic")
            choices.set_choices(
                connection,
                holder.subscriber_id,
                None if wants_all else picked,
                by=ChosenBy.READER,
                now=rooms.now(),
            )
        elif wanted == "pause":
            weeks = form.get("weeks", [""])[0]
            if weeks not in {str(each) for each in (0, *PAUSE_WEEKS)}:
                return _prefs_page(rooms, holder, chosen, "", fault="not-understood")
            until = rooms.now() + timedelta(weeks=int(weeks)) if weeks != "0" else None
            roster.pause(connection, holder.subscriber_id, until)
        elif wanted == "measuring":
            _set_measuring(connection, rooms, holder, form, agent)
        else:
            return _prefs_page(rooms, holder, chosen, "", fault="not-understood")
    return _see_again(wanted)


def _set_measuring(
    connection: Connection, rooms: Rooms, holder: Holder, form: Mapping[str, list[str]], agent: str
) -> None:
    consent.set_track_consent(
        connection,
        holder.subscriber_id,
        form.get("measure", [""])[0] == "yes",
        now=rooms.now(),
        source=SOURCE_PREFS,
        wording=track_wording(rooms),
        wording_version=TRACK_WORDING_VERSION,
        agent=agent or None,
    )


def _see_again(saved: str) -> Response:
    # Relative, so that the token stands in no header and any path prefix stays.
    return RedirectResponse(f"?saved={saved}", HTTPStatus.SEE_OTHER, headers=HEADERS | PRIVATE)


def _leave_page(rooms: Rooms, holder: Holder | None, *, has_left: bool, saved: str = "") -> Response:
    return page(
        rooms,
        "leave.html.j2",
        holder=holder,
        has_left=has_left,
        is_back=saved == RETURN and holder is not None and holder.gets_letters,
        return_wording=return_wording(rooms),
        contact=_contact(rooms),
    )


def _contact(rooms: Rooms) -> str:
    newsletter = rooms.settings.newsletter
    return newsletter.reply_to or newsletter.from_email


def _prefs_page(
    rooms: Rooms, holder: Holder, chosen: frozenset[str] | None, saved: str, fault: str = ""
) -> Response:
    now = rooms.now()
    is_paused = holder.paused_until is not None and holder.paused_until > now
    return page(
        rooms,
        "prefs.html.j2",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        holder=holder,
        chosen=chosen,
        saved=saved,
        fault=fault,
        paused_until=holder.paused_until if is_paused else None,
        weeks=PAUSE_WEEKS,
        wording=track_wording(rooms),
        return_wording=return_wording(rooms),
        contact=_contact(rooms),
        may_measure=rooms.settings.tracking.individual == "with-consent",
    )


def _family(request: Request) -> str:
    """The kind of program that asks, for the proof of a consent; never the header itself."""
    return judge_agent(request.headers.get("user-agent", "")).family
