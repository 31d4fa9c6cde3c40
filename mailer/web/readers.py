"""What one reader reaches from a letter: the letter itself, the way out, the choices.

GET shows, POST changes; HEAD and OPTIONS do neither. A token is all that a reader needs, so nothing
here asks for a cookie, and nothing shows more of the address than its owner recognises. Who left comes
back by a button of any of their letters; an address that must never be mailed does not (decision 0051).
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from mailer import dialect
from mailer.delivery.body import plain_name
from mailer.editions.links import fill
from mailer.issues.store import load_revision
from mailer.links import Purpose, Slot, Slots
from mailer.measuring import is_measured
from mailer.tables import deliveries, editions, events, subscribers
from mailer.tracking.agents import judge_agent
from mailer.web import sent
from mailer.web.context import WebContext
from mailer.web.pages import (
    FORM_MAX_BYTES,
    HEADERS,
    PRIVATE,
    READ_METHODS,
    as_header,
    letter_page,
    message,
    page,
    read_body,
    unknown,
    words,
)
from mailer.web.public import issue_page
from subscribers import choices, roster, suppression
from subscribers.addresses import mask
from subscribers.errors import NotFound
from subscribers.models import ChosenBy, SubscriberStatus

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


@dataclass(frozen=True, slots=True)
class Holder:
    """The reader of the letter that a token belongs to."""

    delivery_id: int
    campaign_id: int
    subscriber_id: int
    email: str
    name: str
    is_active: bool
    is_suppressed: bool
    has_consent: bool
    paused_until: datetime | None

    @property
    def masked(self) -> str:
        return mask(self.email)

    @property
    def gets_letters(self) -> bool:
        return self.is_active and not self.is_suppressed


def add_readers(app: FastAPI, context: WebContext) -> None:
    """`/v`, `/u`, `/p` and `/t`."""

    def view(token: str) -> Response:
        with context.database.reader() as connection:
            holder = _holder(connection, context, Purpose.READ, token)
            letter = _letter(connection, holder.delivery_id) if holder else None
        if holder is None or letter is None:
            return unknown(context)
        return letter_page(_filled(context, holder, *letter))

    def leave(token: str, saved: str = "") -> Response:
        with context.database.reader() as connection:
            holder = _holder(connection, context, Purpose.LEAVE, token)
        if holder is None:
            return unknown(context)
        return _leave_page(context, holder, has_left=not holder.is_active, saved=saved)

    async def leave_now(request: Request) -> Response:
        body = await read_body(request, FORM_MAX_BYTES)
        is_one_click = ONE_CLICK_WORD in body
        source = SOURCE_ONE_CLICK if is_one_click else SOURCE_LEAVE
        door = (context, Purpose.LEAVE, request.path_params["token"], source, _family(request))
        # Whatever else is posted here leaves: mail programs write the body as they like.
        if not is_one_click and _form(body).get("do") == [RETURN]:
            return await run_in_threadpool(_come_back, *door)
        holder = await run_in_threadpool(_leave, *door)
        if is_one_click:
            # The same words for a token of ours and any other.
            return PlainTextResponse("You are unsubscribed.\n", headers=HEADERS | PRIVATE)
        return _leave_page(context, holder, has_left=True)

    def prefs(token: str, saved: str = "") -> Response:
        with context.database.reader() as connection:
            holder = _holder(connection, context, Purpose.PREFS, token)
            chosen = choices.of(connection, holder.subscriber_id) if holder else None
        if holder is None:
            return unknown(context)
        return _prefs_page(context, holder, chosen, saved)

    async def save_prefs(request: Request) -> Response:
        body = await read_body(request, FORM_MAX_BYTES)
        token = request.path_params["token"]
        return await run_in_threadpool(_save, context, token, _form(body), _family(request))

    def test_link(token: str) -> Response:
        return _test_link(context, token)

    app.add_api_route("/v/{token}", view, methods=READ_METHODS)
    app.add_api_route("/u/{token}", leave, methods=READ_METHODS)
    app.add_route("/u/{token}", leave_now, methods=["POST"])
    app.add_api_route("/p/{token}", prefs, methods=READ_METHODS)
    app.add_route("/p/{token}", save_prefs, methods=["POST"])
    app.add_api_route("/t/{token:path}", test_link, methods=READ_METHODS)


def track_wording(context: WebContext) -> str:
    """What a reader agrees to, word for word; kept with the consent."""
    return words(context)(
        "Count my own opens and clicks, so that the editors learn which stories are read. "
        "I can withdraw this at any time, also for letters that I have already received."
    )


def return_wording(context: WebContext) -> str:
    """What somebody who left asks for, word for word; kept with the consent."""
    return words(context)("Send me the newsletter again")


def _form(body: bytes) -> Mapping[str, list[str]]:
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


def _holder(connection: Connection, context: WebContext, purpose: Purpose, token: str) -> Holder | None:
    number = context.tokens.open(purpose, token)
    if number is None:
        return None
    row = connection.execute(
        select(
            deliveries.c.campaign_id,
            subscribers.c.id,
            subscribers.c.email,
            subscribers.c.name,
            subscribers.c.status,
            subscribers.c.track_consent,
            subscribers.c.paused_until,
            suppression.is_suppressed().label("is_suppressed"),
        )
        .join(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        # An erased reader's row has no address left.
        .where(deliveries.c.id == number, subscribers.c.email != "")
    ).one_or_none()
    if row is None:
        return None
    return Holder(
        delivery_id=number,
        campaign_id=row.campaign_id,
        subscriber_id=row.id,
        email=row.email,
        name=row.name or "",
        is_active=row.status != SubscriberStatus.UNSUBSCRIBED,
        is_suppressed=bool(row.is_suppressed),
        has_consent=bool(row.track_consent),
        paused_until=row.paused_until,
    )


def _letter(connection: Connection, delivery_id: int) -> tuple[str, str] | None:
    row = connection.execute(
        select(editions.c.html, editions.c.slot_nonce)
        .join(deliveries, deliveries.c.edition_id == editions.c.id)
        .where(deliveries.c.id == delivery_id)
    ).one_or_none()
    return (row.html, row.slot_nonce) if row else None


def _filled(context: WebContext, holder: Holder, letter: str, nonce: str) -> str:
    sign = context.tokens.sign
    names_reader = holder.subscriber_id is not None and is_measured(
        context.settings.tracking.individual, holder.has_consent
    )
    track = (
        sign(Purpose.TRACK, holder.delivery_id)
        if names_reader
        else sign(Purpose.TRACK_CAMPAIGN, holder.campaign_id)
    )
    values = {
        Slot.TRACK: track,
        Slot.VIEW: sign(Purpose.READ, holder.delivery_id),
        Slot.LEAVE: sign(Purpose.LEAVE, holder.delivery_id),
        Slot.PREFS: sign(Purpose.PREFS, holder.delivery_id),
        # Last, since a name is the one value that is not ours.
        Slot.NAME_HTML: html.escape(plain_name(holder.name)),
    }
    return fill(letter, Slots(nonce), values)


def _leave(context: WebContext, purpose: Purpose, token: str, source: str, agent: str) -> Holder | None:
    """End the subscription of a token's reader, now and durably; None when there is none."""
    now = context.now()
    with context.database.ledger() as connection:
        holder = _holder(connection, context, purpose, token)
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
            statement = dialect.insert(connection, events).values(row)
            connection.execute(statement.on_conflict_do_nothing(index_elements=["dedupe_key"]))
    return holder


