"""SendGrid's events come in: each stored once, joined to its letter, its consequences applied.

One transaction holds a POST (or a thousand rows of it): events, fates, suppressions and the witness
for doubtful calls together, or nothing. What nobody knows is counted, never refused, since a refusal
makes SendGrid repeat the whole POST for 24 hours. No address, IP or raw body is stored.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from mailer import bulk
from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import reconcile, withdrawal
from mailer.links import Purpose, Tokens
from mailer.measuring import is_measured
from mailer.models import Handover
from mailer.tables import deliveries, events, subscribers
from mailer.tracking import consequences, counters, late
from mailer.tracking.consequences import Consequence
from mailer.tracking.rows import EventRow, read_rows
from mailer.tracking.signature import verify as verify
from mailer.tracking.verdicts import HIT_KINDS

# Rows of one transaction: about 40 ms with a million events stored, and whole POSTs almost always.
ROWS_A_TRANSACTION = 1_000
# The kind of a row that was no event: kept to tell a repeated POST, and nothing else.
MARK_KIND = "unreadable"


_KEYS = bulk.PackedQuery.among(select(events.c.dedupe_key), events.c.dedupe_key)
_LETTERS = bulk.PackedQuery.among(
    select(
        deliveries.c.id,
        deliveries.c.campaign_id,
        deliveries.c.subscriber_id,
        subscribers.c.key_hash,
        subscribers.c.track_consent,
        deliveries.c.handover,
    ).outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id),
    deliveries.c.id,
)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the rows of a POST; `unknown` of the stored ones have no delivery of ours.

    `repeated` counts what was there before: events, and rows that were no events then either.
    """

    rows: int
    stored: int
    repeated: int
    unknown: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class _Letter:
    """What an event needs to know of its delivery."""

    id: int
    campaign_id: int
    subscriber_id: int | None
    key_hash: str | None
    has_consent: bool
    handover: str


def ingest(
    database: Database, raw: bytes, *, tokens: Tokens, settings: Settings, now: datetime
) -> IngestReport:
    """Store the events of a POST whose signature was verified. Never raises over what a row holds."""
    rows, unreadable = read_rows(raw)
    stored = unknown = 0
    for start in range(0, len(rows), ROWS_A_TRANSACTION):
        part = rows[start : start + ROWS_A_TRANSACTION]
        # Durable: an answered POST never comes back.
        with database.ledger() as connection:
            added, strange = _store(connection, part, tokens=tokens, settings=settings, now=now)
        stored += added
        unknown += strange
    strange_rows = 0
    for start in range(0, len(unreadable), ROWS_A_TRANSACTION):
        with database.ledger() as connection:
            strange_rows += _mark(connection, unreadable[start : start + ROWS_A_TRANSACTION], now)
    read = len(rows) + len(unreadable)
    return IngestReport(read, stored, read - stored - strange_rows, unknown, strange_rows)


def _mark(connection: Connection, keys: Sequence[str], now: datetime) -> int:
    """Count the unreadable rows that are new; a mark without their content tells when one comes back."""
    known = _known(connection, keys)
    new = [key for key in dict.fromkeys(keys) if key not in known]
    marks: list[dict[str, Any]] = [
        {
            "dedupe_key": key,
            "campaign_id": None,
            "delivery_id": None,
            "kind": MARK_KIND,
            "occurred_at": now,
            "received_at": now,
            "link_id": None,
            "verdict": None,
            "rule": None,
            "settled": True,
            "detail": {},
        }
        for key in new
    ]
    if marks:
        bulk.insert_rows(connection, events, marks)
    counters.add(connection, {counters.UNREADABLE_ROWS: len(new)})
    return len(new)


def _store(
    connection: Connection, rows: Sequence[EventRow], *, tokens: Tokens, settings: Settings, now: datetime
) -> tuple[int, int]:
    """Store what is new of these rows; how many, and how many of them belong to no letter."""
    new = _not_stored(connection, rows)
    if not new:
        return 0, 0
    letters = _letters_of(connection, new, tokens, settings)
    revoked = withdrawal.revoked(connection, {row.attempt_id for row in new if row.attempt_id})
    made, effects = [], []
    for row, letter in zip(new, letters, strict=True):
        at = row.occurred_at or now
        made.append(_event_of(row, letter, at, now, settings) if letter else _stray(row, at, now, settings))
        if letter is not None:
            # That SendGrid had a call which was taken back says nothing of a letter's fate.
            is_void = row.attempt_id in revoked and row.kind in withdrawal.RECEIPTS
            effect = replace(row.effect, fate=None) if is_void else row.effect
            effects.append(Consequence(letter.id, letter.subscriber_id, letter.key_hash, effect, at))
    bulk.insert_rows(connection, events, made)
    consequences.apply(connection, effects, now)
    _bear_witness(connection, new, letters, revoked, now)
    unknown = sum(letter is None for letter in letters)
    counters.add(connection, {counters.UNKNOWN_DELIVERIES: unknown})
    return len(new), unknown


