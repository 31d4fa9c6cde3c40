"""Numbers that a page can show at once: counted now and then, kept in one row per campaign.

Counting a million letters takes seconds, so its outcome is kept, with the moment it was counted, and is
good for a time that grows with what it cost. Small campaigns are as good as always counted anew.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import select

from mailer.database import Database
from mailer.insight.stats import CampaignStats, campaign_stats
from mailer.tables import campaign_counts, campaigns
from subscribers.tables import upsert

# At most one part in fifty of a server's time goes into counting one campaign.
GOOD_FOR_TIMES_THE_COST = 50
# Events come for days; the clock keeps the counts of these campaigns fresh.
WATCHED_FOR = timedelta(days=7)

_shape = TypeAdapter(CampaignStats)


@dataclass(frozen=True, slots=True)
class Counted:
    """Numbers and when they were counted."""

    stats: CampaignStats
    at: datetime


def latest(database: Database, campaign_id: int, *, now: datetime) -> Counted:
    """The kept numbers while they are good, else new ones, which are kept. Raises NotFound."""
    with database.reader() as connection:
        row = connection.execute(
            select(campaign_counts).where(campaign_counts.c.campaign_id == campaign_id)
        ).one_or_none()
    if row is not None and _is_good(row.counted_at, row.seconds, now):
        return Counted(_shape.validate_python(row.numbers), row.counted_at)
    return count(database, campaign_id, now=now)


def count(database: Database, campaign_id: int, *, now: datetime) -> Counted:
    """Count a campaign and keep the outcome. Raises NotFound."""
    started = time.monotonic()
    with database.reader() as connection:
        stats = campaign_stats(connection, campaign_id)
    row = {
        "counted_at": now,
        "seconds": time.monotonic() - started,
        "numbers": _shape.dump_python(stats, mode="json"),
    }
    with database.tracking() as connection:
        connection.execute(
            upsert(campaign_counts)
            .values(campaign_id=campaign_id, **row)
            .on_conflict_do_update(index_elements=["campaign_id"], set_=row)
        )
    return Counted(stats, now)


def refresh(database: Database, *, now: datetime) -> list[int]:
    """Count the campaigns of the last days whose numbers are no longer good; what the clock calls."""
    with database.reader() as connection:
        rows = connection.execute(
            select(campaigns.c.id, campaign_counts.c.counted_at, campaign_counts.c.seconds)
            .outerjoin(campaign_counts, campaign_counts.c.campaign_id == campaigns.c.id)
            .where(campaigns.c.started_at >= now - WATCHED_FOR)
        ).all()
    due = [row.id for row in rows if row.counted_at is None or not _is_good(row.counted_at, row.seconds, now)]
    for campaign_id in due:
        count(database, campaign_id, now=now)
    return due


def _is_good(counted_at: datetime, seconds: float, now: datetime) -> bool:
    return counted_at <= now <= counted_at + timedelta(seconds=seconds * GOOD_FOR_TIMES_THE_COST)
