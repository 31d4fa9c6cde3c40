"""Schedules and their occurrences: rows that say what is due, whatever clock looks at them.

A schedule is a civil time and a zone; each of its occurrences is one civil date-time, resolved to an instant
with the zone data at hand and again whenever that changes. Every function may be called at any moment, any
number of times and in any number of processes at once.

States read and written here (occurrence): `plan_once` -> pending; `resolve_again` pending -> skipped, of a
weekly one that closed days leave no time. Weekly ones are made in `weekly`; what becomes of an occurrence
with a campaign is followed in `lateness`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.delivery import civil as civils
from mailer.delivery import weekly
from mailer.delivery.audience import Audience, people
from mailer.delivery.civil import Instant, Weekly, resolve, zone_of
from mailer.delivery.timing import FENCE_LEAD, SEED_LEAD
from mailer.house_models import OccurrenceState, ScheduleKind
from mailer.models import CampaignStatus
from mailer.tables import campaigns, occurrences, schedules, subscribers
from subscribers.segment_rules import LeafRegistry

# Freezing a million readers takes half of this; letters wait for their time anyway.
FREEZE_LEAD = timedelta(minutes=2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ZoneTime:
    """When the readers of one zone get a local campaign."""

    zone: str
    instant: Instant
    readers: int


@dataclass(frozen=True, slots=True)
class Local:
    """A campaign at each reader's own time, `zone` where none is known."""

    occurrence_id: int
    issue_id: int
    audience: Audience
    civil: datetime
    zone: str


def latest_of(settings: Settings) -> timedelta:
    """How late a campaign may go by itself."""
    return duration_of(settings.schedule.latest)


def lead_of(settings: Settings, *, at: datetime, planned: datetime, is_local: bool) -> timedelta:
    """How long before its time a campaign is frozen: in time for its fences and its seeds."""
    seeds = SEED_LEAD if settings.sending.seed_list else timedelta()
    fences = FENCE_LEAD if not is_local and planned <= at - FENCE_LEAD else timedelta()
    return max(seeds, fences) + FREEZE_LEAD


# -- once -------------------------------------------------------------------------------------------


def plan_once(
    connection: Connection,
    instant: Instant,
    *,
    at: datetime,
    is_local: bool,
    by: str,
    now: datetime,
) -> int:
    """A schedule of one occurrence; its number. `at`: the instant, of a local one the first zone's."""
    rule = civils.in_words(instant.civil)
    schedule_id = connection.execute(
        insert(schedules)
        .values(
            kind=ScheduleKind.ONCE,
            rule=rule,
            zone=instant.zone,
            is_local=is_local,
            created_by=by,
            created_at=now,
        )
        .returning(schedules.c.id)
    ).scalar_one()
    return int(
        connection.execute(
            insert(occurrences)
            .values(
                schedule_id=schedule_id,
                civil=rule,
                at=at,
                zone_data=civils.data_version(instant.zone),
                state=OccurrenceState.PENDING,
                reminders=0,
            )
            .returning(occurrences.c.id)
        ).scalar_one()
    )


def zone_times(
    connection: Connection,
    audience: Audience,
    civil: datetime,
    *,
    issue_id: int | None,
    settings: Settings,
    default_zone: str,
    leaves: LeafRegistry,
    now: datetime,
) -> list[ZoneTime]:
    """When the readers of each zone would get a local campaign, soonest first."""
    chosen = people(
        connection, audience, issue_id=issue_id, settings=settings, leaves=leaves, now=now
    ).subquery()
    zone = func.coalesce(subscribers.c.timezone, default_zone)
    counted = connection.execute(
        select(zone, func.count())
        .join(chosen, chosen.c.id == subscribers.c.id)
        .where(chosen.c.reason.is_(None))
        .group_by(zone)
    )
    times = [
        ZoneTime(name, resolve(civil, civils.known_zone(name, default_zone)), number)
        for name, number in counted
    ]
    return sorted(times, key=lambda time: (time.instant.at, time.zone))


# -- zone data --------------------------------------------------------------------------------------


def resolve_again(connection: Connection, settings: Settings, now: datetime) -> int:
    """Give pending occurrences the instant that the zone data and the hours of today say; how many moved.

    Older data than the row's own changes nothing: of two machines the one with the newer data is right.
    """
    moved = 0
    rows = connection.execute(
        select(occurrences, schedules.c.kind, schedules.c.rule, schedules.c.zone)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            occurrences.c.state == OccurrenceState.PENDING,
            schedules.c.ended_at.is_(None),
            schedules.c.is_local.is_(False),
        )
    ).all()
    for row in rows:
        moved += _resolve_again(connection, settings, row, now)
    return moved


