"""A planned campaign from its plan to its freeze: begun in time, held back, or missed when it is too late.

The clock of a machine may be wrong by an hour or ten years, and be set right again. What is decided here is
taken back when the clock turns out to have been ahead; nothing is decided twice.

States read and written here (campaign, and its occurrence with it):
`miss`             scheduled -> missed; sending -> missed, while no call of it was ever begun; of one at each
                   reader's own time also when only zones are left that are too late
`unmiss`           missed -> scheduled, sending: the clock that missed it was ahead
`let_go`           missed -> scheduled, sending: a person said so
`resume`           the same, and of a paused one what `campaigns` does: asked first where it is too late
`hold_unapproved`  scheduled -> paused: other templates than those approved
`hold_unplanned`   scheduled -> paused: its weekly rule was ended
`hold_closed`      scheduled, sending -> paused: its time, still to come, is outside of the hours for sending
`rebind`           scheduled -> scheduled, paused (for its templates) -> scheduled: a new approval
`begin`            scheduled -> preparing; the freeze follows
`follow`           (occurrence) pending -> running -> done, and back to pending while its campaign waits
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, or_, select, update

from mailer.config import Settings
from mailer.delivery import campaigns as life
from mailer.delivery import schedule, windows
from mailer.delivery.civil import civil_of
from mailer.delivery.owners import new_owner
from mailer.delivery.standing import FINAL, WITH_WORK
from mailer.delivery.timing import CLOCK_SLACK
from mailer.house_models import OccurrenceState
from mailer.models import CampaignStatus, ChunkState
from mailer.tables import attempts, campaigns, chunks, issues, marks, occurrences, schedules
from subscribers.errors import NewsletterError

# How the reason begins that a new approval ends.
TEMPLATES_CHANGED = "the e-mail templates were changed after the approval"
UNPLANNED = "[schedule] weekly was ended, so that this campaign has no time to go"

# A campaign of which nothing is frozen can take another revision, another time, another approval.
_REPLANNABLE = (CampaignStatus.SCHEDULED, CampaignStatus.PAUSED, CampaignStatus.MISSED)


def _too_late(unfrozen: CampaignStatus, frozen: CampaignStatus) -> ColumnElement[bool]:
    """Planned campaigns of before `since` of which no call was ever begun, in these statuses.

    Of one at each reader's own time: those of which only zones are left whose time is so long ago.
    """
    too_late = exists().where(
        occurrences.c.id == campaigns.c.occurrence_id,
        occurrences.c.at < bindparam("since"),
        occurrences.c.state.in_((OccurrenceState.PENDING, OccurrenceState.RUNNING)),
    )
    was_begun = (
        select(attempts.c.id)
        .join(chunks, chunks.c.id == attempts.c.chunk_id)
        .where(chunks.c.campaign_id == campaigns.c.id)
        .exists()
    )
    local = (
        select(occurrences.c.id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(schedules.c.is_local)
    )
    here = chunks.c.campaign_id == campaigns.c.id
    is_late = and_(chunks.c.state == ChunkState.WAITING, chunks.c.not_before < bindparam("since"))
    # Zones of which the time is to come, or not long ago, are handed over first.
    only_late = and_(
        exists().where(here, is_late),
        ~exists().where(here, chunks.c.state.in_(WITH_WORK), ~is_late),
    )
    never_begun = and_(
        campaigns.c.frozen_at.is_not(None),
        campaigns.c.status == frozen,
        or_(
            and_(campaigns.c.occurrence_id.in_(local), only_late),
            and_(campaigns.c.occurrence_id.not_in(local), campaigns.c.proven.is_(False), ~was_begun),
        ),
    )
    waits = and_(campaigns.c.frozen_at.is_(None), campaigns.c.status == unfrozen)
    return and_(
        campaigns.c.occurrence_id.is_not(None),
        campaigns.c.may_be_late.is_(False),
        or_(waits, never_begun),
        too_late,
    )


# Made once: it runs before every claim.
_MISS = (
    update(campaigns)
    .where(_too_late(CampaignStatus.SCHEDULED, CampaignStatus.SENDING))
    .values(status=CampaignStatus.MISSED)
    .returning(campaigns.c.id, campaigns.c.occurrence_id)
)


def miss(connection: Connection, latest: timedelta, now: datetime) -> list[int]:
    """Hold what is later than `[schedule] latest` until a person decides; the campaigns."""
    missed = connection.execute(_MISS, {"since": now - latest}).all()
    _settle(connection, (row.occurrence_id for row in missed), OccurrenceState.MISSED, now)
    return [row.id for row in missed]


def unmiss(connection: Connection, latest: timedelta, now: datetime) -> list[int]:
    """Take back what a clock missed that was ahead; the campaigns."""
    was_ahead = exists().where(
        occurrences.c.id == campaigns.c.occurrence_id,
        occurrences.c.at >= now - latest,
        or_(occurrences.c.at > now, occurrences.c.settled_at > now + CLOCK_SLACK),
    )
    return _go_on(connection, was_ahead)


def let_go(connection: Connection, campaign_id: int) -> bool:
    """Let a missed campaign go now, however late it is. False when it is not missed."""
    return bool(_go_on(connection, campaigns.c.id == campaign_id, may_be_late=True))


def is_late(connection: Connection, campaign_id: int, latest: timedelta, now: datetime) -> bool:
    """Whether a campaign missed its time, or is paused and would miss it as soon as it is resumed."""
    paused = _too_late(CampaignStatus.PAUSED, CampaignStatus.PAUSED)
    found = connection.execute(
        select(campaigns.c.id).where(
            campaigns.c.id == campaign_id, or_(campaigns.c.status == CampaignStatus.MISSED, paused)
        ),
        {"since": now - latest},
    )
    return found.first() is not None


def resume(
    connection: Connection, campaign_id: int, latest: timedelta, now: datetime, *, even_late: bool
) -> bool:
    """Let a paused campaign go on; `even_late`: one that is too late as well, now.

    False when it is under way already. Raises NewsletterError when it is over, or late and nobody said so.
    """
    if is_late(connection, campaign_id, latest, now):
        if not even_late:
            raise NewsletterError(
                f"campaign {campaign_id} missed its time.",
                cure=f"'mailer resume {campaign_id} --yes' sends it now, "
                f"'mailer cancel {campaign_id}' ends it.",
            )
        if let_go(connection, campaign_id):
            return True
        connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(may_be_late=True))
    return life.resume(connection, campaign_id, now)


def _go_on(connection: Connection, which: ColumnElement[bool], **values: Any) -> list[int]:
    gone_on: list[int] = []
    for is_so, status, state in (
        (campaigns.c.frozen_at.is_(None), CampaignStatus.SCHEDULED, OccurrenceState.PENDING),
        (campaigns.c.frozen_at.is_not(None), CampaignStatus.SENDING, OccurrenceState.RUNNING),
    ):
        changed = connection.execute(
            update(campaigns)
            .where(campaigns.c.status == CampaignStatus.MISSED, is_so, which)
            .values(status=status, **values)
            .returning(campaigns.c.id, campaigns.c.occurrence_id)
        ).all()
        _settle(connection, (row.occurrence_id for row in changed), state, None)
        gone_on += [row.id for row in changed]
    return gone_on


def _settle(connection: Connection, ids: Iterable[int], state: OccurrenceState, at: datetime | None) -> None:
    found = list(ids)
    if found:
        connection.execute(
            update(occurrences).where(occurrences.c.id.in_(found)).values(state=state, settled_at=at)
        )


# -- approval ---------------------------------------------------------------------------------------


def hold_unapproved(connection: Connection, templates: str) -> list[int]:
    """Pause scheduled campaigns that were approved with other templates; the campaigns."""
    others = select(marks.c.id).where(marks.c.templates_hash != templates)
    return _hold(
        connection,
        _scheduled().where(campaigns.c.approval_id.in_(others)),
        f"{TEMPLATES_CHANGED}; 'mailer preview {{issue}}' shows it, 'mailer approve {{issue}}' lets it go",
    )


def hold_unplanned(connection: Connection) -> list[int]:
    """Pause scheduled campaigns whose weekly rule was ended and replaced by none; the campaigns."""
    ended = (
        select(occurrences.c.id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(occurrences.c.state == OccurrenceState.SKIPPED, schedules.c.ended_at.is_not(None))
    )
    return _hold(
        connection,
        _scheduled().where(campaigns.c.occurrence_id.in_(ended)),
        f"{UNPLANNED}; 'mailer cancel {{campaign}}', then 'mailer send {{issue}} --at WHEN'",
    )


def hold_closed(connection: Connection, settings: Settings, now: datetime) -> list[int]:
    """Pause campaigns whose time the hours for sending close since they were planned; the campaigns.

    One whose time has come waits for the next opening instead. Weekly ones move there as long as they can.
    """
    if not windows.is_limited(settings):
        return []
    rows = connection.execute(
        select(campaigns.c.id, issues.c.slug, occurrences.c.at, occurrences.c.civil, schedules.c.is_local)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .join(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            campaigns.c.status.in_((CampaignStatus.SCHEDULED, CampaignStatus.SENDING)),
            campaigns.c.may_be_late.is_(False),
            occurrences.c.state.in_((OccurrenceState.PENDING, OccurrenceState.RUNNING)),
            occurrences.c.at > now,
        )
    ).all()
    held = []
    for row in rows:
        if row.is_local:
            why = windows.why_civil_closed(settings, civil_of(row.civil))
        else:
            why = windows.why_closed(settings, row.at)
        cure = f"'mailer cancel {row.id}', then 'mailer send {row.slug} --at WHEN', or open that time again"
        if why and hold(connection, row.id, f"{why}; {cure}"):
            held.append(row.id)
    return held


def _scheduled() -> Select[Any]:
    return (
        select(campaigns.c.id, issues.c.slug)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(campaigns.c.status == CampaignStatus.SCHEDULED)
    )


def _hold(connection: Connection, which: Select[Any], reason: str) -> list[int]:
    return [
        campaign_id
        for campaign_id, slug in connection.execute(which).all()
        if hold(connection, campaign_id, reason.format(issue=slug, campaign=campaign_id))
    ]


def hold(connection: Connection, campaign_id: int, reason: str) -> bool:
    """scheduled, sending -> paused, for a reason that a person ends with `resume`."""
    waiting = (CampaignStatus.SCHEDULED, CampaignStatus.SENDING)
    changed = connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status.in_(waiting))
        .values(status=CampaignStatus.PAUSED, pause_reason=reason)
    )
    return changed.rowcount == 1


def rebind(connection: Connection, *, issue_id: int, revision_id: int, approval_id: int) -> int | None:
    """Have an issue's campaign that is not frozen go with a newly approved revision; the campaign."""
    changed = connection.execute(
        update(campaigns)
        .where(
            campaigns.c.issue_id == issue_id,
            campaigns.c.occurrence_id.is_not(None),
            campaigns.c.frozen_at.is_(None),
            campaigns.c.status.in_(_REPLANNABLE),
        )
        .values(revision_id=revision_id, approval_id=approval_id)
        .returning(campaigns.c.id)
    ).scalar_one_or_none()
    connection.execute(
        update(campaigns)
        .where(
            campaigns.c.id == changed,
            campaigns.c.status == CampaignStatus.PAUSED,
            campaigns.c.pause_reason.startswith(TEMPLATES_CHANGED, autoescape=True),
        )
        .values(status=CampaignStatus.SCHEDULED, pause_reason=None)
    )
    return changed


