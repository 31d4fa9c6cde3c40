"""One request of mail/send for up to 1,000 readers of one edition, as plain values.

Pure. One reader stands in each personalization, with nobody's name beside the address; what is a
reader's own travels as substitutions, list headers and two opaque custom args. No topic, name or
address stands anywhere else. It refuses a request in which an address stands twice. SendGrid's limits
of 10,000 bytes need no check: a name is cut, and all else of a personalization has a fixed length.
"""

import html
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, NamedTuple

import orjson

from mailer.delivery.transport import Call
from mailer.editions.links import NAMELESS
from mailer.links import ATTEMPT_ARG, DELIVERY_ARG, Doors, Purpose, Slot, Slots, Tokens
from subscribers.names import NAME_MAX_CHARACTERS

ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058, 3.1
NONCE_CHARACTERS = 8
# Base32 without what is read wrongly aloud; lower case, so that no `[[…]]` of a text looks alike.
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
# Stands where readers differ; no address, key or id has it in it.
_MARK = "\0"
_MARK_ENCODED = "\\u0000"

# SendGrid's own tracking stays off, whatever the account's settings say: ours counts.
TRACKING_OFF: dict[str, Any] = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
    "ganalytics": {"enable": False},
}


@dataclass(frozen=True, slots=True)
class FrozenEdition:
    """What all readers of a call share: an edition as the freeze left it."""

    campaign_id: int
    sender: dict[str, Any]  # {"from": {"email", "name"}, "reply_to": {"email"} or None}
    subject: str
    html: str
    text: str
    slot_nonce: str


class Reader(NamedTuple):
    """One personalization. `is_measured`: counted in person; else by the one token of the campaign."""

    delivery_id: int
    email: str
    name: str
    is_measured: bool


def build(
    edition: FrozenEdition,
    readers: Sequence[Reader],
    *,
    attempt_id: str,
    tokens: Tokens,
    doors: Doors,
    batch_id: str | None = None,
    send_at: datetime | None = None,
) -> Call:
    """The request for these readers; behind a fence it has an id to cancel it by, and a time.

    Raises ValueError when an address stands in it twice.
    """
    if len({reader.email.casefold() for reader in readers}) != len(readers):
        raise ValueError("an address stands twice in one request")
    edition = _with_free_nonce(edition, readers)
    body = {
        "from": edition.sender["from"],
        **({"reply_to": edition.sender["reply_to"]} if edition.sender.get("reply_to") else {}),
        "subject": edition.subject,
        "content": [
            {"type": "text/plain", "value": edition.text},
            {"type": "text/html", "value": edition.html},
        ],
        "tracking_settings": TRACKING_OFF,
        **({"batch_id": batch_id} if batch_id else {}),
        **({"send_at": int(send_at.timestamp())} if send_at else {}),
        # JSON at once: a call would make and keep thousands of objects otherwise.
        "personalizations": orjson.Fragment(
            _personalizations(edition, readers, attempt_id=attempt_id, tokens=tokens, doors=doors)
        ),
    }
    return Call(body, orjson.dumps(body), len(readers))


def draw_nonce(*texts: str) -> str:
    """Eight characters that occur in none of the texts."""
    while True:
        nonce = "".join(secrets.choice(_BASE32) for _ in range(NONCE_CHARACTERS))
        if not any(nonce in text for text in texts):
            return nonce


def _with_free_nonce(edition: FrozenEdition, readers: Sequence[Reader]) -> FrozenEdition:
    """The edition, its keys renamed when a reader's name contains them: replacing is blind to order."""
    names = "\n".join(reader.name for reader in readers)
    if edition.slot_nonce not in names:
        return edition
    nonce = draw_nonce(names, edition.subject, edition.html, edition.text)
    old, new = Slots(edition.slot_nonce), Slots(nonce)
    parts = [edition.subject, edition.html, edition.text]
    for slot in Slot:
        parts = [part.replace(old.key(slot), new.key(slot)) for part in parts]
    subject, html_text, text = parts
    return replace(edition, subject=subject, html=html_text, text=text, slot_nonce=nonce)


def _personalizations(
    edition: FrozenEdition,
    readers: Sequence[Reader],
    *,
    attempt_id: str,
    tokens: Tokens,
    doors: Doors,
) -> bytes:
    """JSON of all personalizations: one is encoded with marks where readers differ, and filled for each."""
    slots = Slots(edition.slot_nonce)
    name_keys = [slots.key(slot) for slot in (Slot.NAME_TEXT, Slot.NAME_HTML)]
    # A name leaves only where the letter greets with it.
    greets = any(key in part for key in name_keys for part in (edition.subject, edition.html, edition.text))
    pattern = _pattern(slots, attempt_id, doors, greets=greets)
    for_all = tokens.sign(Purpose.TRACK_CAMPAIGN, edition.campaign_id)
    signed = tokens.sign_letters([reader.delivery_id for reader in readers])
    made = []
    for reader, own in zip(readers, signed, strict=True):
        names: tuple[str, ...] = ()
        if greets:
            name = plain_name(reader.name)
            names = (_within_json(name), _within_json(html.escape(name)))
        made.append(
            pattern
            % (  # in the order of `_pattern`
                _within_json(reader.email),
                own.leave,
                own.track if reader.is_measured else for_all,
                own.read,
                own.leave,
                own.prefs,
                *names,
                own.event,
            )
        )
    return f"[{','.join(made)}]".encode()


def _pattern(slots: Slots, attempt_id: str, doors: Doors, *, greets: bool) -> str:
    """JSON of one personalization with `%s` for what is a reader's own."""
    own = [Slot.TRACK, Slot.VIEW, Slot.LEAVE, Slot.PREFS]
    if greets:
        own += [Slot.NAME_TEXT, Slot.NAME_HTML]
    marked = {
        "to": [{"email": _MARK}],
        "headers": {
            "List-Unsubscribe": doors.list_unsubscribe(_MARK),
            "List-Unsubscribe-Post": ONE_CLICK,
        },
        "substitutions": {slots.key(slot): _MARK for slot in own},
        "custom_args": {DELIVERY_ARG: _MARK, ATTEMPT_ARG: attempt_id},
    }
    return orjson.dumps(marked).decode().replace("%", "%%").replace(_MARK_ENCODED, "%s")


def _within_json(text: str) -> str:
    return encode_basestring(text)[1:-1]


def plain_name(name: str) -> str:
    """The name on one line, "you" for none."""
    return " ".join(name.split())[:NAME_MAX_CHARACTERS] or NAMELESS
