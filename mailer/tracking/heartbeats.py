"""When something that should happen again and again happened last: a tick, an event from SendGrid."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from mailer.delivery.timing import CLOCK_SLACK
from mailer.tables import heartbeats
from subscribers.tables import upsert

TICK = "tick"
WEBHOOK = "webhook"
# A tick comes every 15 seconds; a minute without one is no accident.
LATE = timedelta(seconds=60)


def beat(connection: Connection, name: str, now: datetime, *, every: timedelta) -> bool:
    """Write down that it happens now; False when that was written less than `every` ago.

    A time long to come was written by a clock that has been set right since; one that is only a little
    ahead by another machine's, or by somebody who had the lock before: it is never set back.
    """
    statement = upsert(heartbeats).values(name=name, at=now)
    is_due = or_(heartbeats.c.at <= now - every, heartbeats.c.at > now + CLOCK_SLACK)
    written = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"at": statement.excluded.at}, where=is_due
        )
    )
    return written.rowcount == 1


def last(connection: Connection, name: str) -> datetime | None:
    """When it happened last."""
    return connection.execute(select(heartbeats.c.at).where(heartbeats.c.name == name)).scalar_one_or_none()


def ticks(connection: Connection, now: datetime) -> bool:
    """Whether anybody's clock ticks."""
    at = last(connection, TICK)
    return at is not None and now - LATE <= at <= now + CLOCK_SLACK
