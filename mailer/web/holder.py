"""Whose letter a token belongs to; all that the doors of letters know of a reader."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import deliveries, subscribers
from subscribers import suppression
from subscribers.addresses import mask
from subscribers.models import SubscriberStatus


@dataclass(frozen=True, slots=True)
class Holder:
    """The reader of the letter that a token belongs to."""

    delivery_id: int
    campaign_id: int
    subscriber_id: int
    email: str
    name: str
    is_active: bool
    is_suppressed: bool
    has_consent: bool
    paused_until: datetime | None

    @property
    def masked(self) -> str:
        return mask(self.email)

    @property
    def gets_letters(self) -> bool:
        return self.is_active and not self.is_suppressed


def holder_of(connection: Connection, rooms: Rooms, purpose: Purpose, token: str) -> Holder | None:
    """The reader of the letter that a token of this purpose was made for; None for any other token."""
    number = rooms.tokens.open(purpose, token)
    if number is None:
        return None
    row = connection.execute(
        select(
            deliveries.c.campaign_id,
            subscribers.c.id,
            subscribers.c.email,
            subscribers.c.name,
            subscribers.c.status,
            subscribers.c.track_consent,
            subscribers.c.paused_until,
            suppression.is_suppressed().label("is_suppressed"),
        )
        .join(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        # An erased reader's row has no address left.
        .where(deliveries.c.id == number, subscribers.c.email != "")
    ).one_or_none()
    if row is None:
        return None
    return Holder(
        delivery_id=number,
        campaign_id=row.campaign_id,
        subscriber_id=row.id,
        email=row.email,
        name=row.name or "",
        is_active=row.status != SubscriberStatus.UNSUBSCRIBED,
        is_suppressed=bool(row.is_suppressed),
        has_consent=bool(row.track_consent),
        paused_until=row.paused_until,
    )