def _come_back(context: WebContext, purpose: Purpose, token: str, source: str, agent: str) -> Response:
    """Send to a token's reader again, topics as they were, unless the address is suppressed."""
    with context.database.ledger() as connection:
        holder = _holder(connection, context, purpose, token)
        if holder is not None and not holder.is_suppressed:
            roster.resubscribe(
                connection,
                holder.subscriber_id,
                now=context.now(),
                source=source,
                wording=return_wording(context),
                wording_version=RETURN_WORDING_VERSION,
                agent=agent or None,
            )
    return _see_again(RETURN) if holder else unknown(context)


def _save(context: WebContext, token: str, form: Mapping[str, list[str]], agent: str) -> Response:
    wanted = form.get("do", [""])[0]
    if wanted == "leave":
        holder = _leave(context, Purpose.PREFS, token, SOURCE_PREFS, agent)
        return _see_again("left") if holder else unknown(context)
    if wanted == RETURN:
        return _come_back(context, Purpose.PREFS, token, SOURCE_PREFS, agent)
    with context.database.ledger() as connection:
        holder = _holder(connection, context, Purpose.PREFS, token)
        if holder is None:
            return unknown(context)
        chosen = choices.of(connection, holder.subscriber_id)
        if wanted == "topics":
            picked = [slug for slug in form.get("topic", []) if slug in context.settings.topics]
            wants_all = form.get("which", [""])[0] == "all"
            if not picked and not wants_all:
                return _prefs_page(context, holder, chosen, "", fault="no-topic")
            roster.set_topics(
                connection,
                holder.subscriber_id,
                None if wants_all else picked,
                by=ChosenBy.READER,
                now=context.now(),
            )
        elif wanted == "pause":
            weeks = form.get("weeks", [""])[0]
            if weeks not in {str(each) for each in (0, *PAUSE_WEEKS)}:
                return _prefs_page(context, holder, chosen, "", fault="not-understood")
            until = context.now() + timedelta(weeks=int(weeks)) if weeks != "0" else None
            roster.pause(connection, holder.subscriber_id, until)
        elif wanted == "measuring":
            _set_measuring(connection, context, holder, form, agent)
        else:
            return _prefs_page(context, holder, chosen, "", fault="not-understood")
    return _see_again(wanted)


