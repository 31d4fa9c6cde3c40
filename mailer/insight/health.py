"""The list at a glance: how many may be mailed, measured, came and went. Totals only, no person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from subscribers.models import SubscriberStatus
from subscribers.tables import subscriber, suppression

LATELY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ListHealth:
    """`mailable`: active and not suppressed; `measurable`: those of them who agreed to be measured."""

    mailable: int
    measurable: int
    pending: int
    unsubscribed: int
    suppressed: dict[str, int]  # reason -> addresses
    joined_lately: int
    left_lately: int

    def as_json(self) -> dict[str, Any]:
        return {
            "mailable": self.mailable,
            "measurable": self.measurable,
            "pending": self.pending,
            "unsubscribed": self.unsubscribed,
            "suppressed": self.suppressed,
            "joined_lately": self.joined_lately,
            "left_lately": self.left_lately,
        }


def list_health(connection: Connection, now: datetime) -> ListHealth:
    """Count the list as it stands; erased people are in none of the numbers but the suppressions."""
    kept = subscriber.c.email != ""
    active = subscriber.c.status == SubscriberStatus.ACTIVE
    # From the few suppressed to their readers, not from each reader to the suppressions.
    hit = subscriber.c.id.in_(
        select(subscriber.c.id).join(suppression, suppression.c.key_hash == subscriber.c.key_hash)
    )
    agrees = subscriber.c.track_consent.is_(True)
    return ListHealth(
        mailable=_count(connection, active) - _count(connection, active, hit),
        measurable=_count(connection, active, agrees) - _count(connection, active, agrees, hit),
        pending=_count(connection, subscriber.c.status == SubscriberStatus.PENDING, kept),
        unsubscribed=_count(connection, subscriber.c.status == SubscriberStatus.UNSUBSCRIBED, kept),
        suppressed=_suppressions(connection),
        joined_lately=_count(connection, active, subscriber.c.created_at >= now - LATELY),
        left_lately=_count(
            connection,
            and_(subscriber.c.status == SubscriberStatus.UNSUBSCRIBED, kept),
            subscriber.c.unsubscribed_at >= now - LATELY,
        ),
    )


def _count(connection: Connection, *where: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(subscriber).where(*where)).scalar_one())


def _suppressions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        select(suppression.c.reason, func.count())
        .group_by(suppression.c.reason)
        .order_by(suppression.c.reason)
    )
    return {row[0]: row[1] for row in rows}
