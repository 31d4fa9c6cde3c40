"""How many letters may be handed over now: limits a minute, an hour, and a day of a new sender's warm-up.

Read from the attempts themselves, so that all workers of all machines and all campaigns share them; chunks
that are claimed and not yet called count too. A call that surely never left does not. A chunk larger than a
limit (the limit was lowered after its freeze) goes alone, when nothing else has gone within that time.
Asked in the transaction of the claim; costs nothing where no limit is set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, func, or_, select

from mailer.config import Settings
from mailer.delivery.timing import CLOCK_SLACK
from mailer.models import AttemptOutcome, ChunkState
from mailer.tables import attempts, chunks

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A limit on what has begun since `since`; a call counts for so long, or until `ends`."""

    most: int
    since: datetime
    lasts: timedelta = timedelta()
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """`letters` may go now (None: any number); `frees_at` is when there is room for more."""

    letters: int | None = None
    frees_at: datetime | None = None


def room(connection: Connection, settings: Settings, now: datetime) -> Room:
    """How many letters may be claimed at this moment."""
    windows = list(_windows(settings, now))
    if not windows:
        return Room()
    in_hand = _claimed(connection)
    tightest = Room()
    for window in windows:
        begun, oldest = _begun(connection, window.since, now)
        if not begun + in_hand:
            continue  # whatever goes first goes whole
        left = max(window.most - begun - in_hand, 0)
        frees_at = window.ends or (now if oldest is None else oldest + window.lasts)
        if tightest.letters is None or left < tightest.letters:
            tightest = Room(left, frees_at)
    return tightest


def largest_chunk(settings: Settings, now: datetime) -> int:
    """The most letters of one call, so that every chunk fits every limit there is or will be."""
    sending = settings.sending
    days = _day(settings, now)
    caps = sending.warm_up[max(days, 0) :] if days is not None else ()
    limits = [limit for limit in (sending.per_minute, sending.per_hour, *caps) if limit]
    return min([sending.chunk_size, *limits])


def _windows(settings: Settings, now: datetime) -> Iterator[Window]:
    sending = settings.sending
    if sending.per_minute:
        yield Window(sending.per_minute, now - MINUTE, MINUTE)
    if sending.per_hour:
        yield Window(sending.per_hour, now - HOUR, HOUR)
    days = _day(settings, now)
    if days is not None and days < len(sending.warm_up):
        today = now.astimezone(settings.zone).date()
        yield Window(
            sending.warm_up[max(days, 0)],
            # What began at midnight belongs to the day.
            _midnight(settings, today) - timedelta(microseconds=1),
            ends=_midnight(settings, today + timedelta(days=1)),
        )


def _day(settings: Settings, now: datetime) -> int | None:
    """The day of the warm-up, from 0; negative before it begins (its first cap holds then, too)."""
    if not settings.sending.warm_up:
        return None
    first = date.fromisoformat(settings.sending.warm_up_from)
    return (now.astimezone(settings.zone).date() - first).days


def _midnight(settings: Settings, day: date) -> datetime:
    return datetime.combine(day, time.min, settings.zone).astimezone(UTC)


def _claimed(connection: Connection) -> int:
    rest = chunks.c.recipients - chunks.c.rejected - chunks.c.withheld
    return int(
        connection.execute(
            select(func.coalesce(func.sum(rest), 0)).where(chunks.c.state == ChunkState.CLAIMED)
        ).scalar_one()
    )


def _begun(connection: Connection, since: datetime, now: datetime) -> tuple[int, datetime | None]:
    """Letters of the calls that began since, and when the first of them did; a wrong clock's are left out."""
    letters, oldest = connection.execute(
        select(func.coalesce(func.sum(attempts.c.recipients), 0), func.min(attempts.c.started_at)).where(
            attempts.c.started_at > since,
            attempts.c.started_at <= now + CLOCK_SLACK,
            or_(attempts.c.outcome.is_(None), attempts.c.outcome != AttemptOutcome.NOT_SENT),
        )
    ).one()
    return int(letters), oldest