def _set_measuring(
    connection: Connection, context: WebContext, holder: Holder, form: Mapping[str, list[str]], agent: str
) -> None:
    roster.set_track_consent(
        connection,
        holder.subscriber_id,
        form.get("measure", [""])[0] == "yes",
        now=context.now(),
        source=SOURCE_PREFS,
        wording=track_wording(context),
        wording_version=TRACK_WORDING_VERSION,
        agent=agent or None,
    )


def _see_again(saved: str) -> Response:
    # Relative, so that the token stands in no header and any path prefix stays.
    return RedirectResponse(f"?saved={saved}", HTTPStatus.SEE_OTHER, headers=HEADERS | PRIVATE)


def _leave_page(context: WebContext, holder: Holder | None, *, has_left: bool, saved: str = "") -> Response:
    return page(
        context,
        "leave.html.j2",
        holder=holder,
        has_left=has_left,
        is_back=saved == RETURN and holder is not None and holder.gets_letters,
        return_wording=return_wording(context),
        contact=_contact(context),
    )


def _contact(context: WebContext) -> str:
    newsletter = context.settings.newsletter
    return newsletter.reply_to or newsletter.from_email


def _prefs_page(
    context: WebContext, holder: Holder, chosen: frozenset[str] | None, saved: str, fault: str = ""
) -> Response:
    now = context.now()
    is_paused = holder.paused_until is not None and holder.paused_until > now
    return page(
        context,
        "prefs.html.j2",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        holder=holder,
        chosen=chosen,
        saved=saved,
        fault=fault,
        paused_until=holder.paused_until if is_paused else None,
        weeks=PAUSE_WEEKS,
        wording=track_wording(context),
        return_wording=return_wording(context),
        contact=_contact(context),
        may_measure=context.settings.tracking.individual == "with-consent",
    )


def _test_link(context: WebContext, token: str) -> Response:
    """Lead on from a test letter; what would concern a reader says that it is a test."""
    target = context.test_tokens.open(token)
    if target is None:
        return unknown(context)
    with context.database.reader() as connection:
        try:
            issue = load_revision(connection, target.revision_id, context.settings)
        except NotFound:
            return unknown(context)
    if target.place == "view":
        return issue_page(context, sent.whole(issue, context.settings), None)
    if target.place in ("leave", "prefs"):
        say = words(context)
        return message(
            context,
            say("This was a test letter"),
            say("It went to somebody who looks at an issue before it is sent."),
            say("Nobody is subscribed by it, so there is nothing to leave or to change here."),
        )
    url = sent.test_url(issue, context.settings, target)
    if url is None:
        return unknown(context)
    return RedirectResponse(as_header(url), HTTPStatus.FOUND, headers=HEADERS | PRIVATE)


def _family(request: Request) -> str:
    """The kind of program that asks, for the proof of a consent; never the header itself."""
    return judge_agent(request.headers.get("user-agent", "")).family
