"""The end of a fence: at its time, by SendGrid's word that nothing of it goes, or in doubt.

States read and written here
fence   `sweep` open, cancelling -> spent, when its time has come · `cancelled` cancelling -> cancelled ·
        `give_up` cancelling, cancelled -> spent: it was asked to be cancelled, and nobody knows whether it
        was (`tries` above 0 says so for ever)
chunk   `cancelled` accepted, uncertain, submitting -> waiting (its attempts: withdrawn), or withheld with a
        cancelled campaign
        `give_up`   accepted, submitting, waiting again -> uncertain, or accepted where an event was seen

What an event proves of a call behind a fence. `processed` and `dropped` say that SendGrid has the call, not
that its letters went: enough for a fence that was never to be cancelled, nothing for one that was. All others
say that a letter went. Of a cancelled fence that means the cancel was not kept: then nothing of it is sent
again, what has not been is held, and `status` tells the number.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, exists, func, literal, or_, select, update

from mailer.delivery.campaigns import CANCELLED, finish_if_done, pause_if_sending, withhold_if_cancelled
from mailer.delivery.fences import HANDED, LIVE, want_cancelled, withdraw
from mailer.delivery.reconcile import portions
from mailer.delivery.timing import FENCE_ENDS, FENCE_GIVEN_UP
from mailer.models import (
    DROPPED,
    AttemptOutcome,
    CampaignStatus,
    ChunkState,
    Fate,
    FenceState,
    Handover,
)
from mailer.tables import attempts, campaigns, chunks, deliveries, fences
from subscribers.failpoints import Point, reach
from subscribers.models import UTCTime

# What says only that SendGrid has a call.
RECEIPTS = frozenset(("processed", "dropped"))
_RECEIPT_FATES = (Fate.PROCESSED, Fate.PROVIDER_DROPPED)
# The longest that `[sendgrid] deadline_seconds` may be.
LONGEST_DEADLINE = timedelta(seconds=170)
WENT_ANYWAY = "; cancelled, and an event shows that it went"


def sweep(connection: Connection, now: datetime, deadline: timedelta) -> int:
    """What time alone does: fences end at theirs, those of cancelled campaigns are taken back. How many."""
    rows = connection.execute(
        select(fences, campaigns.c.status)
        .join(campaigns, campaigns.c.id == fences.c.campaign_id)
        .where(fences.c.state.in_(LIVE))
        .order_by(fences.c.id)
    ).all()
    changed = 0
    for row in rows:
        if row.state == FenceState.CANCELLING and row.tries and now > row.send_at - FENCE_GIVEN_UP:
            give_up(connection, row.id, now)
        elif now >= row.send_at:
            _spend(connection, row.id, now)
        elif row.status == CampaignStatus.CANCELLED and row.state == FenceState.OPEN:
            if not withdraw(connection, row.campaign_id, now, deadline):
                continue
        else:
            continue
        changed += 1
        finish_if_done(connection, row.campaign_id, now)
    return changed


def _spend(connection: Connection, fence_id: int, now: datetime) -> bool:
    changed = connection.execute(
        update(fences)
        .where(fences.c.id == fence_id, fences.c.state != FenceState.SPENT)
        .values(state=FenceState.SPENT, ended_at=now, owner=None, lease_until=None)
    )
    return changed.rowcount == 1


def cancelled(connection: Connection, fence_id: int, now: datetime) -> bool:
    """SendGrid throws all of it away: its chunks go again, or are withheld with a cancelled campaign.

    Where an event says that a letter has gone already, nothing is: then it is given up.
    """
    handed = list(
        connection.execute(
            select(chunks.c.id).where(chunks.c.fence_id == fence_id, chunks.c.state.in_(HANDED))
        ).scalars()
    )
    if _went(connection, handed):
        give_up(connection, fence_id, now)
        return False
    changed = connection.execute(
        update(fences)
        .where(fences.c.id == fence_id, fences.c.state == FenceState.CANCELLING)
        .values(state=FenceState.CANCELLED, ended_at=now, owner=None, lease_until=None)
        .returning(fences.c.campaign_id)
    ).one_or_none()
    if changed is None:
        return False
    reach(Point.WITHDRAWING)
    status = select(campaigns.c.status).where(campaigns.c.id == changed.campaign_id)
    if connection.execute(status).scalar_one() == CampaignStatus.CANCELLED:
        _move(connection, handed, ChunkState.WITHHELD, Handover.WITHHELD, CANCELLED)
    else:
        _move(connection, handed, ChunkState.WAITING, Handover.WAITING)
    for ids in portions(handed):
        connection.execute(
            update(attempts)
            .where(
                attempts.c.chunk_id.in_(ids),
                attempts.c.fence_id == fence_id,
                or_(
                    attempts.c.outcome.is_(None),
                    attempts.c.outcome.in_((AttemptOutcome.ACCEPTED, AttemptOutcome.UNCERTAIN)),
                ),
            )
            .values(
                outcome=AttemptOutcome.WITHDRAWN,
                ended_at=func.coalesce(attempts.c.ended_at, literal(now, UTCTime())),
            )
        )
    withhold_if_cancelled(connection, changed.campaign_id)
    finish_if_done(connection, changed.campaign_id, now)
    return True


def give_up(connection: Connection, fence_id: int, now: datetime) -> None:
    """Nobody knows whether it was cancelled: all of it is in doubt, but what an event shows to have gone."""
    if not _spend(connection, fence_id, now):
        return
    connection.execute(update(fences).where(fences.c.id == fence_id, fences.c.tries == 0).values(tries=1))
    withdrawn = exists().where(
        attempts.c.chunk_id == chunks.c.id,
        attempts.c.fence_id == fence_id,
        attempts.c.outcome == AttemptOutcome.WITHDRAWN,
    )
    handed = and_(chunks.c.fence_id == fence_id, chunks.c.state.in_(HANDED))
    again = and_(chunks.c.state.in_((ChunkState.WAITING, ChunkState.CLAIMED)), withdrawn)
    campaign_id = select(fences.c.campaign_id).where(fences.c.id == fence_id).scalar_subquery()
    ids = list(
        connection.execute(
            select(chunks.c.id).where(chunks.c.campaign_id == campaign_id, or_(handed, again))
        ).scalars()
    )
    went = _went(connection, ids)
    _move(connection, [number for number in ids if number not in went], ChunkState.UNCERTAIN, Handover.HELD)
    _move(connection, sorted(went), ChunkState.ACCEPTED, Handover.ACCEPTED)
    for some in portions(ids):
        connection.execute(
            update(attempts)
            .where(attempts.c.chunk_id.in_(some), attempts.c.fence_id == fence_id)
            .where(
                or_(
                    attempts.c.outcome.is_(None),
                    attempts.c.outcome.in_((AttemptOutcome.ACCEPTED, AttemptOutcome.WITHDRAWN)),
                )
            )
            .values(
                outcome=AttemptOutcome.UNCERTAIN,
                ended_at=func.coalesce(attempts.c.ended_at, literal(now, UTCTime())),
                detail=attempts.c.detail + "; nobody knows whether it was cancelled",
            )
        )


def _went(connection: Connection, chunk_ids: Iterable[int]) -> set[int]:
    """Those of these chunks of which an event says that a letter went."""
    found: set[int] = set()
    for ids in portions(list(chunk_ids)):
        seen = (
            select(deliveries.c.chunk_id)
            .where(deliveries.c.chunk_id.in_(ids), deliveries.c.fate.not_in((Fate.NONE, *_RECEIPT_FATES)))
            .distinct()
        )
        found.update(connection.execute(seen).scalars())
    return found


def _move(
    connection: Connection,
    chunk_ids: Sequence[int],
    state: ChunkState,
    handover: Handover,
    reason: str | None = None,
) -> None:
    """Give chunks that were handed over another state, and their letters; a receipt is forgotten with it."""
    out = {} if reason is None else {"withheld": chunks.c.recipients - chunks.c.rejected}
    why = {} if reason is None else {"reason": reason}
    for ids in portions(chunk_ids):
        connection.execute(
            update(chunks)
            .where(chunks.c.id.in_(ids))
            .values(state=state, owner=None, lease_until=None, **out)
        )
        ours = deliveries.c.chunk_id.in_(ids)
        connection.execute(
            update(deliveries)
            .where(ours, deliveries.c.handover.in_((Handover.ACCEPTED, Handover.HELD, Handover.WAITING)))
            .values(handover=handover, **why)
        )
        connection.execute(
            update(deliveries)
            .where(ours, deliveries.c.fate.in_(_RECEIPT_FATES), deliveries.c.handover != Handover.ACCEPTED)
            .values(fate=Fate.NONE, fate_at=None)
        )


# -- what events say of it --------------------------------------------------------------------------


def revoked(connection: Connection, attempt_ids: Collection[str]) -> frozenset[str]:
    """Those of these calls whose fence was cancelled, or may have been: their receipts prove nothing."""
    if not attempt_ids:
        return frozenset()
    found = connection.execute(
        select(attempts.c.id)
        .join(fences, fences.c.id == attempts.c.fence_id)
        .where(attempts.c.id.in_(list(attempt_ids)))
        .where(
            or_(
                fences.c.state == FenceState.CANCELLED,
                and_(fences.c.state == FenceState.SPENT, fences.c.tries > 0),
            )
        )
    )
    return frozenset(found.scalars())


def went_anyway(connection: Connection, attempt_ids: Collection[str], now: datetime) -> int:
    """Letters of these calls went although SendGrid said that they would not: show it, and send no second.

    How many calls are new to it.
    """
    rows = connection.execute(
        select(attempts.c.id, attempts.c.chunk_id, attempts.c.fence_id, chunks.c.campaign_id)
        .join(chunks, chunks.c.id == attempts.c.chunk_id)
        .where(
            attempts.c.id.in_(list(attempt_ids)),
            attempts.c.outcome == AttemptOutcome.WITHDRAWN,
            attempts.c.detail.not_like(f"%{WENT_ANYWAY}%"),
        )
    ).all()
    for row in rows:
        connection.execute(
            update(attempts).where(attempts.c.id == row.id).values(detail=attempts.c.detail + WENT_ANYWAY)
        )
        give_up(connection, row.fence_id, now)
        _keep_the_place(connection, row.fence_id)
        twice = _stop_the_second(connection, row.fence_id, now)
        pause_if_sending(
            connection,
            row.campaign_id,
            "SendGrid delivered letters of a call that it had cancelled. "
            + (f"{twice:,} may go twice: it is too late to take them back. " if twice else "")
            + "What else might go twice is held, or is being taken back and then held; "
            f"decide with 'mailer resolve {row.campaign_id}', then resume.",
        )
    return len(rows)


def _stop_the_second(connection: Connection, fence_id: int, now: datetime) -> int:
    """Take back what was handed over again since this fence was cancelled; letters beyond reach."""
    was_behind = exists().where(
        attempts.c.chunk_id == chunks.c.id,
        attempts.c.fence_id == fence_id,
        attempts.c.outcome == AttemptOutcome.WITHDRAWN,
    )
    rows = connection.execute(
        select(
            fences.c.id,
            fences.c.state,
            fences.c.send_at,
            func.sum(chunks.c.recipients - chunks.c.rejected - chunks.c.withheld).label("letters"),
        )
        .select_from(chunks)
        .outerjoin(fences, fences.c.id == chunks.c.fence_id)
        .where(chunks.c.state.in_(HANDED), was_behind)
        .where(or_(fences.c.id.is_(None), fences.c.id != fence_id))
        .group_by(fences.c.id, fences.c.state, fences.c.send_at)
    ).all()
    twice = 0
    for row in rows:
        is_open = row.state == FenceState.OPEN and now <= row.send_at - FENCE_ENDS
        if is_open and want_cancelled(connection, row.id, now, LONGEST_DEADLINE):
            continue
        if row.state != FenceState.CANCELLING:
            twice += int(row.letters)
    return twice


def _keep_the_place(connection: Connection, fence_id: int) -> None:
    """Letters that were taken back may have gone: their readers get this issue by no other campaign."""
    chunk_ids = select(attempts.c.chunk_id).where(
        attempts.c.fence_id == fence_id,
        attempts.c.outcome.in_((AttemptOutcome.WITHDRAWN, AttemptOutcome.UNCERTAIN)),
    )
    other = deliveries.alias()
    taken = exists().where(
        other.c.issue_id == deliveries.c.issue_id,
        other.c.subscriber_id == deliveries.c.subscriber_id,
        other.c.id != deliveries.c.id,
        or_(other.c.handover != Handover.WITHHELD, other.c.reason == DROPPED),
    )
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.chunk_id.in_(chunk_ids),
            deliveries.c.handover == Handover.WITHHELD,
            deliveries.c.reason == CANCELLED,
            ~taken,
        )
        .values(reason=DROPPED)
    )


def letters_that_went_anyway(connection: Connection, campaign_ids: Sequence[int]) -> dict[int, int]:
    """Letters of calls that were cancelled and went all the same, as far as events tell, by campaign."""
    rows = connection.execute(
        select(chunks.c.campaign_id, func.sum(attempts.c.recipients))
        .join(chunks, chunks.c.id == attempts.c.chunk_id)
        .where(chunks.c.campaign_id.in_(campaign_ids), attempts.c.detail.like(f"%{WENT_ANYWAY}%"))
        .group_by(chunks.c.campaign_id)
    )
    return {number: int(letters) for number, letters in rows}
