"""One chunk from waiting to an answer: claim, attempt, call, record. Called by threads until it says "idle".

States read and written here (chunk; its letters follow in the same transaction, the campaign too):
`claim.take`       waiting -> claimed(owner, lease), while the campaign is sending and its time has come
`_put_back`        claimed -> waiting, for its time, where there is no fence to hand it over behind
`_settle_empty`    claimed -> withheld, where nobody is left
`_begin`           claimed -> submitting with an attempt row on the disk, behind an open fence where it is
                   ahead of its time; -> waiting where campaign or fence have ended meanwhile
`outcomes.record`  submitting -> accepted | waiting | split | rejected | uncertain
Every edge is one UPDATE guarded by state and owner; no row changed means that somebody else won. The
call itself stands outside of every transaction. Nothing is ever sent again without proof that it was
not taken, or will not go (`fences`).
"""

import hashlib
import logging
import threading
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from mailer.delivery import claim as claiming
from mailer.delivery import fences, lateness, limits, outcomes, reconcile, windows
from mailer.delivery import timing as timings
from mailer.delivery.body import FrozenEdition, build
from mailer.delivery.campaigns import finish_all_done, finish_if_done, hold_back, withhold_if_cancelled
from mailer.delivery.care import NoFence, care, fence_for, is_home, next_care
from mailer.delivery.claim import Claim, Wish
from mailer.delivery.fences import Fence
from mailer.delivery.limits import Room
from mailer.delivery.needs import Sending as Sending
from mailer.delivery.schedule import latest_of
from mailer.delivery.sorting import SortedOut, sort_out, waiting_letters
from mailer.delivery.timing import FENCE_ENDS, Timing, wait_of
from mailer.delivery.transport import Answer, Call
from mailer.models import CampaignStatus, ChunkState, Handover
from mailer.tables import attempts, campaigns, chunks, deliveries, editions
from mailer.trouble import passing_trouble
from subscribers.failpoints import Point, reach

_log = logging.getLogger(__name__)

# Editions kept in memory; a campaign has a handful of editions as a rule, 500 at most, 100 kB each.
EDITIONS_KEPT = 32
# SendGrid gave no batch id: asked again after this.
NO_ID_WAIT = timedelta(seconds=5)
# An answer that could not be recorded is recorded again after this.
RECORD_AGAIN_SECONDS = 1.0


# Statements of every call are made once: making one costs as much as running it.
_BEGIN = (
    update(chunks)
    .where(
        chunks.c.id == bindparam("chunk"),
        chunks.c.state == ChunkState.CLAIMED,
        chunks.c.owner == bindparam("by"),
        exists().where(campaigns.c.id == chunks.c.campaign_id, campaigns.c.status == CampaignStatus.SENDING),
    )
    .values(
        state=ChunkState.SUBMITTING,
        lease_until=bindparam("until"),
        withheld=chunks.c.withheld + bindparam("out", type_=Integer()),
        fence_id=bindparam("fence"),
    )
)
_ATTEMPT = insert(attempts)


class Worked(StrEnum):
    """What one run did."""

    CALLED = "called"  # a call was made and its answer recorded
    SETTLED = "settled"  # a chunk changed without a call
    IDLE = "idle"  # nothing may go now


