"""What an answer of SendGrid's mail/send means: status, headers and body into a known outcome.

Pure: it opens no connection and reads no clock but the one it is given. It refuses to guess: an
answer that is no proof is `Uncertain`. No address that an error text may quote goes any further.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from mailer.delivery.masking import masked
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadBody,
    BadRecipients,
    BadSomewhere,
    Busy,
    Stopped,
    TooLarge,
    Uncertain,
)

# A 429 without a usable Reset: SendGrid counts by the minute.
DEFAULT_WAIT_SECONDS = 60.0
# A Reset beyond this is garbage or another clock; the next call will ask again.
LONGEST_WAIT_SECONDS = 900.0
SHORTEST_WAIT_SECONDS = 1.0
# A unix time in milliseconds is beyond the year 5000 when read as seconds.
MILLISECONDS_FROM = 10**11
# A number below this is no unix time but a count of seconds from now.
RELATIVE_BELOW = 10**9
DETAIL_MAX_CHARACTERS = 300

_PLACE = re.compile(r"personalizations[.\[](\d{1,9})")
_PLACE_IN_MESSAGE = re.compile(r"personalizations\[(\d{1,9})\]|personalizations\.(\d{1,9})\b")
# Fields of the letter itself: every call of the campaign carries the same.
_BODY_FIELDS = re.compile(
    r"^(from|reply_to|reply_to_list|subject|content|headers|categories|category|template_id|tracking_settings"
    r"|mail_settings|asm|send_at|batch_id|custom_args|attachments|sections|ip_pool_name)\b"
)

_STOPS: dict[int, tuple[str, str]] = {
    401: (
        "SendGrid refused the key, or the account's credits are used up (401)",
        "Check [sendgrid] api_key in secrets.toml and the account's plan, then resume.",
    ),
    403: (
        "SendGrid does not allow this (403): the key lacks mail.send, or the sender is not verified",
        "Give the key the scope mail.send, verify the domain of [newsletter] from_email, then resume.",
    ),
    404: (
        "there is no mail/send at this address (404)",
        "Check [sendgrid] host, for example https://api.sendgrid.com, then resume.",
    ),
    405: ("this address takes no POST (405)", "Check [sendgrid] host, then resume."),
    406: (
        "the server refuses the form of the answer we ask for (406)",
        "Check [sendgrid] host, then resume.",
    ),
    415: ("the server refuses JSON (415)", "Check [sendgrid] host, then resume."),
    451: (
        "the account's region does not allow this host (451)",
        "Use https://api.eu.sendgrid.com for an account in the EU, then resume.",
    ),
}


def read(status: int, headers: Mapping[str, str], body: bytes, *, recipients: int, now: datetime) -> Answer:
    """The outcome that an answer proves. `headers` by lower-case name; `body` may be cut or no JSON."""
    if status == 202:
        message_id = headers.get("x-message-id", "").strip()
        if message_id and message_id.isascii() and message_id.isprintable():
            return Accepted(message_id[:200])
        return Uncertain("the answer 202 has no X-Message-Id", status)
    if 300 <= status < 400:
        return Stopped(
            f"the address of SendGrid answers with a redirect ({status}), which is never followed",
            "Check [sendgrid] host, for example https://api.sendgrid.com, then resume.",
            status,
        )
    if status == 400:
        return _bad_request(_errors(body), recipients)
    if status == 413:
        return TooLarge("the request is too large (413)")
    if status == 429:
        wait = wait_seconds(headers, now)
        return Busy(wait, f"too many requests (429); again in {wait:.0f} s")
    # 408 may be said of an idle connection while our request was on its way.
    if 400 <= status < 500 and status != 408:
        reason, cure = _STOPS.get(
            status, (f"SendGrid refused the call ({status})", "Look at the attempt's detail, then resume.")
        )
        said = _said(_errors(body))
        return Stopped(f"{reason}{': ' + said if said else ''}", cure, status)
    return Uncertain(f"the answer {status} does not say whether the letters were taken", status)


def wait_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds to wait after a 429: X-RateLimit-Reset in unix seconds, milliseconds or seconds from now."""
    for name in ("x-ratelimit-reset", "retry-after"):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,18}(\.\d{1,9})?", text):
            number = float(text)
            if number >= MILLISECONDS_FROM:
                number /= 1000
            wait = number if number < RELATIVE_BELOW else number - now.timestamp()
            return min(max(wait, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
    return DEFAULT_WAIT_SECONDS


def _bad_request(errors: Sequence[tuple[str, str]], recipients: int) -> Answer:
    places: set[int] = set()
    about_body = False
    for field, message in errors:
        found = _PLACE.match(field) or (None if field else _PLACE_IN_MESSAGE.search(message))
        place = int(next(group for group in found.groups() if group is not None)) if found else None
        if place is not None and place < recipients:
            places.add(place)
        elif place is None and _BODY_FIELDS.match(field):
            about_body = True
    said = _said(errors) or "the request was refused (400) without a reason"
    # A fault of the letter itself comes first: no reader may be rejected for it.
    if about_body:
        return BadBody(said)
    if places:
        return BadRecipients(tuple(sorted(places)), said)
    return BadSomewhere(said)


def _errors(body: bytes) -> list[tuple[str, str]]:
    """(field, message) of each error; empty when the body is none of SendGrid's."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    listed = parsed.get("errors") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        return []
    found = []
    for error in listed[:1000]:
        if isinstance(error, dict):
            field, message = error.get("field"), error.get("message")
            found.append(
                (field if isinstance(field, str) else "", message if isinstance(message, str) else "")
            )
    return found


def _said(errors: Sequence[tuple[str, str]]) -> str:
    parts = [f"{field}: {message}" if field else message for field, message in errors[:3]]
    return masked("; ".join(part for part in parts if part), most_characters=DETAIL_MAX_CHARACTERS)
