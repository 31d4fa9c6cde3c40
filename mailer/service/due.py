"""What the clock does about schedules: rows for the week to come, campaigns begun in time, held, or missed.

What takes long is read before the ledger is opened: files, and the zones of readers.

One look may come at any moment, from any number of processes: one at a time writes (`database.ledger`), and
the next finds nothing left to do. A database that is not this folder's plans and freezes nothing.
"""

import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from mailer.delivery import approval, campaigns, freeze, lateness, preflight, schedule, weekly
from mailer.delivery.audience import Audience
from mailer.delivery.campaigns import UnfinishedCampaign
from mailer.delivery.schedule import ZoneTime
from mailer.service import identity
from mailer.service.rooms import Rooms
from mailer.tracking import heartbeats
from subscribers.errors import NewsletterError, Problem
from subscribers.failpoints import Point, reach

# Readers come, and change their zones: a local campaign's first one is looked for this often.
LOCAL_EVERY = timedelta(days=1)
LOCAL_BEAT = "zones of readers"
# Who makes what nobody typed.
BY_THE_CLOCK = "[schedule] weekly"

# By occurrence.
LocalTimes = Mapping[int, Sequence[ZoneTime]]

log = structlog.get_logger()


def person() -> str:
    """The system's name of whoever runs this process, until accounts exist."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"  # a container whose user has no name


def at_start(rooms: Rooms) -> None:
    """Make the configuration's weekly rule the one that holds; once for a process that serves or works."""
    now = rooms.now()
    times = _local_times(rooms, now)
    with rooms.database.ledger() as connection:
        if identity.stranger(connection, rooms.home) is not None:
            return
        _move_local(connection, times, now)
        if weekly.begin(connection, rooms.settings, person(), now):
            log.info("weekly schedule changed", weekly=rooms.settings.schedule.weekly or "none")


def look(rooms: Rooms, now: datetime) -> list[int]:
    """Bring the calendar up to date and freeze what is due; the campaigns frozen."""
    templates = approval.templates_hash(rooms.settings)
    refusals = preflight.look(rooms.settings).refusals
    times = _local_times(rooms, now) if _is_day_over(rooms, now) else {}
    with rooms.database.ledger() as connection:
        if identity.stranger(connection, rooms.home) is not None:
            return []
        _keep_calendar(connection, rooms, templates, times, now)
        _hold(connection, rooms, templates, refusals, now)
        begun = [
            campaign
            for campaign in lateness.due(connection, rooms.settings, now)
            if lateness.begin(connection, campaign, now)
        ]
        lateness.follow(connection, now)
        reach(Point.TICKING)
    reach(Point.TICKED)
    return [campaign for campaign in begun if _freeze(rooms, campaign)]


def _keep_calendar(
    connection: Connection, rooms: Rooms, templates: str, times: LocalTimes, now: datetime
) -> None:
    lateness.follow(connection, now)
    for campaign in lateness.unmiss(connection, schedule.latest_of(rooms.settings), now):
        log.warning("campaign is not missed after all: the clock was ahead", campaign=campaign)
    weekly.unskip(connection, now)
    weekly.keep(connection, rooms.settings, now)
    schedule.resolve_again(connection, rooms.settings, now)
    if heartbeats.beat(connection, LOCAL_BEAT, now, every=LOCAL_EVERY):
        _move_local(connection, times, now)
    take_weekly(connection, rooms, templates, now)
    for civil in weekly.skip_unapproved(connection, now):
        log.warning("nothing was approved for the weekly schedule: skipped", civil=civil)


def _hold(
    connection: Connection, rooms: Rooms, templates: str, refusals: Sequence[Problem], now: datetime
) -> None:
    """Miss what is too late, pause what may not go as it is."""
    for campaign in lateness.miss(connection, schedule.latest_of(rooms.settings), now):
        log.warning("campaign missed its time", campaign=campaign)
    lateness.hold_unapproved(connection, templates)
    if weekly.rule(connection) is None:
        lateness.hold_unplanned(connection)
    for campaign in lateness.hold_closed(connection, rooms.settings, now):
        log.warning("campaign is planned for a closed time: paused", campaign=campaign)
    if refusals:
        for campaign in lateness.due(connection, rooms.settings, now):
            lateness.hold(connection, campaign, str(refusals[0]))


def take_weekly(connection: Connection, rooms: Rooms, templates: str, now: datetime) -> None:
    """Give the occurrence whose turn it is its campaign: the oldest approved issue that never had one."""
    latest = schedule.latest_of(rooms.settings)
    occurrence = weekly.whose_turn(connection, latest, now)
    if occurrence is None:
        return
    is_taken = weekly.has_campaign(connection, occurrence.id)
    if not is_taken:
        is_taken = (
            weekly.move_here(connection, occurrence, latest) is not None
            or _plan_weekly(connection, rooms, occurrence, templates, now) is not None
        )
    weekly.remind(connection, occurrence, now, is_taken=is_taken)


def _plan_weekly(
    connection: Connection, rooms: Rooms, occurrence: weekly.Occurrence, templates: str, now: datetime
) -> int | None:
    for approved in approval.waiting(connection, templates, at=occurrence.at, now=now):
        try:
            campaign = campaigns.create(
                connection,
                issue_id=approved.issue_id,
                revision_id=approved.revision_id,
                audience=Audience().as_json(),
                sender=preflight.sender_of(rooms.settings),
                now=now,
                occurrence_id=occurrence.id,
                approval_id=approved.approval_id,
                created_by=BY_THE_CLOCK,
            )
        except UnfinishedCampaign:
            continue  # somebody sends it at this very moment
        log.info("planned", campaign=campaign, issue=approved.issue, civil=occurrence.civil)
        return campaign
    return None


def _is_day_over(rooms: Rooms, now: datetime) -> bool:
    with rooms.database.reader() as connection:
        last = heartbeats.last(connection, LOCAL_BEAT)
    return last is None or not now - LOCAL_EVERY < last <= now


def _local_times(rooms: Rooms, now: datetime) -> LocalTimes:
    """When the readers of each campaign at their own time get it, as their zones are today."""
    with rooms.database.reader() as connection:
        if identity.stranger(connection, rooms.home) is not None:
            return {}
        return {
            local.occurrence_id: schedule.zone_times(
                connection,
                local.audience,
                local.civil,
                issue_id=local.issue_id,
                settings=rooms.settings,
                default_zone=local.zone,
                leaves=rooms.leaves(connection),
                now=now,
            )
            for local in schedule.pending_local(connection, now)
        }


def _move_local(connection: Connection, times: LocalTimes, now: datetime) -> None:
    for occurrence_id, of_zones in times.items():
        schedule.move_local(connection, occurrence_id, of_zones, now)


def _freeze(rooms: Rooms, campaign: int) -> bool:
    """Freeze one; what cannot be made is paused with its reason, and the next one has its turn."""
    try:
        return freeze.freeze(
            rooms.database,
            campaign,
            settings=rooms.settings,
            leaves=rooms.leaves,
            clock=rooms.now,
            on_frozen=rooms.hand_out,
        )
    except NewsletterError as error:
        log.error("campaign could not be made", campaign=campaign, reason=error.message)
        return False
