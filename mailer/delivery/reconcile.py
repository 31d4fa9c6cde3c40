"""Doubts and their end: what nobody saw the answer of is held until evidence, or a person, settles it.

States read and written here (chunk; its letters follow in the same transaction):
`expire`   claimed -> waiting · submitting -> uncertain, or accepted where an event has come already
`leave`    the same, of a process that is told to stop
`witness`  uncertain -> accepted; waiting -> accepted when a person wanted it again and it had gone
`settle_seen` uncertain -> accepted, for every chunk of which a letter has had an event
`resolve`  uncertain -> accepted | waiting | withheld, by a person's word
Nothing here makes a call, and nothing is sent again unless a person says so.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, text, update

from mailer.delivery import fences as fencing
from mailer.delivery import owners
from mailer.delivery.campaigns import finish_if_done, reopen, require_no_other, withhold_if_cancelled
from mailer.event_models import BESIDE_ITS_FATE
from mailer.models import DROPPED, AttemptOutcome, CampaignStatus, ChunkState, Fate, FenceState, Handover
from mailer.tables import attempts, campaigns, chunks, deliveries, editions, events, fences
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point, reach

Decision = Literal["sent", "again", "drop"]
_Id = TypeVar("_Id", int, str)

# SQLite binds 32,766 values a statement; a webhook POST names a few thousand letters at most.
IDS_A_STATEMENT = 5_000

# Why a doubtful call counts as accepted, added to what its attempt says.
SEEN = "; an event showed that it went"
SAID = "; a person said that it went"
# Why nobody saw an answer.
GONE = "whoever made the call is gone"
LEFT = "the process was told to stop before the answer came"

# Made once: every run of every thread asks it.
_IN_HAND = select(
    chunks.c.id, chunks.c.campaign_id, chunks.c.state, chunks.c.owner, chunks.c.lease_until
).where(chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)))


def expire(
    connection: Connection,
    now: datetime,
    longest: timedelta,
    deadline: timedelta,
    *,
    asking: str | None = None,
) -> int:
    """Take over from whoever died: their chunks, by lease or by a process that is gone. How many.

    A lease longer than `longest` was set by a wrong clock, and holds nothing. `deadline`: of a call. Whoever
    is `asking` for work has none in hand: what bears their name was broken off (a full disk).
    """
    rows = connection.execute(_IN_HAND).all()
    taken = 0
    for row in rows:
        is_leased = row.lease_until is not None and now < row.lease_until <= now + longest
        if is_leased and row.owner != asking and not owners.is_gone(row.owner):
            continue
        taken += _take(connection, row, now, deadline, GONE)
    return taken


def leave(connection: Connection, leaving: Collection[str], now: datetime, deadline: timedelta) -> int:
    """Give up what these owners of ours have in hand, since their process ends now. How many chunks."""
    rows = [row for row in connection.execute(_IN_HAND) if row.owner in leaving]
    return sum(_take(connection, row, now, deadline, LEFT) for row in rows)


def _take(connection: Connection, row: Any, now: datetime, deadline: timedelta, why: str) -> bool:
    """claimed -> waiting · submitting -> uncertain; False: its owner, or somebody else, was quicker."""
    if row.state == ChunkState.CLAIMED:
        moved = move(connection, row.id, ChunkState.CLAIMED, ChunkState.WAITING, owner=row.owner)
    else:
        moved = move(connection, row.id, ChunkState.SUBMITTING, ChunkState.UNCERTAIN, owner=row.owner)
        if moved:
            _end_open_attempts(connection, row.id, now, why)
            hold(connection, row.id)
            fencing.doubt(connection, row.id, now, deadline)
    if moved:
        reach(Point.EXPIRING)
        withhold_if_cancelled(connection, row.campaign_id)
        finish_if_done(connection, row.campaign_id, now)
    return moved


def move(
    connection: Connection, chunk_id: int, old: ChunkState, new: ChunkState, *, owner: str | None
) -> bool:
    """One edge of a chunk, guarded by state and owner; False: somebody else won."""
    changed = connection.execute(
        update(chunks)
        .where(chunks.c.id == chunk_id, chunks.c.state == old, chunks.c.owner == owner)
        .values(state=new, owner=None, lease_until=None)
    )
    return changed.rowcount == 1


def hold(connection: Connection, chunk_id: int) -> None:
    """Let the letters of a chunk that has just become uncertain follow it, unless one was seen."""
    _hand(connection, [chunk_id], Handover.WAITING, Handover.HELD)
    reach(Point.HOLDING)
    if connection.execute(select(_was_seen(chunk_id))).scalar():
        _accept(connection, [chunk_id], SEEN)


def witness(connection: Connection, attempt_ids: Iterable[str] = (), delivery_ids: Iterable[int] = ()) -> int:
    """Accept what an event proves to have gone: by our attempt id or by a letter's id. Chunks changed."""
    found: set[int] = set()
    for named in portions(sorted(set(attempt_ids))):
        calls = select(attempts.c.chunk_id).where(
            attempts.c.id.in_(named), attempts.c.outcome == AttemptOutcome.UNCERTAIN
        )
        found.update(connection.execute(calls).scalars())
    for numbers in portions(sorted(set(delivery_ids))):
        letters = select(deliveries.c.chunk_id).where(
            deliveries.c.id.in_(numbers), deliveries.c.handover.in_((Handover.HELD, Handover.WAITING))
        )
        found.update(connection.execute(letters).scalars())
    return _accept(connection, sorted(found), SEEN)