def _not_stored(connection: Connection, rows: Iterable[EventRow]) -> list[EventRow]:
    """The rows that are not there yet, each once."""
    by_key: dict[str, EventRow] = {}
    for row in rows:
        by_key.setdefault(row.dedupe_key, row)
    known = _known(connection, by_key)
    return [row for key, row in by_key.items() if key not in known]


def _known(connection: Connection, keys: Iterable[str]) -> set[str]:
    return {key for (key,) in _KEYS.fetch_among(connection, list(keys))}


def _letters_of(
    connection: Connection, rows: Sequence[EventRow], tokens: Tokens, settings: Settings
) -> list[_Letter | None]:
    """The delivery of each row: by our own token, else by message id and address."""
    ids = [tokens.open(Purpose.EVENT, row.event_token) if row.event_token else None for row in rows]
    traces = [
        late.trace_of(row, settings) if number is None else None
        for row, number in zip(rows, ids, strict=True)
    ]
    found = late.find(connection, [trace for trace in traces if trace is not None])
    ids = [number if trace is None else found.get(trace) for number, trace in zip(ids, traces, strict=True)]
    known = _letters(connection, {number for number in ids if number is not None})
    return [known.get(number) if number is not None else None for number in ids]


def _letters(connection: Connection, ids: set[int]) -> dict[int, _Letter]:
    if not ids:
        return {}
    rows = _LETTERS.fetch_among(connection, sorted(ids))
    return {row[0]: _Letter(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in rows}


def _event_of(
    row: EventRow, letter: _Letter, at: datetime, now: datetime, settings: Settings
) -> dict[str, Any]:
    is_hit = row.kind in HIT_KINDS
    # SendGrid's own tracking is off in our letters; should an account turn it on, consent still rules.
    may_name = not is_hit or (
        letter.subscriber_id is not None and is_measured(settings.tracking.individual, letter.has_consent)
    )
    return _values(row, at, now) | {
        "campaign_id": letter.campaign_id,
        "delivery_id": letter.id if may_name else None,
        "settled": not (is_hit and may_name),
        "detail": row.detail if may_name else _nameless(row.detail),
    }


def _stray(row: EventRow, at: datetime, now: datetime, settings: Settings) -> dict[str, Any]:
    """An event of no letter we know; with a trace it waits a while for its letter to turn up."""
    trace = late.trace_of(row, settings)
    detail = _nameless(row.detail) if row.kind in HIT_KINDS else row.detail
    return _values(row, at, now) | {
        "campaign_id": None,
        "delivery_id": None,
        "settled": trace is None,
        "detail": detail | (late.as_detail(trace) if trace else {}),
    }


def _values(row: EventRow, at: datetime, now: datetime) -> dict[str, Any]:
    return {
        "dedupe_key": row.dedupe_key,
        "kind": row.kind,
        "occurred_at": at,
        "received_at": now,
        "link_id": None,
        "verdict": row.verdict,
        "rule": row.rule,
    }


def _nameless(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if name == "agent"}


def _bear_witness(
    connection: Connection,
    rows: Sequence[EventRow],
    letters: Sequence[_Letter | None],
    revoked: Collection[str],
    now: datetime,
) -> None:
    """Tell the ledger of every doubtful call that these events prove to have gone."""
    # Of a call that was taken back, receipts prove nothing, and anything else that it went all the same.
    if went := {row.attempt_id for row in rows if row.attempt_id and row.kind not in withdrawal.RECEIPTS}:
        withdrawal.went_anyway(connection, went.intersection(revoked), now)
    doubtful_letters, doubtful_attempts = set(), set()
    for row, letter in zip(rows, letters, strict=True):
        if row.attempt_id in revoked:
            if row.kind not in withdrawal.RECEIPTS:
                doubtful_attempts.add(row.attempt_id)
            continue
        if letter is not None and letter.handover == Handover.ACCEPTED:
            continue
        if letter is not None:
            doubtful_letters.add(letter.id)
        if row.attempt_id:
            doubtful_attempts.add(row.attempt_id)
    if doubtful_letters or doubtful_attempts:
        reconcile.witness(connection, doubtful_attempts, doubtful_letters)
