"""The weekly rule of the configuration: which issue goes next, and what happens when none is approved.

One occurrence is always there ahead of its time. Its campaign is made as soon as an issue is approved, so
that everybody sees what goes; what is not taken when its time comes is skipped.

States read and written here (occurrence):
`keep`             -> pending, or skipped: nothing is open before the one after it, or no clock ran in time
`begin`            pending -> skipped, of a rule that the configuration no longer has
`skip_unapproved`  pending -> skipped, when its time came and nothing was approved
`unskip`           skipped -> pending, where only a wrong clock skipped it
What becomes of an occurrence with a campaign is followed in `lateness`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.delivery import civil as civils
from mailer.delivery import windows
from mailer.delivery.civil import Weekly, resolve, zone_of
from mailer.delivery.timing import CLOCK_SLACK
from mailer.house_models import OccurrenceState, ScheduleKind
from mailer.models import CampaignStatus
from mailer.tables import campaigns, occurrences, schedules
from subscribers.tables import upsert

# A person hears so long before that nothing is approved; the count of those past is `reminders`.
REMIND_BEFORE = (timedelta(hours=24), timedelta(hours=2))

# Weeks that went by without a clock are told for so long; however far it jumped, they are no more.
LOOKED_BACK = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A weekly occurrence whose campaign is not frozen yet, or not even made."""

    id: int
    civil: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """When a weekly occurrence goes (None: not at all), and what a person should know of it."""

    at: datetime | None
    remark: str


def begin(connection: Connection, settings: Settings, by: str, now: datetime) -> bool:
    """Make `[schedule] weekly` the one that holds; whether it was changed. For the start of a process.

    Ticks leave it alone: two processes that read different configurations would take turns else.
    """
    rule, zone = settings.schedule.weekly, settings.newsletter.timezone
    wanted = str(Weekly.of(rule)) if rule else ""
    running = _weekly(connection)
    if running is None and not wanted:
        return False
    if running is not None:
        if (running.rule, running.zone) == (wanted, zone):
            return False
        end = (
            update(schedules)
            .where(schedules.c.id == running.id, schedules.c.ended_at.is_(None))
            .values(ended_at=now)
        )
        if connection.execute(end).rowcount:
            instead = f"to {wanted} ({zone})" if wanted else "to none"
            connection.execute(
                update(occurrences)
                .where(
                    occurrences.c.schedule_id == running.id, occurrences.c.state == OccurrenceState.PENDING
                )
                .values(
                    state=OccurrenceState.SKIPPED,
                    reason=f"[schedule] weekly was changed {instead}",
                    settled_at=now,
                )
            )
    if wanted:
        connection.execute(
            upsert(schedules)
            .values(
                kind=ScheduleKind.WEEKLY,
                rule=wanted,
                zone=zone,
                is_local=False,
                created_by=by,
                created_at=now,
            )
            .on_conflict_do_nothing()
        )
    return True


def keep(connection: Connection, settings: Settings, now: datetime) -> None:
    """Have a row for the next occurrence of the weekly rule, and for those of late that no clock saw."""
    running = _weekly(connection)
    if running is None:
        return
    weekly, zone = Weekly.of(running.rule), zone_of(running.zone)
    here = now.astimezone(zone).replace(tzinfo=None)
    upcoming = next(weekly.after(here))
    _forget_those_after(connection, running.id, civils.in_words(upcoming))
    for civil in takewhile(lambda civil: civil < upcoming, weekly.after(here - LOOKED_BACK)):
        # The rule holds from its beginning on; a clock far ahead may have begun it.
        if resolve(civil, zone).at > running.created_at:
            _have(connection, settings, running, civil, now)
    _have(connection, settings, running, upcoming, now)


def _have(connection: Connection, settings: Settings, running: Any, civil: datetime, now: datetime) -> None:
    moment = moment_of(settings, Weekly.of(running.rule), civil, running.zone)
    reason = moment.remark
    if moment.at is not None and moment.at < now - duration_of(settings.schedule.latest):
        reason = "neither 'mailer serve' nor a worker ran at that time"
    is_over = reason != moment.remark or moment.at is None
    connection.execute(
        upsert(occurrences)
        .values(
            schedule_id=running.id,
            civil=civils.in_words(civil),
            at=moment.at or resolve(civil, zone_of(running.zone)).at,
            zone_data=civils.data_version(running.zone),
            state=OccurrenceState.SKIPPED if is_over else OccurrenceState.PENDING,
            reason=reason or None,
            settled_at=now if is_over else None,
            reminders=0,
        )
        .on_conflict_do_nothing(index_elements=["schedule_id", "civil"])
    )


def _forget_those_after(connection: Connection, schedule_id: int, civil: str) -> None:
    """Remove what a clock that was far ahead had planned; what has a campaign is moved, then removed."""
    connection.execute(
        delete(occurrences).where(
            occurrences.c.schedule_id == schedule_id,
            occurrences.c.state == OccurrenceState.PENDING,
            occurrences.c.civil > civil,
            ~_has_campaign(),
        )
    )


