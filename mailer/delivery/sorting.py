"""Who of a claimed chunk still gets the letter, and who no longer does: the last look before a call.

People leave, pause, are suppressed or erased after a freeze, and addresses change hands. Each chunk is
looked at with its claim. It writes nothing: `send` withholds what is sorted out here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, or_, select

from mailer.bulk import PackedQuery
from mailer.config import Settings
from mailer.delivery.audience import is_allowed
from mailer.delivery.body import Reader
from mailer.measuring import is_measured
from mailer.models import Handover
from mailer.tables import deliveries, subscribers, suppressions
from subscribers.models import SubscriberStatus, UTCTime

# The letters of a chunk that are to go, each with its reader as it stands now, and why it is not to go.
_LETTERS = PackedQuery.of(
    select(
        deliveries.c.id,
        deliveries.c.email,
        deliveries.c.measured,
        subscribers.c.name,
        subscribers.c.track_consent,
        case(
            (or_(deliveries.c.email == "", subscribers.c.id.is_(None)), "erased"),
            (suppressions.c.key_hash.is_not(None), "suppressed"),
            (subscribers.c.status != SubscriberStatus.ACTIVE, "unsubscribed"),
            (subscribers.c.paused_until > bindparam("now", type_=UTCTime()), "paused"),
        ).label("reason"),
    )
    .outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
    .outerjoin(suppressions, suppressions.c.key_hash == subscribers.c.key_hash)
    .where(deliveries.c.chunk_id == bindparam("chunk"), deliveries.c.handover == Handover.WAITING)
    .order_by(deliveries.c.id)
)


@dataclass(slots=True)
class SortedOut:
    """Who of a chunk gets the letter, who no longer does (reason -> letters), whose consent changed."""

    readers: list[Reader] = field(default_factory=list)
    out: dict[str, list[int]] = field(default_factory=dict)
    consent_changed: dict[bool, list[int]] = field(default_factory=dict)


def waiting_letters(connection: Connection, chunk_id: int, now: datetime) -> list[list[Any]]:
    """The letters of a chunk that wait: id, address, was measured, name, consents, why not (or None)."""
    return _LETTERS.fetch(connection, {"chunk": chunk_id, "now": now})


def sort_out(letters: Sequence[Sequence[Any]], settings: Settings) -> SortedOut:
    """Part the rows of `waiting_letters`; outside of any transaction, for a thousand rows take a while."""
    found = SortedOut()
    only_to = settings.sending.only_to
    individual = settings.tracking.individual
    # Addresses are unique among readers; two letters may still share one that changed hands.
    is_doubled = len({row[1].casefold() for row in letters}) < len(letters)
    addresses = Counter(row[1].casefold() for row in letters) if is_doubled else Counter()
    for number, email, was_measured, name, consents, reason in letters:
        if reason is None and only_to and not is_allowed(email, only_to):
            reason = "only_to"
        if is_doubled:
            if reason is None and addresses[email.casefold()] > 1:
                reason = "duplicate"
            if reason is not None:
                addresses[email.casefold()] -= 1
        if reason is not None:
            found.out.setdefault(reason, []).append(number)
            continue
        measured = is_measured(individual, bool(consents))
        if measured != was_measured:
            found.consent_changed.setdefault(measured, []).append(number)
        found.readers.append(Reader(number, email, name or "", measured))
    return found
