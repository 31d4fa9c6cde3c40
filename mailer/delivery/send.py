"""One chunk from waiting to an answer: claim, attempt, call, record. Called by threads until it says "idle".

States read and written here (chunk; its letters follow in the same transaction, the campaign too):
`_claim`           waiting -> claimed(owner, lease), while the campaign is sending
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
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import outcomes, reconcile
from mailer.delivery.body import FrozenEdition, build
from mailer.delivery.campaigns import finish_all_done, finish_if_done, withhold_if_cancelled
from mailer.delivery.sorting import SortedOut, sort_out, waiting_letters
from mailer.delivery.transport import Transport
from mailer.links import Doors, Tokens
from mailer.models import CampaignStatus, ChunkState, Handover
from mailer.tables import attempts, campaigns, chunks, deliveries, editions
from subscribers.failpoints import Point, reach

# Editions kept in memory; a campaign has a handful of editions as a rule, 500 at most, 100 kB each.
EDITIONS_KEPT = 32


# Statements of every call are made once: making one costs as much as running it.


def _claiming(*conditions: ColumnElement[bool]) -> Any:
    other = aliased(chunks)
    in_flight = exists().where(
        other.c.campaign_id == chunks.c.campaign_id,
        other.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)),
    )
    next_one = (
        select(chunks.c.id)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .where(
            chunks.c.state == ChunkState.WAITING,
            campaigns.c.status == CampaignStatus.SENDING,
            or_(campaigns.c.not_before.is_(None), campaigns.c.not_before <= bindparam("at")),
            # The first call goes alone: what is wrong with it is wrong with all.
            or_(campaigns.c.proven, ~in_flight),
            *conditions,
        )
        .order_by(chunks.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        update(chunks)
        .where(chunks.c.id == next_one, chunks.c.state == ChunkState.WAITING)
        .values(state=ChunkState.CLAIMED, owner=bindparam("by"), lease_until=bindparam("until"))
        .returning(chunks.c.id, chunks.c.campaign_id, chunks.c.edition_id)
    )


_CLAIM_ANY = _claiming()
_CLAIM_OF_CAMPAIGN = _claiming(chunks.c.campaign_id == bindparam("only"))

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
    editions: dict[int, FrozenEdition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Claim:
    chunk_id: int
    campaign_id: int
    edition_id: int
    owner: str


def run_once(sending: Sending, owner: str, campaign_id: int | None = None) -> Step:
    """Take over from the dead, claim the next chunk that may go, and see it to its answer."""
    with sending.database.ledger() as connection:
        now = sending.clock()
        taken_over = reconcile.expire(connection, now)
        claim = _claim(connection, sending, owner, campaign_id, now)
        reach(Point.CLAIMING)
        if claim is None:
            finish_all_done(connection, now)
            wake_at = None if taken_over else _next_time(connection, campaign_id, now)
            return Step(Worked.SETTLED if taken_over else Worked.IDLE, campaign_id, wake_at)
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


def _hand_over(sending: Sending, claim: _Claim, edition: FrozenEdition, sorted_out: SortedOut) -> Step:
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


def _claim(
    connection: Connection, sending: Sending, owner: str, campaign_id: int | None, now: datetime
) -> _Claim | None:
    row = connection.execute(
        _CLAIM_ANY if campaign_id is None else _CLAIM_OF_CAMPAIGN,
        {"at": now, "by": owner, "until": _lease(sending, now), "only": campaign_id},
    ).one_or_none()
    return None if row is None else _Claim(row.id, row.campaign_id, row.edition_id, owner)


def _next_time(connection: Connection, campaign_id: int | None, now: datetime) -> datetime | None:
    """When a chunk that waits may go, or a lease ends; None when there is neither."""
    waits = connection.execute(
        select(campaigns.c.not_before)
        .where(
            campaigns.c.status == CampaignStatus.SENDING,
            campaigns.c.not_before > now,
            *([campaigns.c.id == campaign_id] if campaign_id is not None else []),
            exists().where(chunks.c.campaign_id == campaigns.c.id, chunks.c.state == ChunkState.WAITING),
        )
        .order_by(campaigns.c.not_before)
        .limit(1)
    ).scalar_one_or_none()
    lease = connection.execute(
        select(chunks.c.lease_until)
        .where(
            chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)),
            *([chunks.c.campaign_id == campaign_id] if campaign_id is not None else []),
        )
        .order_by(chunks.c.lease_until)
        .limit(1)
    ).scalar_one_or_none()
    times = [time for time in (waits, lease) if time is not None]
    return min(times) if times else None


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
    claim: _Claim,
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


def _settle_empty(connection: Connection, claim: _Claim, sorted_out: SortedOut, now: datetime) -> None:
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


def _is_ours(claim: _Claim) -> ColumnElement[bool]:
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