def _resolve_again(connection: Connection, settings: Settings, row: Any, now: datetime) -> bool:
    version = civils.data_version(row.zone)
    if version < row.zone_data:
        return False
    civil = civils.civil_of(row.civil)
    if row.kind == ScheduleKind.WEEKLY:
        moment = weekly.moment_of(settings, Weekly.of(row.rule), civil, row.zone)
    else:
        moment = weekly.Moment(resolve(civil, zone_of(row.zone)).at, row.reason or "")
    at, remark = moment.at or row.at, moment.remark
    if (at, version, remark) == (row.at, row.zone_data, row.reason or ""):
        return False
    values: dict[str, Any] = {"at": at, "zone_data": version, "reason": remark or None}
    if moment.at is None:
        values |= {"state": OccurrenceState.SKIPPED, "settled_at": now}
    changed = connection.execute(
        update(occurrences)
        .where(occurrences.c.id == row.id, occurrences.c.state == OccurrenceState.PENDING)
        .values(values)
    )
    if at == row.at or changed.rowcount == 0:
        return False
    _log.warning(
        "%s in %s is at %s UTC now, it was at %s (zone data %s, before %s) %s",
        row.civil,
        row.zone,
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M}",
        f"{row.at:%Y-%m-%d %H:%M}",
        version,
        row.zone_data,
        remark,
    )
    return True


def pending_local(connection: Connection, now: datetime) -> list[Local]:
    """Campaigns at each reader's own time of which nobody has had theirs."""
    rows = connection.execute(
        select(
            occurrences.c.id,
            campaigns.c.issue_id,
            campaigns.c.audience,
            occurrences.c.civil,
            schedules.c.zone,
        )
        .join(campaigns, campaigns.c.occurrence_id == occurrences.c.id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            campaigns.c.status == CampaignStatus.SCHEDULED,
            schedules.c.is_local,
            occurrences.c.state == OccurrenceState.PENDING,
            occurrences.c.at > now,
        )
    )
    return [
        Local(row.id, row.issue_id, Audience.from_json(row.audience), civils.civil_of(row.civil), row.zone)
        for row in rows
    ]


def move_local(connection: Connection, occurrence_id: int, times: Sequence[ZoneTime], now: datetime) -> None:
    """Give a pending local occurrence the instant of its first readers, who may have changed since."""
    first = max(min((time.instant.at for time in times), default=now), now)
    before = connection.execute(
        select(occurrences.c.at, occurrences.c.civil).where(occurrences.c.id == occurrence_id)
    ).one()
    moved = connection.execute(
        update(occurrences)
        .where(
            occurrences.c.id == occurrence_id,
            occurrences.c.state == OccurrenceState.PENDING,
            occurrences.c.at > now,
            occurrences.c.at != first,
        )
        .values(at=first)
    )
    if moved.rowcount:
        _log.warning(
            "%s in each reader's own zone begins at %s UTC now, it was at %s",
            before.civil,
            f"{first.astimezone(UTC):%Y-%m-%d %H:%M}",
            f"{before.at:%Y-%m-%d %H:%M}",
        )


# -- rows -------------------------------------------------------------------------------------------


def upcoming(connection: Connection) -> list[Mapping[str, Any]]:
    """Occurrences that are pending, with their campaign if they have one, soonest first."""
    any_campaign = campaigns.alias()
    was_taken = exists().where(any_campaign.c.occurrence_id == occurrences.c.id)
    rows = connection.execute(
        select(
            occurrences.c.id,
            occurrences.c.civil,
            occurrences.c.at,
            occurrences.c.reason,
            schedules.c.kind,
            schedules.c.zone,
            schedules.c.is_local,
            campaigns.c.id.label("campaign"),
        )
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .outerjoin(
            campaigns,
            and_(
                campaigns.c.occurrence_id == occurrences.c.id,
                campaigns.c.status != CampaignStatus.CANCELLED,
            ),
        )
        .where(
            occurrences.c.state.in_((OccurrenceState.PENDING, OccurrenceState.MISSED)),
            or_(campaigns.c.id.is_not(None), and_(schedules.c.ended_at.is_(None), ~was_taken)),
        )
        .order_by(occurrences.c.at, occurrences.c.id)
    )
    return [dict(row._mapping) for row in rows]
