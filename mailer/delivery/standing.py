"""Where campaigns stand: the equation of their letters, their plan, who got nothing. Nothing is changed here.

Always: frozen = waiting + accepted + rejected + withheld + held, a sum over chunks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, case, exists, func, or_, select

from mailer.models import CampaignStatus, ChunkState
from mailer.tables import campaigns, chunks, issues, occurrences, revisions, schedules, skips
from subscribers.errors import NotFound

# What an INTEGER of PostgreSQL holds.
NUMBER_MAX = 2**31 - 1
FINAL = (CampaignStatus.FINISHED, CampaignStatus.CANCELLED)
# Chunks that somebody still has work with; uncertain ones wait for evidence, not for work.
WITH_WORK = (ChunkState.WAITING, ChunkState.CLAIMED, ChunkState.SUBMITTING)


@dataclass(frozen=True, slots=True)
class Due:
    """The time that a campaign is planned for; of a local one `at` is that of its first readers."""

    at: datetime
    civil: str
    zone: str
    is_local: bool

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class CampaignState:
    """Where a campaign stands. `frozen` is always the sum of the five after it.

    It goes with `revision`, whatever newer draft the issue has; `due` is None for "at once". Who got
    nothing, and why, is counted for one campaign alone: in a list `skipped` is None.
    """

    campaign: int
    issue: str
    status: str
    pause_reason: str | None
    frozen: int
    waiting: int
    accepted: int
    rejected: int
    withheld: int
    held: int
    skipped: Mapping[str, int] | None
    revision: int
    newest_revision: int
    due: Due | None

    def as_json(self) -> dict[str, Any]:
        """The shape that scripts rely on."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "skipped": None if self.skipped is None else dict(self.skipped),
            "due": self.due and self.due.as_json(),
        }


@dataclass(frozen=True, slots=True)
class PlannedState:
    """A campaign that waits for its time, or missed it, or was paused before it."""

    campaign: int
    issue: str
    status: str
    revision: int
    newest_revision: int
    due: Due
    is_frozen: bool


def status(connection: Connection, campaign_id: int) -> CampaignState:
    """Where a campaign stands. Raises NotFound."""
    require_possible(campaign_id)
    row = connection.execute(_states().where(campaigns.c.id == campaign_id)).one_or_none()
    if row is None:
        raise no_such(campaign_id)
    return _state(row, _skipped(connection, campaign_id))


def require_possible(campaign_id: int) -> None:
    """Refuse a number that no campaign can have, and no database takes. Raises NotFound."""
    if not 0 < campaign_id <= NUMBER_MAX:
        raise no_such(campaign_id)


def no_such(campaign_id: int) -> NotFound:
    return NotFound(f"there is no campaign {campaign_id}.", cure="See 'mailer campaigns'.")


def every(
    connection: Connection,
    *,
    statuses: Collection[CampaignStatus] | None = None,
    limit: int | None = None,
) -> list[CampaignState]:
    """Every campaign (in one of these statuses), newest first."""
    wanted = _states().limit(limit)
    if statuses is not None:
        wanted = wanted.where(campaigns.c.status.in_(statuses))
    return [_state(row, None) for row in connection.execute(wanted)]


def planned(connection: Connection) -> list[PlannedState]:
    """The campaigns with a time that are not over, soonest first; no letter is counted for it."""
    rows = connection.execute(
        select(
            campaigns.c.id,
            issues.c.slug,
            campaigns.c.status,
            revisions.c.number,
            _NEWEST.label("newest_revision"),
            occurrences.c.at,
            occurrences.c.civil,
            schedules.c.zone,
            schedules.c.is_local,
            campaigns.c.frozen_at,
        )
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .join(revisions, revisions.c.id == campaigns.c.revision_id)
        .join(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(campaigns.c.status.not_in(FINAL))
        .order_by(occurrences.c.at, campaigns.c.id)
    )
    return [
        PlannedState(
            row.id,
            row.slug,
            row.status,
            row.number,
            row.newest_revision,
            Due(row.at, row.civil, row.zone, bool(row.is_local)),
            row.frozen_at is not None,
        )
        for row in rows
    ]


def with_work(connection: Connection) -> list[int]:
    """The campaigns that are being prepared, or have letters waiting, newest first."""
    waits = exists().where(chunks.c.campaign_id == campaigns.c.id, chunks.c.state.in_(WITH_WORK))
    found = connection.execute(
        select(campaigns.c.id)
        .where(or_(campaigns.c.status == CampaignStatus.PREPARING, waits))
        .order_by(campaigns.c.id.desc())
    )
    return list(found.scalars())


_newer = revisions.alias()
_NEWEST = select(func.max(_newer.c.number)).where(_newer.c.issue_id == campaigns.c.issue_id).scalar_subquery()


def _states() -> Select[Any]:
    rest = chunks.c.recipients - chunks.c.rejected - chunks.c.withheld

    def share(*states: ChunkState) -> Any:
        return func.coalesce(func.sum(case((chunks.c.state.in_(states), rest), else_=0)), 0)

    plain = (
        campaigns.c.id,
        issues.c.slug,
        campaigns.c.status,
        campaigns.c.pause_reason,
        revisions.c.number.label("revision"),
        occurrences.c.at,
        occurrences.c.civil,
        schedules.c.zone,
        schedules.c.is_local,
    )
    return (
        select(
            *plain,
            _NEWEST.label("newest_revision"),
            func.coalesce(func.sum(chunks.c.recipients), 0).label("frozen"),
            share(*WITH_WORK).label("waiting"),
            share(ChunkState.ACCEPTED).label("accepted"),
            func.coalesce(func.sum(chunks.c.rejected), 0).label("rejected"),
            func.coalesce(func.sum(chunks.c.withheld), 0).label("withheld"),
            share(ChunkState.UNCERTAIN).label("held"),
        )
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .join(revisions, revisions.c.id == campaigns.c.revision_id)
        .outerjoin(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .outerjoin(schedules, schedules.c.id == occurrences.c.schedule_id)
        .outerjoin(chunks, chunks.c.campaign_id == campaigns.c.id)
        .group_by(*plain, campaigns.c.issue_id)
        .order_by(campaigns.c.id.desc())
    )


def _skipped(connection: Connection, campaign_id: int) -> dict[str, int]:
    counted = connection.execute(
        select(skips.c.reason, func.count().label("number"))
        .where(skips.c.campaign_id == campaign_id)
        .group_by(skips.c.reason)
        .order_by(func.count().desc(), skips.c.reason)
    )
    return {row.reason: row.number for row in counted}


def _state(row: Any, skipped: Mapping[str, int] | None) -> CampaignState:
    return CampaignState(
        campaign=row.id,
        issue=row.slug,
        status=row.status,
        pause_reason=row.pause_reason,
        frozen=int(row.frozen),
        waiting=int(row.waiting),
        accepted=int(row.accepted),
        rejected=int(row.rejected),
        withheld=int(row.withheld),
        held=int(row.held),
        skipped=skipped,
        revision=row.revision,
        newest_revision=row.newest_revision,
        due=None if row.civil is None else Due(row.at, row.civil, row.zone, bool(row.is_local)),
    )
