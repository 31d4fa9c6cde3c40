"""Rows of SendGrid's Event Webhook, field by field as the service posts them.

Custom args lie flattened at the top level; `smtp-id` stands on delivery events only; `attempt` is a
string. Nothing is posted here: `outbox.py` does that.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from mailer.sandbox.letters import Letter

Payload = dict[str, Any]
OUR_IP = "192.0.2.10"  # the pool's address, from the range kept for documentation
_DELIVERY_KINDS = frozenset({"processed", "deferred", "delivered", "bounce", "dropped"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a mailbox's server said no: event fields of a bounce."""

    reason: str
    status: str
    type: str  # "bounce" (hard) or "blocked"
    classification: str


NO_SUCH_MAILBOX = Refusal(
    "550 5.1.1 The email account that you tried to reach does not exist.",
    "5.1.1",
    "bounce",
    "Invalid Address",
)
BLOCKS = (
    Refusal("550 5.7.1 Message blocked by content policy", "5.7.1", "blocked", "Content"),
    Refusal("552 5.2.2 Mailbox full", "5.2.2", "blocked", "Mailbox Unavailable"),
    Refusal("550 5.7.515 Access denied, sending domain not authenticated", "5.7.515", "blocked", "Technical"),
    Refusal("554 5.7.1 Poor reputation of the sending address", "5.7.1", "blocked", "Reputation"),
)


def event(letter: Letter, kind: str, at: int, **fields: Any) -> Payload:
    """One event of a letter; `at` in whole Unix seconds."""
    payload: Payload = dict(letter.custom_args)
    payload |= {
        "email": letter.email,
        "event": kind,
        "timestamp": at,
        "sg_event_id": _event_id(letter, kind, fields),
        "sg_message_id": _message_id(letter),
    }
    if letter.categories:
        payload["category"] = list(letter.categories)
    if kind in _DELIVERY_KINDS:
        payload["smtp-id"] = f"<{letter.message_id}@geopod-ismtpd-{letter.id % 9}>"
    return payload | fields


def processed(letter: Letter, at: int) -> Payload:
    return event(letter, "processed", at, send_at=letter.send_at or 0)


def dropped(letter: Letter, at: int, reason: str) -> Payload:
    return event(letter, "dropped", at, reason=reason, status="5.0.0")


def deferred(letter: Letter, at: int, attempt: int = 1) -> Payload:
    response = "451 4.7.650 The mail server has been temporarily rate limited due to IP reputation"
    return event(letter, "deferred", at, ip=OUR_IP, response=response, attempt=str(attempt), tls=0)


def delivered(letter: Letter, at: int) -> Payload:
    response = f"250 2.0.0 OK {at} {letter.id:x} - gsmtp"
    return event(letter, "delivered", at, ip=OUR_IP, response=response, tls=1)


def bounce(letter: Letter, at: int, refusal: Refusal) -> Payload:
    return event(
        letter,
        "bounce",
        at,
        ip=OUR_IP,
        reason=refusal.reason,
        status=refusal.status,
        type=refusal.type,
        bounce_classification=refusal.classification,
        tls=1,
    )


def late_bounce(letter: Letter, at: int) -> Payload:
    """An asynchronous bounce: without custom args, ip and tls."""
    bare = bounce(letter, at, NO_SUCH_MAILBOX)
    missing = {*letter.custom_args, "ip", "tls", "category"} - {"email", "event", "timestamp"}
    return {key: value for key, value in bare.items() if key not in missing}


def spam_report(letter: Letter, at: int) -> Payload:
    return event(letter, "spamreport", at)


def unsubscribe(letter: Letter, at: int) -> Payload:
    return event(letter, "unsubscribe", at)


def _message_id(letter: Letter) -> str:
    # X-Message-Id up to the first dot; the rest names machines and is nobody's business.
    return f"{letter.message_id}.recvd-7d9c5b6f8b-q1xkz-1-6A0F{letter.id % 65536:04X}-{letter.position:X}.0"


def _event_id(letter: Letter, kind: str, fields: Payload) -> str:
    mark = f"{letter.message_id}:{letter.id}:{kind}:{fields.get('attempt', '')}:{fields.get('status', '')}"
    digest = hashlib.sha256(mark.encode()).hexdigest()[:24]
    raw = f"{kind}-{letter.id}-{digest}".encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
