"""The calls that fences need: an id to begin with, and its cancelling; and those for the seeds.

Outside of every transaction.

States: those of `fences`, `withdrawal` and `seeds`, which write them. Whoever dies here leaves an id that was
never used, or a cancel that another asks for again; both are harmless.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from mailer.delivery import fences, seeds, withdrawal
from mailer.delivery.fences import Fence
from mailer.delivery.needs import Sending
from mailer.delivery.timing import FENCE_ENDS, FENCE_GIVEN_UP
from mailer.delivery.transport import BatchUnknown, NoBatch
from mailer.models import FenceState
from mailer.tables import fences as fence_rows
from mailer.tables import identities
from subscribers.failpoints import Point, reach

# SendGrid does not promise to cancel later than this.
CANCELS_UNTIL = timedelta(minutes=10)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoFence:
    """`until_its_time`: it goes without one at its time; else an id may be had a moment later."""

    until_its_time: bool


def fence_for(sending: Sending, campaign_id: int, chunk_id: int, send_at: datetime) -> Fence | NoFence:
    """The fence that a chunk is handed over behind; opened where its slot has none."""
    slot = chunk_id % sending.settings.sending.fence_slots
    with sending.database.reader() as connection:
        found = fences.open_of(connection, campaign_id, slot)
        if found is None and not fences.has_room(connection, sending.clock()):
            found = fences.open_of(connection, campaign_id)
            if found is None:
                return NoFence(until_its_time=True)
    if found is not None:
        return found
    batch = sending.transport.new_batch()
    reach(Point.BATCH_MADE)
    if isinstance(batch, NoBatch):
        if batch.is_final:
            _log.warning("%s: campaign %s goes at its time, without a way back", batch.detail, campaign_id)
        return NoFence(until_its_time=batch.is_final)
    if batch.at is not None and batch.at > send_at - FENCE_ENDS:
        _log.warning("by SendGrid's clock it is too late to fence campaign %s", campaign_id)
        return NoFence(until_its_time=True)
    with sending.database.ledger() as connection:
        opened = fences.open_one(connection, campaign_id, slot, batch.batch_id, send_at, sending.clock())
    reach(Point.FENCE_OPENED)
    return opened or NoFence(until_its_time=True)


def next_care(
    connection: Connection, sending: Sending, now: datetime, campaign_id: int | None = None
) -> datetime | None:
    """When `care` has something to do (for one campaign); None: nothing that the clock alone brings."""
    due = fences.next_care(connection, now, sending.deadline, campaign_id)
    if not sending.settings.sending.seed_list:
        return due
    times = (due, seeds.next_due(connection, campaign_id))
    return min((at for at in times if at is not None), default=None)


def care(sending: Sending, owner: str) -> bool:
    """Send seeds what is due, end what is over, cancel one fence that is to be; whether anything was done."""
    has_sent = _is_for_seeds(sending) and seeds.send_due(sending)
    return _end_fences(sending, owner) or has_sent


def _is_for_seeds(sending: Sending) -> bool:
    if not sending.settings.sending.seed_list:
        return False
    with sending.database.reader() as connection:
        return is_home(connection, sending)


def _end_fences(sending: Sending, owner: str) -> bool:
    with sending.database.ledger() as connection:
        if not is_home(connection, sending):
            return False
        now = sending.clock()
        swept = withdrawal.sweep(connection, now, sending.deadline)
        due = fences.claim_due(connection, owner, now, sending.deadline)
    if due is None:
        return swept > 0
    reach(Point.CANCEL_BEGUN)
    answer = sending.transport.cancel_batch(due.batch_id)
    reach(Point.CANCEL_ANSWERED)
    if isinstance(answer, BatchUnknown):
        # An earlier cancel may have been taken: the id would refuse a second.
        answer = sending.transport.batch_status(due.batch_id)
    with sending.database.ledger() as connection:
        now = sending.clock()
        if isinstance(answer, BatchUnknown):
            _log.warning("batch of fence %s: %s", due.id, answer.detail)
            fences.try_again(connection, due.id, now)
        elif max(now, answer.at or now) > due.send_at - CANCELS_UNTIL:
            withdrawal.give_up(connection, due.id, now)
        else:
            withdrawal.cancelled(connection, due.id, now)
    return True


def is_being_cancelled(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """Whether a fence of this campaign waits to be cancelled, and there is time for it."""
    found = connection.execute(
        select(fence_rows.c.id)
        .where(
            fence_rows.c.campaign_id == campaign_id,
            fence_rows.c.state == FenceState.CANCELLING,
            fence_rows.c.send_at >= now + FENCE_GIVEN_UP,
        )
        .limit(1)
    )
    return found.first() is not None


def is_home(connection: Connection, sending: Sending) -> bool:
    """Whether this is the database that may send."""
    if sending.instance is None:
        return True
    found = connection.execute(select(identities.c.id).where(identities.c.instance == sending.instance()))
    return found.first() is not None
