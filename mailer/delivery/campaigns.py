"""A campaign's life: create, pause, resume, cancel, finish, reopen. Where it stands is told by `standing`.

States read and written here (campaign):
`create` -> preparing, of a planned one -> scheduled · `pause` scheduled, sending -> paused · `resume` paused
-> sending (or finished, when nothing is left), not frozen yet -> scheduled · `cancel` any unfinished ->
cancelled · `finish_if_done`, `finish_all_done` sending -> finished · `reopen` finished -> sending · `give_up`
preparing -> cancelled, a planned one -> paused; preparing -> sending is the freeze's, missed is `lateness`'s
and (chunk) `cancel`, `withhold_if_cancelled`: waiting, claimed -> withheld. A call in flight is never
touched.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from mailer.delivery.audience import Audience
from mailer.delivery.owners import new_owner
from mailer.delivery.standing import FINAL, WITH_WORK, no_such
from mailer.models import CampaignStatus, ChunkState, FenceState, Handover
from mailer.tables import campaigns, chunks, deliveries, fences
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point, reach

CANCELLED = "cancelled"  # why a letter was withheld
BY_HAND = "paused by hand"

# What was handed over ahead of its time can still be taken back: such a campaign is not over.
_HAS_LIVE_FENCE = exists().where(
    fences.c.campaign_id == campaigns.c.id, fences.c.state.in_((FenceState.OPEN, FenceState.CANCELLING))
)
# Made once: it runs after every call.
_FINISH = (
    update(campaigns)
    .where(
        campaigns.c.id == bindparam("campaign"),
        campaigns.c.status == CampaignStatus.SENDING,
        ~exists().where(chunks.c.campaign_id == bindparam("campaign"), chunks.c.state.in_(WITH_WORK)),
        ~_HAS_LIVE_FENCE,
    )
    .values(status=CampaignStatus.FINISHED, finished_at=bindparam("at"))
)


class UnfinishedCampaign(NewsletterError):
    """An issue has one campaign under way at most; `campaign` is that one."""

    def __init__(self, campaign: int) -> None:
        super().__init__(
            f"campaign {campaign} of this issue is not finished.",
            cure=f"Go on with it: 'mailer resume {campaign}' or 'mailer worker'; "
            f"or 'mailer cancel {campaign}'.",
        )
        self.campaign = campaign


def create(
    connection: Connection,
    *,
    issue_id: int,
    revision_id: int,
    audience: Mapping[str, Any],
    sender: Mapping[str, Any],
    now: datetime,
    occurrence_id: int | None = None,
    approval_id: int | None = None,
    created_by: str = "",
) -> int:
    """Begin a campaign: its freeze follows, or it waits for its occurrence.

    Raises NewsletterError when the issue has an unfinished one.
    """
    is_planned = occurrence_id is not None
    try:
        with connection.begin_nested():
            made = connection.execute(
                insert(campaigns)
                .values(
                    issue_id=issue_id,
                    revision_id=revision_id,
                    audience=dict(audience),
                    status=CampaignStatus.SCHEDULED if is_planned else CampaignStatus.PREPARING,
                    owner=None if is_planned else new_owner(),
                    proven=False,
                    created_at=now,
                    sender=dict(sender),
                    occurrence_id=occurrence_id,
                    approval_id=approval_id,
                    created_by=created_by,
                )
                .returning(campaigns.c.id)
            )
            return int(made.scalar_one())
    except IntegrityError:
        require_no_other(connection, issue_id)
        raise


def require_no_other(connection: Connection, issue_id: int, campaign_id: int | None = None) -> None:
    """Raise when another campaign of the issue is unfinished."""
    other = unfinished(connection, issue_id)
    if other is not None and other != campaign_id:
        raise UnfinishedCampaign(other)


def unfinished(connection: Connection, issue_id: int) -> int | None:
    """The one campaign of an issue that is neither finished nor cancelled."""
    return connection.execute(
        select(campaigns.c.id).where(campaigns.c.issue_id == issue_id, campaigns.c.status.not_in(FINAL))
    ).scalar_one_or_none()


def newest(connection: Connection, issue_id: int) -> int:
    """The last campaign that was made of an issue; 0 when none was."""
    return int(
        connection.execute(
            select(func.coalesce(func.max(campaigns.c.id), 0)).where(campaigns.c.issue_id == issue_id)
        ).scalar_one()
    )


def made_since(connection: Connection, issue_id: int, campaign_id: int, wanted: Audience) -> int | None:
    """The campaign of an issue for these people that somebody made after that one, and did not cancel."""
    rows = connection.execute(
        select(campaigns.c.id, campaigns.c.audience)
        .where(
            campaigns.c.issue_id == issue_id,
            campaigns.c.id > campaign_id,
            campaigns.c.status != CampaignStatus.CANCELLED,
        )
        .order_by(campaigns.c.id.desc())
    )
    return next((row.id for row in rows if Audience.from_json(row.audience) == wanted), None)


def in_status(connection: Connection, status: CampaignStatus) -> list[int]:
    """The campaigns in one status, oldest first."""
    found = connection.execute(
        select(campaigns.c.id).where(campaigns.c.status == status).order_by(campaigns.c.id)
    )
    return list(found.scalars())


def audience(connection: Connection, campaign_id: int) -> Audience:
    """Whom a campaign is for, as it was asked."""
    return Audience.from_json(
        connection.execute(select(campaigns.c.audience).where(campaigns.c.id == campaign_id)).scalar_one()
    )


def pause(connection: Connection, campaign_id: int, reason: str = BY_HAND) -> bool:
    """Stop handing over; calls in flight end. False when it is paused already. Raises when it is over."""
    before = (CampaignStatus.SCHEDULED, CampaignStatus.SENDING)
    if _change(connection, campaign_id, before, CampaignStatus.PAUSED, pause_reason=reason):
        return True
    return _refuse_unless(connection, campaign_id, (CampaignStatus.PAUSED,), "pause")


def pause_if_sending(connection: Connection, campaign_id: int, reason: str) -> None:
    """Pause for a reason met on the way; a campaign that is paused or over keeps its own."""
    _change(connection, campaign_id, (CampaignStatus.SENDING,), CampaignStatus.PAUSED, pause_reason=reason)


def resume(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """Let a paused campaign go on, at once; one that is not frozen yet waits for its time again.

    False when it is under way already. Raises when it is over, or missed.
    """
    planned_again = connection.execute(
        update(campaigns)
        .where(
            campaigns.c.id == campaign_id,
            campaigns.c.status == CampaignStatus.PAUSED,
            campaigns.c.frozen_at.is_(None),
        )
        .values(status=CampaignStatus.SCHEDULED, pause_reason=None, not_before=None)
    )
    if planned_again.rowcount:
        return True
    if _change(
        connection,
        campaign_id,
        (CampaignStatus.PAUSED,),
        CampaignStatus.SENDING,
        pause_reason=None,
        not_before=None,
        failures=0,
    ):
        finish_if_done(connection, campaign_id, now)
        return True
    return _refuse_unless(
        connection, campaign_id, (CampaignStatus.SENDING, CampaignStatus.SCHEDULED), "resume"
    )


def cancel(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """End a campaign: what has not left will not leave. False when it is cancelled already."""
    unfinished_ones = tuple(state for state in CampaignStatus if state not in FINAL)
    if _change(
        connection,
        campaign_id,
        unfinished_ones,
        CampaignStatus.CANCELLED,
        pause_reason=None,
        finished_at=now,
    ):
        withhold_if_cancelled(connection, campaign_id)
        return True
    return _refuse_unless(connection, campaign_id, (CampaignStatus.CANCELLED,), "cancel")


def give_up(connection: Connection, campaign_id: int, reason: str, now: datetime) -> None:
    """preparing -> cancelled, when it cannot be made; a planned one -> paused, so that a person mends it."""
    is_planned = exists().where(campaigns.c.id == campaign_id, campaigns.c.occurrence_id.is_not(None))
    if connection.execute(select(is_planned)).scalar_one():
        _change(
            connection,
            campaign_id,
            (CampaignStatus.PREPARING,),
            CampaignStatus.PAUSED,
            pause_reason=f"it could not be made: {reason}",
        )
    else:
        cancel(connection, campaign_id, now)


def withhold_if_cancelled(connection: Connection, campaign_id: int) -> None:
    """Withhold what a cancelled campaign still has waiting; calls in flight end by themselves."""
    is_cancelled = exists().where(
        campaigns.c.id == campaign_id, campaigns.c.status == CampaignStatus.CANCELLED
    )
    ids = (
        connection.execute(
            update(chunks)
            .where(
                chunks.c.campaign_id == campaign_id,
                chunks.c.state.in_((ChunkState.WAITING, ChunkState.CLAIMED)),
                is_cancelled,
            )
            .values(
                state=ChunkState.WITHHELD,
                owner=None,
                lease_until=None,
                withheld=chunks.c.recipients - chunks.c.rejected,
            )
            .returning(chunks.c.id)
        )
        .scalars()
        .all()
    )
    for start in range(0, len(ids), 1000):
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.chunk_id.in_(ids[start : start + 1000]),
                deliveries.c.handover == Handover.WAITING,
            )
            .values(handover=Handover.WITHHELD, reason=CANCELLED)
        )


def finish_if_done(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """sending -> finished, when no chunk has work left; held ones may remain."""
    is_done = connection.execute(_FINISH, {"campaign": campaign_id, "at": now}).rowcount == 1
    if is_done:
        reach(Point.FINISHING)
    return is_done


def finish_all_done(connection: Connection, now: datetime) -> None:
    """sending -> finished for every campaign without work left: an event may have taken the last of it.

    paused too, where nothing is in doubt either: there is nothing to go on with, nor to decide.
    """
    of_it = chunks.c.campaign_id == campaigns.c.id
    has_open = exists().where(of_it, chunks.c.state.in_(WITH_WORK))
    has_doubts = exists().where(of_it, chunks.c.state == ChunkState.UNCERTAIN)
    is_frozen_pause = and_(
        campaigns.c.status == CampaignStatus.PAUSED, campaigns.c.frozen_at.is_not(None), ~has_doubts
    )
    connection.execute(
        update(campaigns)
        .where(or_(campaigns.c.status == CampaignStatus.SENDING, is_frozen_pause))
        .where(~has_open, ~_HAS_LIVE_FENCE)
        .values(status=CampaignStatus.FINISHED, finished_at=now, pause_reason=None)
    )


def reopen(connection: Connection, campaign_id: int) -> bool:
    """finished -> sending, for letters that go again. False when the issue has another one under way."""
    row = connection.execute(
        select(campaigns.c.status, campaigns.c.issue_id).where(campaigns.c.id == campaign_id)
    ).one()
    if row.status != CampaignStatus.FINISHED:
        return True
    if unfinished(connection, row.issue_id) is not None:
        return False
    return _change(
        connection, campaign_id, (CampaignStatus.FINISHED,), CampaignStatus.SENDING, finished_at=None
    )


def hold_back(connection: Connection, campaign_id: int, until: datetime) -> None:
    """Claim nothing of a campaign before this time; a later time already set stays."""
    connection.execute(
        update(campaigns)
        .where(
            campaigns.c.id == campaign_id,
            (campaigns.c.not_before.is_(None)) | (campaigns.c.not_before < until),
        )
        .values(not_before=until)
    )


def _change(
    connection: Connection,
    campaign_id: int,
    old: tuple[CampaignStatus, ...],
    new: CampaignStatus,
    **values: Any,
) -> bool:
    changed = connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status.in_(old))
        .values(status=new, **values)
    )
    return changed.rowcount == 1


def _refuse_unless(
    connection: Connection, campaign_id: int, wanted: tuple[CampaignStatus, ...], verb: str
) -> bool:
    """False when the campaign is in a wanted status already; else the refusal."""
    found = connection.execute(
        select(campaigns.c.status).where(campaigns.c.id == campaign_id)
    ).scalar_one_or_none()
    if found is None:
        raise no_such(campaign_id)
    if found in wanted:
        return False
    if found == CampaignStatus.MISSED:
        raise NewsletterError(
            f"campaign {campaign_id} missed its time.",
            cure=f"'mailer resume {campaign_id} --yes' sends it now, 'mailer cancel {campaign_id}' ends it.",
        )
    raise NewsletterError(
        f"campaign {campaign_id} is {found}; there is nothing to {verb}.",
        cure=f"See 'mailer status {campaign_id}'.",
    )