@dataclass(frozen=True, slots=True)
class Step:
    """`wake_at`: when idle, the next time known at which something may go; None: not by the clock alone."""

    worked: Worked
    campaign_id: int | None = None
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A call about to be made."""

    id: str
    body_hash: str
    recipients: int
    fence: Fence | None


def run_once(sending: Sending, owner: str, campaign_id: int | None = None) -> Step:
    """Take over from the dead, care for fences, claim what may go next, and see it to its answer."""
    with sending.database.ledger() as connection:
        now = sending.clock()
        taken_over = reconcile.expire(connection, now, sending.longest_lease, sending.deadline, asking=owner)
        # Here, not at some tick: a machine that slept past its time wakes up with its threads first.
        lateness.miss(connection, latest_of(sending.settings), now)
        care_at = None
        if is_home(connection, sending):
            care_at = next_care(connection, sending, now, campaign_id)
        is_care_due = care_at is not None and care_at <= now
        claim = None
        if not is_care_due:
            room = limits.room(connection, sending.settings, now)
            claim = claiming.take(connection, _wish(sending, owner, campaign_id, room, now), now)
            reach(Point.CLAIMING)
        if claim is None and not is_care_due:
            finish_all_done(connection, now)
            mended = claiming.mend_clock(connection, now, wait_of(sending.settings))
            if taken_over or mended:
                return Step(Worked.SETTLED, campaign_id)
            wake_at = _wake_at(connection, sending, campaign_id, now, (care_at, room.frees_at))
            return Step(Worked.IDLE, campaign_id, wake_at)
        if claim is not None:
            edition = _edition(connection, sending, claim.edition_id)
            timing = timings.of(connection, claim.campaign_id)
            # Read with the claim, and so after every unsubscribe that came before it.
            letters = waiting_letters(connection, claim.chunk_id, now)
    if claim is None:
        care(sending, owner)
        return Step(Worked.SETTLED, campaign_id)
    reach(Point.CLAIMED)
    fence: Fence | None = None
    if timing is not None and timing.is_fenced and now < timing.at:
        found = _fence(sending, claim, timing, now)
        if isinstance(found, NoFence):
            _put_back(sending, claim, timing, found)
            return Step(Worked.SETTLED, claim.campaign_id)
        fence = found
    sorted_out = sort_out(letters, sending.settings)
    if sorted_out.readers:
        return _hand_over(sending, claim, edition, sorted_out, fence)
    with sending.database.ledger() as connection:
        _settle_empty(connection, claim, sorted_out, sending.clock())
    return Step(Worked.SETTLED, claim.campaign_id)


def _fence(sending: Sending, claim: Claim, timing: Timing, now: datetime) -> Fence | NoFence:
    send_at = timing.fenced_until(now)
    if send_at is None:
        return NoFence(until_its_time=True)
    return fence_for(sending, claim.campaign_id, claim.chunk_id, send_at)


def _put_back(sending: Sending, claim: Claim, timing: Timing, reason: NoFence) -> None:
    """claimed -> waiting, for its time or for a moment."""
    with sending.database.ledger() as connection:
        reconcile.move(connection, claim.chunk_id, ChunkState.CLAIMED, ChunkState.WAITING, owner=claim.owner)
        if reason.until_its_time:
            fences.leave_to_its_time(connection, claim.campaign_id, timing.at)
        else:
            hold_back(connection, claim.campaign_id, sending.clock() + NO_ID_WAIT)
        withhold_if_cancelled(connection, claim.campaign_id)


def _hand_over(
    sending: Sending, claim: Claim, edition: FrozenEdition, sorted_out: SortedOut, fence: Fence | None
) -> Step:
    """Attempt, call and record, for those who get the letter."""
    attempt_id = uuid.uuid4().hex
    call = build(
        edition,
        sorted_out.readers,
        attempt_id=attempt_id,
        tokens=sending.tokens,
        doors=sending.doors,
        batch_id=fence.batch_id if fence else None,
        send_at=fence.send_at if fence else None,
    )
    attempt = _Attempt(attempt_id, hashlib.sha256(call.encoded).hexdigest(), call.recipients, fence)
    names = {"campaign": claim.campaign_id, "chunk": claim.chunk_id, "attempt": attempt_id}
    with structlog.contextvars.bound_contextvars(**names):
        try:
            return _call(sending, claim, sorted_out, call, attempt)
        except Exception:
            _log.error("call broken off")  # whoever catches it tells why
            raise


def _call(sending: Sending, claim: Claim, sorted_out: SortedOut, call: Call, attempt: _Attempt) -> Step:
    """Make the call of an attempt; every line logged meanwhile names campaign, chunk and attempt."""
    with sending.database.ledger() as connection:
        # From here the call's time runs: a process that is stopped now makes no call when it wakes up.
        ends_at = time.monotonic() + sending.deadline.total_seconds()
        has_begun = _begin(connection, sending, claim, sorted_out, attempt)
    if not has_begun:
        return Step(Worked.SETTLED, claim.campaign_id)
    reach(Point.BEGUN)
    answer = sending.transport.submit(replace(call, ends_at=ends_at))
    reach(Point.CALLED)
    called = outcomes.Called(
        claim.chunk_id,
        claim.campaign_id,
        claim.owner,
        attempt.id,
        tuple(reader.delivery_id for reader in sorted_out.readers),
    )
    _record(sending, answer, called)
    reach(Point.RECORDED)
    _log.info("call ended", extra={"answer": type(answer).__name__, "letters": call.recipients})
    return Step(Worked.CALLED, claim.campaign_id)


def _record(sending: Sending, answer: Answer, called: outcomes.Called) -> None:
    """Write an answer down, however long the database cannot be written: nobody else has seen it."""
    while True:
        try:
            with sending.database.ledger() as connection:
                outcomes.record(connection, answer, called, sending.clock(), sending.settings)
                reach(Point.RECORD_ENDING)
            return
        except DBAPIError as error:
            trouble = passing_trouble(error)
            if trouble is None:
                raise
            _log.warning("%s The answer to a call waits to be recorded.", trouble)
            threading.Event().wait(RECORD_AGAIN_SECONDS)


def _wake_at(
    connection: Connection,
    sending: Sending,
    campaign_id: int | None,
    now: datetime,
    others: tuple[datetime | None, datetime | None],
) -> datetime | None:
    care_at, frees_at = others
    is_open = windows.is_open(sending.settings, now)
    opens_at = None if is_open else windows.next_open(sending.settings, now)
    waits_until = claiming.next_time(connection, campaign_id, now, opens_at=opens_at, frees_at=frees_at)
    times = (waits_until, care_at)
    return min((at for at in times if at is not None), default=None)


def _wish(sending: Sending, owner: str, campaign_id: int | None, room: Room, now: datetime) -> Wish:
    return Wish(
        owner,
        now + sending.lease,
        campaign_id,
        sending.instance() if sending.instance is not None else None,
        windows.is_open(sending.settings, now),
        room.letters,
        latest_of(sending.settings),
    )


def _edition(connection: Connection, sending: Sending, edition_id: int) -> FrozenEdition:
    kept = sending.editions.get(edition_id)
    if kept is not None:
        return kept
    row = connection.execute(
        select(
            editions.c.campaign_id,
            campaigns.c.sender,
            editions.c.subject,
            editions.c.html,
            editions.c.text,
            editions.c.slot_nonce,
        )
        .join(campaigns, campaigns.c.id == editions.c.campaign_id)
        .where(editions.c.id == edition_id)
    ).one()
    edition = FrozenEdition(*row)
    if len(sending.editions) >= EDITIONS_KEPT:
        sending.editions.clear()
    sending.editions[edition_id] = edition
    return edition


def _begin(
    connection: Connection,
    sending: Sending,
    claim: Claim,
    sorted_out: SortedOut,
    attempt: _Attempt,
) -> bool:
    """Put the attempt on the disk; False when campaign, chunk or fence is no longer ours to send with."""
    now = sending.clock()
    fence = attempt.fence
    is_fence_good = fence is None or (now <= fence.send_at - FENCE_ENDS and fences.is_open(connection, fence))
    changed = (
        is_fence_good
        and connection.execute(
            _BEGIN,
            {
                "chunk": claim.chunk_id,
                "by": claim.owner,
                "until": now + sending.lease,
                "out": sum(len(numbers) for numbers in sorted_out.out.values()),
                "fence": fence.id if fence else None,
            },
        ).rowcount
    )
    if changed != 1:
        reconcile.move(connection, claim.chunk_id, ChunkState.CLAIMED, ChunkState.WAITING, owner=claim.owner)
        withhold_if_cancelled(connection, claim.campaign_id)
        return False
    reach(Point.BEGINNING)
    _withhold(connection, sorted_out.out)
    for measured, numbers in sorted_out.consent_changed.items():
        connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(measured=measured))
    connection.execute(
        _ATTEMPT,
        {
            "id": attempt.id,
            "chunk_id": claim.chunk_id,
            "started_at": now,
            "detail": "",
            "body_hash": attempt.body_hash,
            "recipients": attempt.recipients,
            "fence_id": fence.id if fence else None,
        },
    )
    return True


def _settle_empty(connection: Connection, claim: Claim, sorted_out: SortedOut, now: datetime) -> None:
    """Nobody of the chunk is to be mailed any more."""
    changed = connection.execute(
        update(chunks)
        .where(_is_ours(claim))
        .values(
            state=ChunkState.WITHHELD,
            owner=None,
            lease_until=None,
            withheld=chunks.c.recipients - chunks.c.rejected,
        )
    )
    if changed.rowcount == 1:
        reach(Point.SETTLING_EMPTY)
        _withhold(connection, sorted_out.out)
        finish_if_done(connection, claim.campaign_id, now)


def _is_ours(claim: Claim) -> ColumnElement[bool]:
    return and_(
        chunks.c.id == claim.chunk_id,
        chunks.c.state == ChunkState.CLAIMED,
        chunks.c.owner == claim.owner,
    )


def _withhold(connection: Connection, out: dict[str, list[int]]) -> None:
    for reason, numbers in out.items():
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(numbers), deliveries.c.handover == Handover.WAITING)
            .values(handover=Handover.WITHHELD, reason=reason)
        )
