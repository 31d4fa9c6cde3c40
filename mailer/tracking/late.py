"""Events that came without our arguments: found by message id and address, at once or a little later.

A delayed bounce is the usual one. The message id names one call, the address one letter of it. An
event may overtake the answer that tells us the message id; so a trace (message id and the keyed hash
of the address, never the address) is kept beside it, and taken off when it is found or an hour old.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, not_, select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import reconcile
from mailer.tables import attempts, deliveries, events, subscribers
from mailer.tracking import consequences, counters
from mailer.tracking.consequences import Consequence, effect_of
from mailer.tracking.rows import EventRow
from mailer.tracking.verdicts import HIT_KINDS
from subscribers import suppression
from subscribers.addresses import AddressRefused, parse_address

# An answer of SendGrid comes within a minute; an event that still has no letter then is not ours.
WAIT = timedelta(hours=1)
# Looked at in one transaction.
ROWS_A_TRANSACTION = 500

_MESSAGE, _KEY_HASH = "waits_message", "waits_key_hash"


@dataclass(frozen=True, slots=True)
class Trace:
    """What leads to a letter without our token."""

    message_id: str
    key_hash: str


def trace_of(row: EventRow, settings: Settings) -> Trace | None:
    """The trace of an event; None when it has no message id or no address."""
    if not row.message_id or not row.address:
        return None
    try:
        key = parse_address(row.address).key
    except AddressRefused:
        return None
    return Trace(
        row.message_id, suppression.key_hash(key, settings.database.suppression_key.get_secret_value())
    )


def as_detail(trace: Trace) -> dict[str, str]:
    return {_MESSAGE: trace.message_id, _KEY_HASH: trace.key_hash}


def find(connection: Connection, traces: Iterable[Trace]) -> dict[Trace, int]:
    """The delivery of each trace that has one."""
    wanted = set(traces)
    if not wanted:
        return {}
    found = connection.execute(
        select(attempts.c.message_id, subscribers.c.key_hash, deliveries.c.id)
        .join(deliveries, deliveries.c.subscriber_id == subscribers.c.id)
        .join(attempts, attempts.c.chunk_id == deliveries.c.chunk_id)
        .select_from(subscribers)
        .where(subscribers.c.key_hash.in_({trace.key_hash for trace in wanted}))
        .where(attempts.c.message_id.in_({trace.message_id for trace in wanted}))
    )
    by_trace = {Trace(message_id, key_hash): number for message_id, key_hash, number in found}
    return {trace: number for trace, number in by_trace.items() if trace in wanted}


def link_late(database: Database, now: datetime) -> int:
    """Link waiting events to letters that turned up since, forget the traces of old ones. How many linked.

    Meant for once a minute: every waiting event is looked at.
    """
    linked = last = 0
    while True:
        with database.ledger() as connection:
            rows = connection.execute(
                select(events)
                .where(not_(events.c.settled), events.c.delivery_id.is_(None), events.c.id > last)
                .order_by(events.c.id)
                .limit(ROWS_A_TRANSACTION)
            ).all()
            linked += _link(connection, rows, now)
        if len(rows) < ROWS_A_TRANSACTION:
            return linked
        last = rows[-1].id


def _link(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> int:
    traces = {row.id: Trace(row.detail[_MESSAGE], row.detail[_KEY_HASH]) for row in rows}
    found = find(connection, traces.values())
    effects = []
    for row in rows:
        trace = traces[row.id]
        number = found.get(trace)
        if number is None and row.received_at > now - WAIT:
            continue
        plain = {key: value for key, value in row.detail.items() if key not in (_MESSAGE, _KEY_HASH)}
        changes: dict[str, Any] = {"settled": True, "detail": plain}
        if number is not None:
            effect, named = _effect(connection, row, number, trace, plain)
            effects.append(effect)
            changes |= named
        connection.execute(update(events).where(events.c.id == row.id).values(**changes))
    consequences.apply(connection, effects, now)
    reconcile.witness(connection, (), [effect.delivery_id for effect in effects])
    counters.add(connection, {counters.UNKNOWN_DELIVERIES: -len(effects)})
    return len(effects)


def _effect(
    connection: Connection, row: Row[Any], number: int, trace: Trace, plain: dict[str, Any]
) -> tuple[Consequence, dict[str, Any]]:
    """What the event does to its letter, and what it now names."""
    letter = connection.execute(
        select(deliveries.c.campaign_id, deliveries.c.subscriber_id).where(deliveries.c.id == number)
    ).one()
    entry = {"event": row.kind, **plain, "bounce_classification": plain.get("classification")}
    consequence = Consequence(number, letter.subscriber_id, trace.key_hash, effect_of(entry), row.occurred_at)
    # Hits that SendGrid tracked stay without a name: what consent was then is not known any more.
    named = {} if row.kind in HIT_KINDS else {"delivery_id": number}
    return consequence, {"campaign_id": letter.campaign_id, **named}