# -- the freeze -------------------------------------------------------------------------------------


def due(connection: Connection, settings: Settings, now: datetime) -> list[int]:
    """Scheduled campaigns that are to be frozen now, the soonest first."""
    rows = connection.execute(
        select(campaigns.c.id, campaigns.c.created_at, occurrences.c.at, schedules.c.is_local)
        .join(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(
            campaigns.c.status == CampaignStatus.SCHEDULED,
            occurrences.c.state == OccurrenceState.PENDING,
        )
        .order_by(occurrences.c.at, campaigns.c.id)
    )
    return [
        row.id
        for row in rows
        if now
        >= row.at - schedule.lead_of(settings, at=row.at, planned=row.created_at, is_local=bool(row.is_local))
    ]


def begin(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """scheduled -> preparing, by this process. False when somebody else was there first."""
    changed = connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status == CampaignStatus.SCHEDULED)
        # Others see by `started_at` how long it has been preparing; the freeze sets it anew.
        .values(status=CampaignStatus.PREPARING, owner=new_owner(), started_at=now)
    )
    return changed.rowcount == 1


def follow(connection: Connection, now: datetime) -> None:
    """Let occurrences say what their campaigns do."""
    mine = campaigns.c.occurrence_id == occurrences.c.id
    is_frozen = campaigns.c.frozen_at.is_not(None)
    under_way = or_(
        campaigns.c.status.in_((CampaignStatus.PREPARING, CampaignStatus.SENDING)),
        and_(campaigns.c.status == CampaignStatus.PAUSED, is_frozen),
    )
    waits = and_(campaigns.c.status.in_((CampaignStatus.SCHEDULED, CampaignStatus.PAUSED)), ~is_frozen)
    changes: tuple[tuple[tuple[OccurrenceState, ...], ColumnElement[bool], dict[str, Any]], ...] = (
        ((OccurrenceState.PENDING,), exists().where(mine, under_way), {"state": OccurrenceState.RUNNING}),
        ((OccurrenceState.RUNNING,), exists().where(mine, waits), {"state": OccurrenceState.PENDING}),
        (
            (OccurrenceState.PENDING, OccurrenceState.RUNNING, OccurrenceState.MISSED),
            and_(
                exists().where(mine, campaigns.c.status.in_(FINAL)),
                ~exists().where(mine, campaigns.c.status.not_in(FINAL)),
            ),
            {"state": OccurrenceState.DONE, "settled_at": now},
        ),
    )
    for before, condition, values in changes:
        connection.execute(
            update(occurrences).where(occurrences.c.state.in_(before), condition).values(values)
        )
