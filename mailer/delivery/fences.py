"""Fences: calls made ahead of their time under an id of SendGrid's, by which they can still be taken back.

A call carries `batch_id` and `send_at`; until ten minutes before that time SendGrid throws away what was
handed over under a cancelled id. So a lost answer needs no evidence and no person: its fence is cancelled
whole, and all its chunks go again under a new id. The same takes back a whole campaign.

States read and written here (fence): `open_one` -> open · `doubt`, `withdraw` open -> cancelling; what ends
one, and what becomes of its letters, is `withdrawal`'s. Network calls are `care`'s; nothing here makes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, case, func, or_, select, update

from mailer.delivery.timing import CLOCK_SLACK, FENCE_ENDS, FENCE_GIVEN_UP
from mailer.models import AttemptOutcome, CampaignStatus, ChunkState, FenceState
from mailer.tables import attempts, campaigns, chunks, fences
from subscribers.tables import upsert

# Ids that SendGrid keeps cancelled at one time (older pages say ten, newer ones a hundred).
IDS_MAX = 10
# After the deadline of a call whose answer was lost, before its fence is cancelled.
AFTER_DEADLINE = timedelta(seconds=60)
RETRY_MAX_SECONDS = 30.0
LIVE = (FenceState.OPEN, FenceState.CANCELLING)
# Made once: every run of every thread asks it.
_LIVE_ONES = (
    select(
        fences.c.campaign_id,
        fences.c.state,
        fences.c.send_at,
        fences.c.cancel_from,
        fences.c.lease_until,
        fences.c.tries,
        campaigns.c.status,
    )
    .join(campaigns, campaigns.c.id == fences.c.campaign_id)
    .where(fences.c.state.in_(LIVE))
)
HANDED = (ChunkState.ACCEPTED, ChunkState.UNCERTAIN, ChunkState.SUBMITTING)


@dataclass(frozen=True, slots=True)
class Fence:
    """An id, and when its letters go."""

    id: int
    batch_id: str
    send_at: datetime


# -- taking chunks ----------------------------------------------------------------------------------


def open_of(connection: Connection, campaign_id: int, slot: int | None = None) -> Fence | None:
    """The open fence of a slot; without one, any that is open."""
    row = connection.execute(
        select(fences.c.id, fences.c.batch_id, fences.c.send_at)
        .where(
            fences.c.campaign_id == campaign_id,
            fences.c.state == FenceState.OPEN,
            *([fences.c.slot == slot] if slot is not None else []),
        )
        .order_by(fences.c.slot)
        .limit(1)
    ).one_or_none()
    return None if row is None else Fence(*row)


def has_room(connection: Connection, now: datetime) -> bool:
    """Whether SendGrid takes one more id of ours."""
    return _ids(connection, now) < IDS_MAX


def open_one(
    connection: Connection, campaign_id: int, slot: int, batch_id: str, send_at: datetime, now: datetime
) -> Fence | None:
    """Open the fence of a slot under this id; that of somebody who was faster; None when there is no room."""
    found = open_of(connection, campaign_id, slot)
    if found is None and has_room(connection, now):
        connection.execute(
            upsert(fences)
            .values(
                campaign_id=campaign_id,
                slot=slot,
                batch_id=batch_id,
                send_at=send_at,
                state=FenceState.OPEN,
                opened_at=now,
                tries=0,
            )
            .on_conflict_do_nothing()
        )
        found = open_of(connection, campaign_id, slot)
    return found or open_of(connection, campaign_id)


def is_open(connection: Connection, fence: Fence) -> bool:
    """Whether a fence takes chunks; asked by the transaction that puts one behind it."""
    row = connection.execute(
        select(fences.c.id).where(fences.c.id == fence.id, fences.c.state == FenceState.OPEN)
    )
    return row.first() is not None


def has_live(connection: Connection, campaign_id: int) -> bool:
    """Whether SendGrid keeps letters of a campaign that may still be taken back."""
    found = connection.execute(
        select(fences.c.id).where(fences.c.campaign_id == campaign_id, fences.c.state.in_(LIVE)).limit(1)
    )
    return found.first() is not None


def leave_to_its_time(connection: Connection, campaign_id: int, at: datetime) -> None:
    """What waits is handed over at its time, without a fence: it is too late for one, or there is none."""
    connection.execute(
        update(chunks)
        .where(
            chunks.c.campaign_id == campaign_id,
            chunks.c.state == ChunkState.WAITING,
            or_(chunks.c.not_before.is_(None), chunks.c.not_before < at),
        )
        .values(not_before=at)
    )


def _ids(connection: Connection, now: datetime) -> int:
    """Ids of the whole account that are live, or count as cancelled until their time."""
    return int(
        connection.execute(
            select(func.count()).select_from(fences).where(fences.c.send_at > now)
        ).scalar_one()
    )


def _replacements(connection: Connection, now: datetime) -> int:
    """Ids that will be wanted for slots whose fence is being cancelled."""
    rows = connection.execute(
        select(fences.c.campaign_id, fences.c.slot, fences.c.state).where(fences.c.send_at > now)
    ).all()
    is_served = {(row.campaign_id, row.slot) for row in rows if row.state == FenceState.OPEN}
    return len({(row.campaign_id, row.slot) for row in rows} - is_served)


# -- wanting one cancelled --------------------------------------------------------------------------


def doubt(connection: Connection, chunk_id: int, now: datetime, deadline: timedelta) -> None:
    """An answer was lost: the fence of its chunk is to be cancelled, where there is time and an id left."""
    row = connection.execute(
        select(fences.c.id, fences.c.send_at, fences.c.campaign_id)
        .join(chunks, chunks.c.fence_id == fences.c.id)
        .where(
            chunks.c.id == chunk_id,
            chunks.c.state == ChunkState.UNCERTAIN,
            fences.c.state == FenceState.OPEN,
        )
    ).one_or_none()
    if row is None or _quiet_from(connection, row.id, now, deadline) > row.send_at - FENCE_ENDS:
        return
    if _ids(connection, now) + _replacements(connection, now) >= IDS_MAX:
        return
    want_cancelled(connection, row.id, now, deadline)


def withdraw(connection: Connection, campaign_id: int, now: datetime, deadline: timedelta) -> int:
    """Take a whole campaign back: all its fences are to be cancelled while there is time. How many."""
    ids = connection.execute(
        select(fences.c.id).where(
            fences.c.campaign_id == campaign_id,
            fences.c.state == FenceState.OPEN,
            fences.c.send_at >= now + FENCE_ENDS,
        )
    ).scalars()
    return sum(want_cancelled(connection, fence_id, now, deadline) for fence_id in ids.all())


def want_cancelled(connection: Connection, fence_id: int, now: datetime, deadline: timedelta) -> bool:
    """Let one fence be cancelled, once no call behind it can be under way; False: it is not open."""
    changed = connection.execute(
        update(fences)
        .where(fences.c.id == fence_id, fences.c.state == FenceState.OPEN)
        .values(state=FenceState.CANCELLING, cancel_from=now)
    )
    if changed.rowcount != 1:
        return False
    quiet_from = _quiet_from(connection, fence_id, now, deadline)
    [send_at] = connection.execute(select(fences.c.send_at).where(fences.c.id == fence_id)).one()
    connection.execute(
        update(fences)
        .where(fences.c.id == fence_id)
        .values(cancel_from=min(quiet_from, max(now, send_at - FENCE_ENDS)))
    )
    return True


def _quiet_from(connection: Connection, fence_id: int, now: datetime, deadline: timedelta) -> datetime:
    """From when on no call behind this fence can still be under way."""
    last: datetime | None = connection.execute(
        select(func.max(attempts.c.started_at))
        .join(chunks, chunks.c.id == attempts.c.chunk_id)
        .where(
            chunks.c.fence_id == fence_id,
            attempts.c.fence_id == fence_id,
            or_(attempts.c.outcome.is_(None), attempts.c.outcome == AttemptOutcome.UNCERTAIN),
        )
    ).scalar_one()
    return now if last is None else max(now, min(last, now) + deadline + AFTER_DEADLINE)


# -- asking for it -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cancelling:
    """A fence whose cancel is ours to ask for."""

    id: int
    batch_id: str
    send_at: datetime


def next_care(
    connection: Connection, now: datetime, deadline: timedelta, campaign_id: int | None = None
) -> datetime | None:
    """When something is to be done about a fence, `now` or earlier where it is due; None: there is none."""
    rows = connection.execute(_LIVE_ONES).all()
    times = []
    for row in rows:
        if campaign_id not in (None, row.campaign_id):
            continue
        if row.state == FenceState.OPEN:
            is_taken_back = row.status == CampaignStatus.CANCELLED and now <= row.send_at - FENCE_ENDS
            times.append(now if is_taken_back else row.send_at)
            continue
        given_up = row.send_at - FENCE_GIVEN_UP
        if row.tries:
            times.append(given_up + timedelta(seconds=1))
        far = now + _longest_wait(deadline)
        waits = [at for at in (row.cancel_from, row.lease_until) if at is not None and at <= far]
        begins = max(waits, default=now)
        times.append(begins if max(begins, now) <= given_up else row.send_at)
    return min(times, default=None)


def claim_due(connection: Connection, owner: str, now: datetime, deadline: timedelta) -> Cancelling | None:
    """Take a fence that is to be cancelled now; the try is counted before it is made."""
    far = now + _longest_wait(deadline)
    is_ours = and_(
        fences.c.state == FenceState.CANCELLING,
        or_(fences.c.cancel_from <= now, fences.c.cancel_from > far),
        or_(fences.c.lease_until.is_(None), fences.c.lease_until <= now, fences.c.lease_until > far),
        fences.c.send_at >= now + FENCE_GIVEN_UP,
    )
    oldest = select(fences.c.id).where(is_ours).order_by(fences.c.cancel_from).limit(1).scalar_subquery()
    row = connection.execute(
        update(fences)
        .where(fences.c.id == oldest, is_ours)
        # Two calls: the cancel, and the question whether it was one.
        .values(owner=owner, lease_until=now + 2 * deadline, tries=fences.c.tries + 1)
        .returning(fences.c.id, fences.c.batch_id, fences.c.send_at)
    ).one_or_none()
    return None if row is None else Cancelling(*row)


def try_again(connection: Connection, fence_id: int, now: datetime) -> None:
    """The cancel had no answer that counts: once more, a little later."""
    [tries] = connection.execute(select(fences.c.tries).where(fences.c.id == fence_id)).one()
    wait = timedelta(seconds=min(2.0**tries, RETRY_MAX_SECONDS))
    connection.execute(
        update(fences)
        .where(fences.c.id == fence_id, fences.c.state == FenceState.CANCELLING)
        .values(cancel_from=now + wait, owner=None, lease_until=None)
    )


def _longest_wait(deadline: timedelta) -> timedelta:
    """No time about a cancel is set farther ahead than this."""
    return 2 * deadline + AFTER_DEADLINE + CLOCK_SLACK


# -- what a person is told --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reach:
    """Letters handed over: those that a cancel can still take back, and those that it cannot."""

    revocable: int
    beyond: int


def reach_of(connection: Connection, campaign_ids: Sequence[int], now: datetime) -> dict[int, Reach]:
    """How many letters of each campaign a cancel would still take back now."""
    rest = chunks.c.recipients - chunks.c.rejected - chunks.c.withheld
    in_time = and_(fences.c.state == FenceState.OPEN, fences.c.send_at >= now + FENCE_ENDS)
    is_revocable = or_(in_time, fences.c.state == FenceState.CANCELLING)
    rows = connection.execute(
        select(
            chunks.c.campaign_id,
            func.coalesce(func.sum(case((is_revocable, rest), else_=0)), 0),
            func.coalesce(func.sum(rest), 0),
        )
        .select_from(chunks)
        .outerjoin(fences, fences.c.id == chunks.c.fence_id)
        .where(chunks.c.campaign_id.in_(campaign_ids), chunks.c.state.in_(HANDED))
        .group_by(chunks.c.campaign_id)
    )
    found = {number: Reach(int(back), int(handed) - int(back)) for number, back, handed in rows}
    return dict.fromkeys(campaign_ids, Reach(0, 0)) | found
