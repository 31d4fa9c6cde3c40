"""One chunk from waiting to an answer: claim, attempt, call, record. Called by threads until it says "idle".

States read and written here (chunk; its letters follow in the same transaction, the campaign too):
`claim.take`       waiting -> claimed(owner, lease), while the campaign is sending and its time has come
`_settle_empty`    claimed -> withheld, where nobody is left
`_begin`           claimed -> submitting with an attempt row on the disk; -> waiting where the campaign has
                   been paused meanwhile
`outcomes.record`  submitting -> accepted | waiting | split | rejected | uncertain
Every edge is one UPDATE guarded by state and owner; no row changed means that somebody else won. The
call itself stands outside of every transaction. Nothing is ever sent again without proof that it was
not taken.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

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

from mailer import dialect
from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.database import Database
from mailer.delivery import claim as claiming
from mailer.delivery import lateness, outcomes, reconcile, windows
from mailer.delivery.body import FrozenEdition, build
from mailer.delivery.campaigns import finish_all_done, finish_if_done, withhold_if_cancelled
from mailer.delivery.claim import Claim, Wish
from mailer.delivery.schedule import latest_of
from mailer.delivery.sorting import SortedOut, sort_out, waiting_letters
from mailer.delivery.timing import CLOCK_SLACK
from mailer.delivery.transport import Transport
from mailer.links import Doors, Tokens
from mailer.models import CampaignStatus, ChunkState, Handover
from mailer.tables import attempts, campaigns, chunks, deliveries, editions
from subscribers.failpoints import Point, reach

# Editions kept in memory; a campaign has a handful of editions as a rule, 500 at most, 100 kB each.
EDITIONS_KEPT = 32


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


@dataclass(frozen=True)
class Sending:
    """What sending needs; one for a process, shared by its threads."""

    database: Database
    settings: Settings
    tokens: Tokens
    doors: Doors
    transport: Transport
    clock: Callable[[], datetime]
    # What the database must call itself for anything to be claimed; None: anything.
    instance: Callable[[], str] | None = None
    editions: dict[int, FrozenEdition] = field(default_factory=dict)


def run_once(sending: Sending, owner: str, campaign_id: int | None = None) -> Step:
    """Take over from the dead, claim the next chunk that may go, and see it to its answer."""
    with sending.database.ledger() as connection:
        dialect.hold(connection, dialect.Lock.CLAIM)
        now = sending.clock()
        taken_over = reconcile.expire(connection, now, _longest_lease(sending))
        # Here, not at some tick: a machine that slept past its time wakes up with its threads first.
        lateness.miss(connection, latest_of(sending.settings), now)
        claim = claiming.take(connection, _wish(sending, owner, campaign_id, now), now)
        reach(Point.CLAIMING)
        if claim is None:
            finish_all_done(connection, now)
            mended = claiming.mend_clock(connection, now, duration_of(sending.settings.sending.grace))
            if taken_over or mended:
                return Step(Worked.SETTLED, campaign_id)
            is_open = windows.is_open(sending.settings, now)
            opens_at = None if is_open else windows.next_open(sending.settings, now)
            wake_at = claiming.next_time(connection, campaign_id, now, opens_at=opens_at)
            return Step(Worked.IDLE, campaign_id, wake_at)
        edition = _edition(connection, sending, claim.edition_id)
        # Read with the claim, and so after every unsubscribe that came before it.
        letters = waiting_letters(connection, claim.chunk_id, now)
    reach(Point.CLAIMED)
    sorted_out = sort_out(letters, sending.settings)
    if sorted_out.readers:
        return _hand_over(sending, claim, edition, sorted_out)
    with sending.database.ledger() as connection:
        _settle_empty(connection, claim, sorted_out, sending.clock())
    return Step(Worked.SETTLED, claim.campaign_id)


def _hand_over(sending: Sending, claim: Claim, edition: FrozenEdition, sorted_out: SortedOut) -> Step:
    """Attempt, call and record, for those who get the letter."""
    attempt_id = uuid.uuid4().hex
    call = build(
        edition, sorted_out.readers, attempt_id=attempt_id, tokens=sending.tokens, doors=sending.doors
    )
    body_hash = hashlib.sha256(call.encoded).hexdigest()
    with sending.database.ledger() as connection:
        has_begun = _begin(connection, sending, claim, sorted_out, attempt_id, body_hash)
    if not has_begun:
        return Step(Worked.SETTLED, claim.campaign_id)
    reach(Point.BEGUN)
    answer = sending.transport.submit(call)
    reach(Point.CALLED)
    called = outcomes.Called(
        claim.chunk_id,
        claim.campaign_id,
        claim.owner,
        attempt_id,
        tuple(reader.delivery_id for reader in sorted_out.readers),
    )
    with sending.database.ledger() as connection:
        outcomes.record(connection, answer, called, sending.clock())
        reach(Point.RECORD_ENDING)
    reach(Point.RECORDED)
    return Step(Worked.CALLED, claim.campaign_id)


def _wish(sending: Sending, owner: str, campaign_id: int | None, now: datetime) -> Wish:
    return Wish(
        owner,
        _lease(sending, now),
        campaign_id,
        sending.instance() if sending.instance is not None else None,
        windows.is_open(sending.settings, now),
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
    attempt_id: str,
    body_hash: str,
) -> bool:
    """Put the attempt on the disk; False when the campaign or the chunk is no longer ours to send."""
    now = sending.clock()
    changed = connection.execute(
        _BEGIN,
        {
            "chunk": claim.chunk_id,
            "by": claim.owner,
            "until": _lease(sending, now),
            "out": sum(len(numbers) for numbers in sorted_out.out.values()),
        },
    )
    if changed.rowcount != 1:
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
            "id": attempt_id,
            "chunk_id": claim.chunk_id,
            "started_at": now,
            "detail": "",
            "body_hash": body_hash,
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


def _lease(sending: Sending, now: datetime) -> datetime:
    return now + timedelta(seconds=sending.settings.sending.lease_seconds)


def _longest_lease(sending: Sending) -> timedelta:
    """A lease that ends later was set by a clock far ahead."""
    return timedelta(seconds=sending.settings.sending.lease_seconds) + CLOCK_SLACK