def accept_late(connection: Connection, chunk_id: int) -> None:
    """A 202 came after the lease: it settles the doubt that the lease had raised."""
    _accept(connection, [chunk_id], "")


def release_late(connection: Connection, chunk_id: int, campaign_id: int) -> None:
    """Proof of not taken came after the lease: uncertain -> waiting, if no other call is in doubt."""
    doubtful = exists().where(attempts.c.chunk_id == chunk_id, attempts.c.outcome == AttemptOutcome.UNCERTAIN)
    held = select(chunks.c.id).where(
        chunks.c.id == chunk_id, chunks.c.state == ChunkState.UNCERTAIN, ~doubtful
    )
    # Where the issue has another campaign by now, this one cannot be opened again: held it stays.
    if connection.execute(held).first() is None or not reopen(connection, campaign_id):
        return
    connection.execute(
        update(chunks)
        .where(chunks.c.id == chunk_id, chunks.c.state == ChunkState.UNCERTAIN)
        .values(state=ChunkState.WAITING, owner=None, lease_until=None)
    )
    _hand(connection, [chunk_id], Handover.HELD, Handover.WAITING)


def settle_seen(connection: Connection) -> int:
    """Accept every uncertain chunk of which an event has told. For the clock; chunks changed."""
    seen = (
        connection.execute(
            select(chunks.c.id).where(
                chunks.c.state == ChunkState.UNCERTAIN,
                exists().where(deliveries.c.chunk_id == chunks.c.id, deliveries.c.fate != Fate.NONE),
            )
        )
        .scalars()
        .all()
    )
    return _accept(connection, seen, SEEN)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One held chunk, for a person to decide on."""

    chunk_id: int
    edition: str
    letters: int
    attempt_id: str
    started_at: datetime
    http_status: int | None
    detail: str


def doubts(connection: Connection, campaign_id: int) -> list[Doubt]:
    """What is held and what is known of it, oldest first."""
    last = (
        select(func.max(attempts.c.started_at))
        .where(attempts.c.chunk_id == chunks.c.id)
        .correlate(chunks)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            chunks.c.id,
            editions.c.label,
            (chunks.c.recipients - chunks.c.rejected - chunks.c.withheld).label("letters"),
            attempts.c.id.label("attempt_id"),
            attempts.c.started_at,
            attempts.c.http_status,
            attempts.c.detail,
        )
        .join(editions, editions.c.id == chunks.c.edition_id)
        .join(attempts, and_(attempts.c.chunk_id == chunks.c.id, attempts.c.started_at == last))
        .where(chunks.c.campaign_id == campaign_id, chunks.c.state == ChunkState.UNCERTAIN)
        .order_by(chunks.c.id)
    )
    return [Doubt(*row) for row in rows]


def resolve(connection: Connection, campaign_id: int, decision: Decision, now: datetime) -> int:
    """Settle every held chunk of a campaign by a person's word. Letters changed.

    Raises NewsletterError when "again" cannot be: the campaign was cancelled, or another is under way.
    """
    rows = connection.execute(
        select(chunks.c.id, chunks.c.recipients - chunks.c.rejected - chunks.c.withheld).where(
            chunks.c.campaign_id == campaign_id, chunks.c.state == ChunkState.UNCERTAIN
        )
    ).all()
    held = [chunk_id for chunk_id, _ in rows]
    if not held:
        return 0
    if decision == "sent":
        _accept(connection, held, SAID)
    elif decision == "drop":
        for ids in portions(held):
            _drop(connection, ids)
    else:
        _require_no_cancel(connection, campaign_id, held)
        let_go_again(connection, campaign_id, held)
    reach(Point.RESOLVING)
    finish_if_done(connection, campaign_id, now)
    return sum(letters for _, letters in rows)


def _require_no_cancel(connection: Connection, campaign_id: int, held: Sequence[int]) -> None:
    cancelling = exists().where(fences.c.id == chunks.c.fence_id, fences.c.state == FenceState.CANCELLING)
    asked = (select(chunks.c.id).where(chunks.c.id.in_(ids), cancelling).limit(1) for ids in portions(held))
    if any(connection.execute(each).first() is not None for each in asked):
        raise NewsletterError(
            f"letters of campaign {campaign_id} are being taken back from SendGrid at this moment, and then "
            "go again by themselves.",
            cure=f"Wait for it: 'mailer status {campaign_id}'; a worker or 'mailer serve' must run.",
        )


def let_go_again(connection: Connection, campaign_id: int, held: Sequence[int]) -> int:
    """uncertain -> waiting, where the campaign may go on. How many chunks. Raises NewsletterError."""
    row = connection.execute(
        select(campaigns.c.status, campaigns.c.issue_id).where(campaigns.c.id == campaign_id)
    ).one()
    if row.status == CampaignStatus.CANCELLED:
        raise NewsletterError(
            f"campaign {campaign_id} was cancelled; nothing of it is sent again.",
            cure="Say --sent or --drop.",
        )
    if not reopen(connection, campaign_id):
        require_no_other(connection, row.issue_id, campaign_id)
    again = 0
    for ids in portions(held):
        _hand(connection, ids, Handover.HELD, Handover.WAITING)
        again += connection.execute(
            update(chunks)
            .where(chunks.c.id.in_(ids), chunks.c.state == ChunkState.UNCERTAIN)
            .values(state=ChunkState.WAITING, owner=None, lease_until=None)
        ).rowcount
    return again


def _accept(connection: Connection, chunk_ids: Sequence[int], because: str) -> int:
    """uncertain -> accepted; waiting too where an earlier call may have passed. The reason is kept."""
    return sum(_accept_some(connection, ids, because) for ids in portions(chunk_ids))


def _accept_some(connection: Connection, chunk_ids: Sequence[int], because: str) -> int:
    doubtful = exists().where(
        attempts.c.chunk_id == chunks.c.id,
        attempts.c.outcome.in_((AttemptOutcome.UNCERTAIN, AttemptOutcome.ACCEPTED)),
    )
    ids = (
        connection.execute(
            update(chunks)
            .where(
                chunks.c.id.in_(chunk_ids),
                or_(
                    chunks.c.state == ChunkState.UNCERTAIN,
                    and_(chunks.c.state == ChunkState.WAITING, doubtful),
                ),
            )
            .values(state=ChunkState.ACCEPTED, owner=None, lease_until=None)
            .returning(chunks.c.id)
        )
        .scalars()
        .all()
    )
    if ids:
        reach(Point.ACCEPTING_SEEN)
        open_letters = deliveries.c.handover.in_((Handover.HELD, Handover.WAITING))
        connection.execute(
            update(deliveries)
            .where(deliveries.c.chunk_id.in_(ids), open_letters)
            .values(handover=Handover.ACCEPTED)
        )
        connection.execute(
            update(attempts)
            .where(attempts.c.chunk_id.in_(ids), attempts.c.outcome == AttemptOutcome.UNCERTAIN)
            .values(detail=attempts.c.detail + because)
        )
    return len(ids)


def _drop(connection: Connection, chunk_ids: Sequence[int]) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.chunk_id.in_(chunk_ids), deliveries.c.handover == Handover.HELD)
        .values(handover=Handover.WITHHELD, reason=DROPPED)
    )
    connection.execute(
        update(chunks)
        .where(chunks.c.id.in_(chunk_ids), chunks.c.state == ChunkState.UNCERTAIN)
        .values(state=ChunkState.WITHHELD, withheld=chunks.c.recipients - chunks.c.rejected)
    )


def _hand(connection: Connection, chunk_ids: Sequence[int], old: Handover, new: Handover) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.chunk_id.in_(chunk_ids), deliveries.c.handover == old)
        .values(handover=new)
    )


def _end_open_attempts(connection: Connection, chunk_id: int, now: datetime, detail: str) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.chunk_id == chunk_id, attempts.c.outcome.is_(None))
        .values(outcome=AttemptOutcome.UNCERTAIN, ended_at=now, detail=detail)
    )


def _was_seen(chunk_id: int) -> ColumnElement[bool]:
    has_event = exists().where(events.c.delivery_id == deliveries.c.id, text(BESIDE_ITS_FATE))
    return exists().where(deliveries.c.chunk_id == chunk_id, or_(deliveries.c.fate != Fate.NONE, has_event))


def portions(values: Sequence[_Id]) -> Iterable[Sequence[_Id]]:
    """What one statement names at most, again and again."""
    for start in range(0, len(values), IDS_A_STATEMENT):
        yield values[start : start + IDS_A_STATEMENT]