def whose_turn(connection: Connection, latest: timedelta, now: datetime) -> Occurrence | None:
    """The weekly occurrence whose turn it is: the soonest that is pending and not too late."""
    row = connection.execute(
        select(occurrences.c.id, occurrences.c.civil, occurrences.c.at)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            schedules.c.kind == ScheduleKind.WEEKLY,
            schedules.c.ended_at.is_(None),
            occurrences.c.state == OccurrenceState.PENDING,
            occurrences.c.at >= now - latest,
        )
        .order_by(occurrences.c.at, occurrences.c.civil)
        .limit(1)
    ).one_or_none()
    return None if row is None else Occurrence(*row)


def has_campaign(connection: Connection, occurrence_id: int) -> bool:
    """Whether any campaign was ever made for an occurrence: a cancelled one is not replaced by another."""
    found = connection.execute(
        select(campaigns.c.id).where(campaigns.c.occurrence_id == occurrence_id).limit(1)
    )
    return found.first() is not None


def move_here(connection: Connection, occurrence: Occurrence, latest: timedelta) -> int | None:
    """Bring a weekly campaign that waits elsewhere to the occurrence whose turn it is; its number.

    It waits elsewhere after the configuration was changed, or the clock was wrong: far ahead when it was
    planned, or so far back since that it was moved to a time before it was made.
    """
    elsewhere = connection.execute(
        select(campaigns.c.id, campaigns.c.created_at, occurrences.c.at, occurrences.c.state)
        .join(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            campaigns.c.status.in_((CampaignStatus.SCHEDULED, CampaignStatus.MISSED)),
            campaigns.c.frozen_at.is_(None),
            schedules.c.kind == ScheduleKind.WEEKLY,
        )
        .order_by(campaigns.c.id)
    ).all()
    for row in elsewhere:
        is_unplanned = row.state == OccurrenceState.SKIPPED
        if is_unplanned or row.at > occurrence.at or row.at < row.created_at - latest:
            moved = connection.execute(
                update(campaigns)
                .where(campaigns.c.id == row.id, campaigns.c.frozen_at.is_(None))
                .values(occurrence_id=occurrence.id, status=CampaignStatus.SCHEDULED)
            )
            return int(row.id) if moved.rowcount == 1 else None
    return None


def remind(connection: Connection, occurrence: Occurrence, now: datetime, *, is_taken: bool) -> None:
    """Count the reminders that are due for an occurrence without a campaign; none for one that has one."""
    due = 0 if is_taken else sum(now >= occurrence.at - before for before in REMIND_BEFORE)
    connection.execute(
        update(occurrences)
        .where(occurrences.c.id == occurrence.id, occurrences.c.reminders != due)
        .values(reminders=due)
    )


def skip_unapproved(connection: Connection, now: datetime) -> list[str]:
    """pending -> skipped, for weekly occurrences whose time came without a campaign; their civil times."""
    weekly = select(schedules.c.id).where(
        schedules.c.kind == ScheduleKind.WEEKLY, schedules.c.ended_at.is_(None)
    )
    skipped = connection.execute(
        update(occurrences)
        .where(
            occurrences.c.state == OccurrenceState.PENDING,
            occurrences.c.at <= now,
            occurrences.c.schedule_id.in_(weekly),
            ~_has_campaign(),
        )
        .values(state=OccurrenceState.SKIPPED, reason="no issue was approved", settled_at=now)
        .returning(occurrences.c.civil)
    )
    return list(skipped.scalars())


def unskip(connection: Connection, now: datetime) -> None:
    """skipped -> pending, where a clock that was far ahead skipped what is still to come."""
    running = select(schedules.c.id).where(schedules.c.ended_at.is_(None))
    connection.execute(
        update(occurrences)
        .where(
            occurrences.c.state == OccurrenceState.SKIPPED,
            occurrences.c.schedule_id.in_(running),
            occurrences.c.settled_at > now + CLOCK_SLACK,
            ~_has_campaign(),
        )
        .values(state=OccurrenceState.PENDING, reason=None, settled_at=None)
    )


def moment_of(settings: Settings, weekly: Weekly, civil: datetime, zone: str) -> Moment:
    """The instant of a weekly occurrence; on a closed day it moves to the next opening."""
    instant = resolve(civil, zone_of(zone))
    opens = windows.next_open(settings, instant.at)
    if opens == instant.at:
        return Moment(instant.at, instant.remark)
    why = windows.why_closed(settings, instant.at)
    if opens is None or opens >= resolve(next(weekly.after(civil)), zone_of(zone)).at:
        return Moment(None, f"{why}, and nothing is open before the next one")
    shown = civils.in_words(opens.astimezone(settings.zone))
    return Moment(opens, f"{why}: it goes at the next opening, {shown}")


def rule(connection: Connection) -> tuple[str, str] | None:
    """(rule, zone) of the weekly schedule that holds."""
    row = _weekly(connection)
    return None if row is None else (row.rule, row.zone)


def _weekly(connection: Connection) -> Any:
    return connection.execute(
        select(schedules).where(schedules.c.kind == ScheduleKind.WEEKLY, schedules.c.ended_at.is_(None))
    ).one_or_none()


def _has_campaign() -> ColumnElement[bool]:
    return exists().where(campaigns.c.occurrence_id == occurrences.c.id)
