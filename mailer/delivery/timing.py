"""When the letters of a campaign may be handed over: at once, after a grace, at its time, or ahead of it.

A campaign planned far enough ahead is handed over early, behind fences (`fences`), and arrives at its time.
One that goes at each reader's own time, or was planned too late, is handed over when its time has come.
Nothing here reads a clock or changes a row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select

from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.delivery.civil import CIVIL_FORMAT, known_zone, resolve
from mailer.tables import campaigns, occurrences, schedules

# Letters are handed over behind fences from so long before their time …
FENCE_LEAD = timedelta(minutes=45)
# … until so long before it: SendGrid cancels until ten minutes before, and a cancel takes a moment.
FENCE_ENDS = timedelta(minutes=12)
# What nobody knows to be cancelled by then is in doubt.
FENCE_GIVEN_UP = timedelta(minutes=11)
# The people of the seed list look before everybody else gets it.
SEED_LEAD = timedelta(minutes=15)
# Clocks of several machines differ, and are set by a little now and then; a jump is more than this.
CLOCK_SLACK = timedelta(minutes=5)


# Made once: it is asked with every claim.
_PLANNED = (
    select(
        occurrences.c.at,
        occurrences.c.civil,
        schedules.c.zone,
        schedules.c.is_local,
        campaigns.c.created_at,
    )
    .join(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
    .join(schedules, schedules.c.id == occurrences.c.schedule_id)
    .where(campaigns.c.id == bindparam("campaign"))
)


@dataclass(frozen=True, slots=True)
class Timing:
    """A planned campaign's time: `at`, or `civil` in each reader's own zone (`zone` where none is known)."""

    at: datetime
    is_local: bool
    civil: datetime
    zone: str
    is_fenced: bool

    def own_instant(self, zone: str | None) -> datetime:
        """When a reader's letter goes."""
        if not self.is_local:
            return self.at
        return resolve(self.civil, known_zone(zone or self.zone, self.zone)).at

    def fenced_until(self, now: datetime) -> datetime | None:
        """The `send_at` of what is handed over now; None: it goes at once, or may not go yet."""
        is_time = self.at - FENCE_LEAD <= now <= self.at - FENCE_ENDS
        return self.at if self.is_fenced and is_time else None


def of(connection: Connection, campaign_id: int) -> Timing | None:
    """The time that a campaign is planned for; None: it goes at once."""
    row = connection.execute(_PLANNED, {"campaign": campaign_id}).one_or_none()
    if row is None:
        return None
    is_fenced = not row.is_local and row.created_at <= row.at - FENCE_LEAD
    civil = datetime.strptime(row.civil, CIVIL_FORMAT)  # noqa: DTZ007 - a civil time has no zone
    return Timing(row.at, bool(row.is_local), civil, row.zone, is_fenced)


def wait_of(settings: Settings) -> timedelta:
    """How long "send now" waits: its grace, and then for the seeds."""
    seeds = SEED_LEAD if settings.sending.seed_list else timedelta()
    return duration_of(settings.sending.grace) + seeds


def claimable_from(
    timing: Timing | None, zones: Iterable[str | None], settings: Settings, now: datetime
) -> dict[str | None, datetime | None]:
    """From when the chunks of readers of each zone may be claimed; None: at once."""
    if timing is not None:
        if timing.is_fenced:
            return dict.fromkeys(zones, timing.at - FENCE_LEAD)
        return {zone: timing.own_instant(zone) for zone in zones}
    wait = wait_of(settings)
    return dict.fromkeys(zones, now + wait if wait else None)
