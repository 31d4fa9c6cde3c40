"""A POST of events, read: whatever SendGrid writes becomes rows of known shape, or is counted.

Every string of it is hostile text from a mail server or a reader. `detail` is an allow-list; no
address, IP, User-Agent, URL or raw body passes. A row that is no event is counted, never an error.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from mailer.delivery.masking import masked
from mailer.event_models import Verdict
from mailer.links import ATTEMPT_ARG, DELIVERY_ARG
from mailer.tracking.agents import judge_agent, rule_name
from mailer.tracking.consequences import Effect, effect_of

SENDGRID_PREFIX = "sg:"
HASH_PREFIX = "h:"

# sg_event_id has up to 100 characters (SendGrid, Event Webhook reference).
EVENT_ID = re.compile(r"[!-~]{1,120}")
KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
UNREADABLE_KIND = "unrecognised"
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
STATUS = re.compile(r"\d\.\d{1,3}\.\d{1,3}")
ATTEMPT_ID = re.compile(r"[0-9a-f]{32}")
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
REASON_MAX_CHARACTERS = 200

# SendGrid's classes of bounces; another text is kept as "Other".
CLASSIFICATIONS = frozenset(
    (
        "Unclassified",
        "Invalid Address",
        "Technical",
        "Content",
        "Reputation",
        "Frequency or Volume Too High",
        "Mailbox Unavailable",
    )
)
OTHER_CLASSIFICATION = "Other"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of a POST. `address` and `message_id` serve the search for its delivery, unstored."""

    dedupe_key: str
    kind: str
    occurred_at: datetime | None  # None: the row had no usable time
    event_token: str
    attempt_id: str
    message_id: str  # what came before the first dot of sg_message_id
    address: str
    verdict: str | None
    rule: str | None
    detail: dict[str, Any]
    effect: Effect


def read_rows(raw: bytes) -> tuple[list[EventRow], list[str]]:
    """The events of a body and a key for each row that is none; an unreadable body is one such row."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            # Slower, and generous: NaN, lone surrogates and numbers of any size.
            body = json.loads(raw)
        except (ValueError, RecursionError):
            return [], [HASH_PREFIX + hashlib.sha256(raw).hexdigest()]
    entries = body if isinstance(body, list) else [body]
    rows, unreadable = [], []
    for entry in entries:
        if isinstance(entry, dict) and _is_event(entry):
            rows.append(read_row(entry))
        else:
            unreadable.append(_hash(entry))
    return rows, unreadable


def read_row(entry: Mapping[str, Any]) -> EventRow:
    """One event, each field checked or left out."""
    kind = _text(entry.get("event"))
    verdict, rule, family = _judge(kind, entry)
    return EventRow(
        dedupe_key=_dedupe_key(entry),
        kind=kind if KIND.fullmatch(kind) else UNREADABLE_KIND,
        occurred_at=_time(entry.get("timestamp")),
        event_token=_text(entry.get(DELIVERY_ARG)),
        attempt_id=_matching(ATTEMPT_ID, entry.get(ATTEMPT_ARG)),
        message_id=_matching(MESSAGE_ID, _text(entry.get("sg_message_id")).split(".", 1)[0]),
        address=_text(entry.get("email")),
        verdict=verdict,
        rule=rule,
        detail=_detail(kind, entry, family),
        effect=effect_of(entry),
    )


def _is_event(entry: Mapping[str, Any]) -> bool:
    return bool(_text(entry.get("event")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _matching(pattern: re.Pattern[str], value: object) -> str:
    text = _text(value)
    return text if pattern.fullmatch(text) else ""


def _dedupe_key(entry: Mapping[str, Any]) -> str:
    event_id = _matching(EVENT_ID, entry.get("sg_event_id"))
    if event_id:
        return SENDGRID_PREFIX + event_id
    return _hash(entry)


def _hash(entry: object) -> str:
    try:
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    except RecursionError:
        # Nested beyond any event: what lies on top tells them apart well enough.
        canonical = json.dumps(sorted(entry) if isinstance(entry, dict) else "deep")
    return HASH_PREFIX + hashlib.sha256(canonical.encode()).hexdigest()


def _time(value: object) -> datetime | None:
    """Unix seconds as a number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
        if not math.isfinite(seconds) or seconds <= 0:
            return None
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _judge(kind: str, entry: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
    if kind not in ("open", "click"):
        return None, None, ""
    said = judge_agent(_text(entry.get("useragent")))
    if entry.get("sg_machine_open") in (True, "true"):
        return Verdict.MACHINE.value, rule_name("sendgrid-machine-open"), said.family
    return said.verdict.value, said.rule, said.family


def _detail(kind: str, entry: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The allow-list (design, decision 7)."""
    address = _text(entry.get("email"))
    classification = _text(entry.get("bounce_classification"))
    if classification and classification not in CLASSIFICATIONS:
        classification = OTHER_CLASSIFICATION
    kept = {
        "type": _matching(WORD, entry.get("type")),
        "status": _matching(STATUS, entry.get("status")),
        "classification": classification,
        "reason": masked(_text(entry.get("reason")), address, most_characters=REASON_MAX_CHARACTERS),
        "attempt": _small_number(entry.get("attempt")),
        "agent": family,
    }
    if kind == "click":
        # Which link, for bursts only: SendGrid's own tracking knows addresses, not our link ids.
        kept["link"] = hashlib.sha256(_text(entry.get("url")).encode("utf-8", "replace")).hexdigest()[:12]
    return {name: value for name, value in kept.items() if value not in ("", None)}


def _small_number(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
