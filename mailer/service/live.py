"""One real call with two readers in it, and what to look at in their inboxes: what no door of SendGrid tells.

Built as a campaign's calls are: substitutions, list headers and custom args of each reader's own, one body
for both. Its links and its unsubscribe open nothing, and it is counted nowhere.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from mailer.config import Settings
from mailer.delivery import preflight, testletters
from mailer.delivery.body import ONE_CLICK, TRACKING_OFF, draw_nonce
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.transport import Accepted, Call
from mailer.editions.render import render_single
from mailer.links import DELIVERY_ARG, Slot, Slots, doors_of
from mailer.service.rooms import Rooms
from subscribers.addresses import Address
from subscribers.errors import NewsletterError

READERS = 2


@dataclass(frozen=True, slots=True)
class Copy:
    """What tells one copy from the other. The token has a token's length and opens nothing."""

    who: str
    name: str
    token: str


# An accent, an apostrophe and an ampersand show a wrong encoding, and escaping that is missing or doubled.
COPIES = (
    Copy("First copy", "Zoë O'Neil & Ada", "first-check-opens-nought"),
    Copy("Second copy", "Bela <Bianchi>", "other-check-opens-nought"),
)


@dataclass(frozen=True, slots=True)
class SentLive:
    """The call that was accepted, and what to look at."""

    to: tuple[str, ...]
    message_id: str
    look_at: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"to": list(self.to), "message_id": self.message_id, "look_at": list(self.look_at)}


def addresses(rooms: Rooms, to: Sequence[str]) -> list[Address]:
    """The two addresses. Raises NewsletterError for others than two, or one that may not be mailed."""
    found = testletters.addresses_of(rooms.database, to, rooms.settings, field="--live")
    if len(found) != READERS:
        raise NewsletterError(
            "a live check needs two different addresses: it shows whether their letters are mixed up.",
            field="--live",
            cure="Name two inboxes of yours, best at two providers.",
        )
    return found


def send(rooms: Rooms, to: Sequence[str]) -> SentLive:
    """Send it. Raises NewsletterError for what is refused before, and for a call that was not accepted."""
    preflight.require_ready(rooms.settings)
    readers = addresses(rooms, to)
    transport = SendGrid.of(rooms.settings)
    try:
        answer = transport.submit(call_of(readers, rooms.settings))
    finally:
        transport.close()
    if not isinstance(answer, Accepted):
        raise testletters.refusal(answer)
    return SentLive(
        tuple(reader.email for reader in readers), answer.message_id, tuple(look_at(rooms.settings))
    )


def call_of(readers: Sequence[Address], settings: Settings) -> Call:
    """The request: one body, two personalizations."""
    slots = Slots(draw_nonce(repr(settings.newsletter), repr(COPIES)))
    doors = doors_of(settings)
    links = {
        "view": doors.view(slots.key(Slot.VIEW)),
        "prefs": doors.prefs(slots.key(Slot.PREFS)),
        "leave": doors.leave(slots.key(Slot.LEAVE)),
        "pixel": doors.pixel(slots.key(Slot.TRACK)),
    }
    who = f"[[{slots.nonce}:w]]"
    given: dict[str, Any] = {"headline": "A check", "who": who, "links": links, "site": settings.web.base_url}
    rendered_html, _ = render_single("live", settings, **given, reader_name=slots.key(Slot.NAME_HTML))
    _, rendered_text = render_single("live", settings, **given, reader_name=slots.key(Slot.NAME_TEXT))
    sender = preflight.sender_of(settings)
    body = {
        "from": sender["from"],
        **({"reply_to": sender["reply_to"]} if sender["reply_to"] else {}),
        "subject": f"[CHECK] {settings.newsletter.name}",
        "content": [
            {"type": "text/plain", "value": rendered_text},
            {"type": "text/html", "value": rendered_html},
        ],
        "tracking_settings": TRACKING_OFF,
        "personalizations": [
            {
                "to": [{"email": reader.email}],
                "headers": {
                    "List-Unsubscribe": doors.list_unsubscribe(copy.token),
                    "List-Unsubscribe-Post": ONE_CLICK,
                },
                "substitutions": {
                    who: copy.who,
                    slots.key(Slot.NAME_HTML): html.escape(copy.name),
                    slots.key(Slot.NAME_TEXT): copy.name,
                    **{
                        slots.key(slot): copy.token
                        for slot in (Slot.VIEW, Slot.PREFS, Slot.LEAVE, Slot.TRACK)
                    },
                },
                "custom_args": {DELIVERY_ARG: copy.token},
            }
            for reader, copy in zip(readers, COPIES, strict=True)
        ],
    }
    return Call(body, orjson.dumps(body), len(readers))


def look_at(settings: Settings) -> list[str]:
    """What a person sees that no machine tells, in the order in which it is found."""
    first, second = COPIES
    sender = settings.newsletter
    doors = doors_of(settings)
    domain = sender.from_email.rpartition("@")[2]
    return [
        "Both letters are in the inbox, not among spam or promotions.",
        f"The first address got '{first.who}' and greets {first.name}; the second got '{second.who}' and "
        f"greets {second.name}. Nothing is mixed up.",
        "No '[[' is left, in the letter, in its plain-text view and in its subject; names are whole, with "
        "accent, apostrophe, & and <>.",
        f"From says {sender.from_name} <{sender.from_email}>. 'Show original': SPF, DKIM and DMARC pass, and "
        f"d= is {domain} or its parent.",
        f"The header List-Unsubscribe is one line, {doors.list_unsubscribe(first.token)} in the first and "
        f"{doors.list_unsubscribe(second.token)} in the second; List-Unsubscribe-Post stands beside it, and "
        "h= of the DKIM signature names both.",
        "The mail client shows its own unsubscribe button beside the sender (some show it to known senders "
        "only).",
        f"Every link leads to {settings.web.base_url} at once, with no host of SendGrid between.",
        "Below the letter stands nothing that is not ours: no footer, no second unsubscribe.",
        "Light and dark, on a phone and on a desk, every word can be read.",
        "After some minutes 'mailer check' counts events for letters that this site did not send: theirs.",
    ]
