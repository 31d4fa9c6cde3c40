"""What an event does: to the letter's fate, and to the reader it went to.

A fate only ever rises in the order of `models.Fate`, by one guarded UPDATE, so repeats and disorder
change nothing. A hard bounce or a complaint puts the address on the do-not-mail list; an unsubscribe
unsubscribes. Nothing here revives anybody: that takes the reader's own fresh consent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, or_, update

from mailer import bulk
from mailer.models import Fate
from mailer.tables import deliveries, suppressions
from subscribers import roster, suppression
from subscribers.models import SuppressionReason

SOURCE = "sendgrid"

# Rank of each fate: a later one in the enum wins.
RANK = {fate.value: rank for rank, fate in enumerate(Fate)}

_FATES = {
    "processed": Fate.PROCESSED,
    "deferred": Fate.DEFERRED,
    "delivered": Fate.DELIVERED,
    "bounce": Fate.BOUNCED,
    "dropped": Fate.PROVIDER_DROPPED,
    "spamreport": Fate.COMPLAINED,
}
# Why SendGrid dropped a letter of ours (Event Webhook reference, "dropped"): what it knows we must learn.
_DROPPED = {
    "bounced address": SuppressionReason.HARD_BOUNCE,
    "invalid": SuppressionReason.INVALID,
    "spam reporting address": SuppressionReason.COMPLAINT,
}
_GRAVITY = (SuppressionReason.INVALID, SuppressionReason.HARD_BOUNCE, SuppressionReason.COMPLAINT)
_DROPPED_UNSUBSCRIBED = "unsubscribed address"
_LEAVING = frozenset(("unsubscribe", "group_unsubscribe"))
# `type` of a bounce that SendGrid itself will not mail again; `blocked` and `expired` may pass.
_HARD = "bounce"
_SURELY_INVALID = "Invalid Address"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one event means; empty for most."""

    fate: Fate | None = None
    suppression: SuppressionReason | None = None
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Consequence:
    """An effect on a known delivery; the reader is None when erased."""

    delivery_id: int
    subscriber_id: int | None
    key_hash: str | None
    effect: Effect
    at: datetime


def effect_of(entry: Mapping[str, Any]) -> Effect:
    """What an event row as SendGrid wrote it means."""
    event = entry.get("event")
    if not isinstance(event, str):
        return Effect()
    fate = _FATES.get(event)
    if event == "bounce":
        return Effect(fate, SuppressionReason.HARD_BOUNCE if _is_hard(entry) else None)
    if event == "dropped":
        reason = entry.get("reason")
        words = reason.strip().casefold() if isinstance(reason, str) else ""
        return Effect(fate, _DROPPED.get(words), words == _DROPPED_UNSUBSCRIBED)
    if event == "spamreport":
        # Who calls it spam has also said: no more of this.
        return Effect(fate, SuppressionReason.COMPLAINT, is_leaving=True)
    return Effect(fate, None, event in _LEAVING)


def apply(connection: Connection, consequences: Iterable[Consequence], now: datetime) -> None:
    """Write fates, suppressions and unsubscribes of events that were not stored before."""
    # In the order of time, whatever the order of arrival within a POST.
    ordered = sorted(consequences, key=lambda each: (each.at, each.delivery_id))
    raise_fates(connection, ordered)
    for each in ordered:
        if each.effect.suppression and each.key_hash:
            _suppress(connection, each.key_hash, each.effect.suppression, now)
        if each.effect.is_leaving and each.subscriber_id is not None:
            roster.unsubscribe(connection, each.subscriber_id, now=now, source=SOURCE, agent=None)


def raise_fates(connection: Connection, consequences: Sequence[Consequence]) -> None:
    """Raise the fate of each delivery to the highest of the events, its time being the first of that fate."""
    best: dict[int, tuple[int, datetime]] = {}
    for each in consequences:
        if each.effect.fate is None:
            continue
        rank = RANK[each.effect.fate.value]
        known = best.get(each.delivery_id)
        if known is None or rank > known[0] or (rank == known[0] and each.at < known[1]):
            best[each.delivery_id] = (rank, each.at)
    if not best:
        return
    fates = list(Fate)
    rows = [
        {"id": delivery, "fate": fates[rank].value, "fate_at": at} for delivery, (rank, at) in best.items()
    ]
    bulk.update_rows(connection, deliveries, rows, _is_further)


def _is_further(new: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """Whether a fate outranks the stored one, or is the same and earlier."""
    is_earlier = and_(new["fate"] == deliveries.c.fate, new["fate_at"] < deliveries.c.fate_at)
    return or_(_rank(new["fate"]) > _rank(deliveries.c.fate), is_earlier)


def _rank(fate: ColumnElement[Any]) -> ColumnElement[int]:
    return case(RANK, value=fate)


def _suppress(connection: Connection, key_hash: str, reason: SuppressionReason, now: datetime) -> None:
    if suppression.suppress(connection, key_hash=key_hash, reason=reason, source=SOURCE, now=now):
        return
    # Of two reasons that SendGrid told the graver stays, whichever came first.
    milder = _GRAVITY[: _GRAVITY.index(reason)]
    if milder:
        connection.execute(
            update(suppressions)
            .where(suppressions.c.key_hash == key_hash, suppressions.c.source == SOURCE)
            .where(suppressions.c.reason.in_(milder))
            .values(reason=reason)
        )


def _is_hard(entry: Mapping[str, Any]) -> bool:
    if entry.get("type"):
        return entry.get("type") == _HARD
    return entry.get("bounce_classification") == _SURELY_INVALID
