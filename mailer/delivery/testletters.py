"""The editor's preview in a real inbox: the same render, the same call, nothing counted.

A test letter makes no campaign, no delivery, no subscriber and no number. Its links are `/t/` links
that store nothing, its unsubscribe opens no door, its custom args name nobody. What it says of itself
stands in the subject, and one row of `test_letter` with the revision's hash remembers it.
"""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import insert

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import preflight
from mailer.delivery.answers import DETAIL_MAX_CHARACTERS
from mailer.delivery.audience import is_allowed
from mailer.delivery.body import ONE_CLICK, TRACKING_OFF, draw_nonce, plain_name
from mailer.delivery.masking import masked
from mailer.delivery.transport import Accepted, Answer, Call, Stopped, Transport
from mailer.editions.compose import compose, whole
from mailer.editions.content import EditionContent, Selection
from mailer.editions.links import SAMPLE_TOKENS, TestLinks, TestTokens
from mailer.editions.render import RenderedEdition, render
from mailer.issues.values import Issue
from mailer.links import Slot, Slots, doors_of
from mailer.tables import test_letters
from subscribers import suppression
from subscribers.addresses import Address, parse_address
from subscribers.errors import NewsletterError

# Editors and a few colleagues; more would be a campaign without an account (design, decision 16).
ADDRESSES_MAX = 10


@dataclass(frozen=True, slots=True)
class SentTest:
    """One call that was accepted: the same letter to each address, one personalization each."""

    edition: str
    label: str
    subject: str
    recipients: int
    message_id: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def send(
    database: Database,
    transport: Transport,
    issue: Issue,
    selections: Sequence[Selection],
    to: Sequence[str],
    *,
    settings: Settings,
    now: datetime,
    name: str = "",
    author: str = "",
) -> list[SentTest]:
    """Send each of these editions to up to ten addresses, in a call each.

    Raises NewsletterError for what is refused before, and for a call that was not accepted.
    """
    preflight.require_ready(settings)
    addresses = addresses_of(database, to, settings)
    if issue.issue_id is None or issue.revision_id is None:
        raise NewsletterError("this issue is not stored.", cure="Import it first: 'mailer import FILE'.")
    full = whole(issue, settings)
    sent = []
    for selection in selections:
        content = compose(issue, selection, settings)
        subject = f"[TEST] {content.label} · r{issue.revision} · {content.subject}"
        call = call_for(issue, content, full, subject, addresses, settings=settings, name=name)
        answer = transport.submit(call)
        message_id = answer.message_id if isinstance(answer, Accepted) else None
        _log(database, issue, selection.key, subject, len(addresses), message_id, author=author, now=now)
        if message_id is None:
            raise refusal(answer)
        sent.append(SentTest(selection.key, content.label, subject, len(addresses), message_id))
    return sent


def addresses_of(
    database: Database, to: Sequence[str], settings: Settings, field: str = "--to"
) -> list[Address]:
    """The addresses, each once. Raises NewsletterError naming the one that may not be mailed."""
    found = {address.key: address for address in map(parse_address, to)}
    addresses = list(found.values())
    if not addresses or len(addresses) > ADDRESSES_MAX:
        raise NewsletterError(
            f"a test letter goes to 1 to {ADDRESSES_MAX} addresses, not {len(addresses)}.",
            field=field,
            cure="For more, make a list and send a campaign to it.",
        )
    only_to = settings.sending.only_to
    for address in addresses:
        if only_to and not is_allowed(address.email, only_to):
            raise NewsletterError(
                f"'{address.email}' may not be mailed from here: [sending] only_to names others only.",
                field=field,
                cure=f"Allowed: {', '.join(only_to)}.",
            )
    secret = settings.database.suppression_key.get_secret_value()
    hashes = {suppression.key_hash(address.key, secret): address for address in addresses}
    with database.reader() as connection:
        for key_hash in suppression.among(connection, hashes):
            raise NewsletterError(
                f"'{hashes[key_hash].email}' is suppressed: it must never be mailed, a test included.",
                field=field,
                cure="Use another address.",
            )
    return addresses


def call_for(
    issue: Issue,
    content: EditionContent,
    full: EditionContent,
    subject: str,
    addresses: Sequence[Address],
    *,
    settings: Settings,
    name: str,
) -> Call:
    """One edition for these addresses, its links counting nothing, its unsubscribe opening nothing."""
    shown = plain_name(name)
    slots = Slots(draw_nonce(repr(content), repr(settings.newsletter), shown))
    rendered = _render(issue, content, full, slots, settings)
    sender = preflight.sender_of(settings)
    doors = doors_of(settings)
    body: dict[str, Any] = {
        "from": sender["from"],
        **({"reply_to": sender["reply_to"]} if sender["reply_to"] else {}),
        "subject": subject,
        "content": [
            {"type": "text/plain", "value": rendered.text},
            {"type": "text/html", "value": rendered.html},
        ],
        "tracking_settings": TRACKING_OFF,
        "personalizations": [
            {
                "to": [{"email": address.email}],
                "headers": {
                    # As in a campaign, with a token that opens nothing.
                    "List-Unsubscribe": doors.list_unsubscribe(SAMPLE_TOKENS[Slot.LEAVE]),
                    "List-Unsubscribe-Post": ONE_CLICK,
                },
                "substitutions": {
                    slots.key(Slot.NAME_HTML): html.escape(shown),
                    slots.key(Slot.NAME_TEXT): shown,
                },
            }
            for address in addresses
        ],
    }
    return Call(body, orjson.dumps(body), len(addresses))


def _render(
    issue: Issue, content: EditionContent, full: EditionContent, slots: Slots, settings: Settings
) -> RenderedEdition:
    assert issue.revision_id is not None
    tokens = TestTokens([secret.get_secret_value() for secret in settings.web.secrets])
    links = TestLinks(doors_of(settings), tokens, issue.revision_id, issue.slug, full)
    return render(content, settings, links, slots)


def _log(
    database: Database,
    issue: Issue,
    edition_key: str,
    subject: str,
    recipients: int,
    message_id: str | None,
    *,
    author: str,
    now: datetime,
) -> None:
    with database.ledger() as connection:
        connection.execute(
            insert(test_letters).values(
                issue_id=issue.issue_id,
                revision_id=issue.revision_id,
                revision_hash=issue.hash,
                edition_key=edition_key,
                subject=subject,
                recipients=recipients,
                author=author,
                at=now,
                message_id=message_id,
            )
        )


def refusal(answer: Answer) -> NewsletterError:
    """Why a single letter did not go, for the person who sent it."""
    if isinstance(answer, Stopped):
        return NewsletterError(f"{answer.reason}.", cure=answer.cure)
    detail = answer.detail if not isinstance(answer, Accepted) else ""
    return NewsletterError(
        f"the test letter was not accepted: {masked(detail, most_characters=DETAIL_MAX_CHARACTERS)}.",
        cure="Is [sendgrid] host right? 'mailer sandbox' starts a SendGrid on this machine.",
    )
