"""One person's letters: shown with their fate, and blanked when the person is erased."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from mailer import dialect
from mailer.tables import campaigns, deliveries, editions, issues, subscribers
from subscribers.models import SubscriberStatus


def show(connection: Connection, subscriber_id: int) -> Sequence[Mapping[str, Any]]:
    """Every letter of a person, newest first."""
    rows = connection.execute(
        select(
            campaigns.c.id.label("campaign"),
            issues.c.slug.label("issue"),
            editions.c.label.label("edition"),
            editions.c.subject,
            deliveries.c.handover,
            deliveries.c.reason,
            deliveries.c.fate,
            deliveries.c.fate_at,
            deliveries.c.first_human_open_at.label("opened_at"),
            deliveries.c.first_human_click_at.label("clicked_at"),
        )
        .select_from(deliveries)
        .join(campaigns, campaigns.c.id == deliveries.c.campaign_id)
        .join(issues, issues.c.id == deliveries.c.issue_id)
        .join(editions, editions.c.id == deliveries.c.edition_id)
        .where(deliveries.c.subscriber_id == subscriber_id)
        .order_by(deliveries.c.id.desc())
    )
    return [{name: _plain(value) for name, value in row._mapping.items()} for row in rows]


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def blank(connection: Connection, subscriber_id: int, _email: str) -> None:
    """Take the address out of every letter of a person; the account of the letter stays."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.subscriber_id == subscriber_id)
        .values(email="", subscriber_id=None)
    )


def blank_erased(connection: Connection, campaign_id: int) -> None:
    """The same of everybody who was erased while the letters of a campaign were being written."""
    if dialect.is_sqlite(connection):  # where nobody is, meanwhile
        return
    erased = select(subscribers.c.id).where(
        subscribers.c.status == SubscriberStatus.UNSUBSCRIBED, subscribers.c.email == ""
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.campaign_id == campaign_id, deliveries.c.subscriber_id.in_(erased))
        .values(email="", subscriber_id=None)
    )
