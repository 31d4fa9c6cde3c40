"""What an answer makes of its chunk, its letters and its campaign; one transaction for each.

States written here: chunk submitting -> accepted | waiting | split | rejected | uncertain; letters
waiting -> accepted | rejected | held; campaign sending -> paused | finished, and `proven`. An answer
that comes after the lease changes nothing but by what it proves: a 202 settles the doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, or_, select, update

from mailer.config import Settings
from mailer.delivery import fences, reconcile, withdrawal
from mailer.delivery.campaigns import finish_if_done, hold_back, pause_if_sending, withhold_if_cancelled
from mailer.delivery.claim import FAILURES_ALONE
from mailer.delivery.standing import WITH_WORK
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadBody,
    BadRecipients,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
    TooLarge,
    Uncertain,
)
from mailer.models import AttemptOutcome, ChunkState, Handover
from mailer.tables import attempts, campaigns, chunks, deliveries
from subscribers.failpoints import Point, reach

# More readers refused in one chunk than typing errors explain: a person should look first.
REJECTS_BEFORE_PAUSE = 5
# Halving 1,000 finds five bad ones with an accepted part among the first 13 requests; when nothing
# has passed by then, it is not the readers.
PROBES_BEFORE_PAUSE = 13
# Tries without a connection while nothing has ever passed (a wrong host): fewer than `max_failures`.
TRIES_UNPROVEN = 5
BACK_OFF_MAX_SECONDS = 60.0

# Statements of every accepted call, made once.
_END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"))
    .values(
        outcome=bindparam("ended"),
        ended_at=bindparam("at"),
        http_status=bindparam("status"),
        message_id=bindparam("message"),
        detail=bindparam("said"),
    )
)
_IS_OURS = and_(
    chunks.c.id == bindparam("chunk"),
    chunks.c.state == ChunkState.SUBMITTING,
    chunks.c.owner == bindparam("by"),
)
_OUR_CHUNK = (
    select(
        chunks,
        campaigns.c.proven,
        campaigns.c.failures.label("unanswered"),
        campaigns.c.not_before.label("held_back"),
        func.coalesce(chunks.c.parent_id, chunks.c.id).label("head_id"),
    )
    .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
    .where(_IS_OURS)
)
_ACCEPT_CHUNK = update(chunks).where(_IS_OURS).values(state=ChunkState.ACCEPTED, owner=None, lease_until=None)
_ACCEPT_LETTERS = (
    update(deliveries)
    .where(deliveries.c.chunk_id == bindparam("chunk"), deliveries.c.handover == Handover.WAITING)
    .values(handover=Handover.ACCEPTED)
)


@dataclass(frozen=True, slots=True)
class Called:
    """The call that an answer belongs to; `deliveries` in the order of its personalizations."""

    chunk_id: int
    campaign_id: int
    owner: str
    attempt_id: str
    deliveries: tuple[int, ...]


def record(connection: Connection, answer: Answer, called: Called, now: datetime, settings: Settings) -> None:
    """Write down how a call ended, and what follows from it."""
    row = _chunk(connection, called)
    is_late_proof = row is None and not isinstance(answer, Accepted | Uncertain)
    if row is None and not is_late_proof and withdrawal.revoked(connection, [called.attempt_id]):
        # Its fence was cancelled meanwhile, or may have been: that the call was taken says no more.
        return
    _end_attempt(connection, answer, called, now)
    reach(Point.RECORDING)
    if row is None:
        # The lease was over and somebody called it uncertain, or an event settled it.
        _record_late(connection, answer, called, now)
        return
    if row.unanswered and not isinstance(answer, Uncertain | NotSent):
        connection.execute(update(campaigns).where(campaigns.c.id == called.campaign_id).values(failures=0))
    if isinstance(answer, Accepted):
        _accept(connection, called, is_first=not row.proven)
        finish_if_done(connection, called.campaign_id, now)
        return
    if isinstance(answer, Uncertain):
        _hold(connection, called, row, answer, now, settings)
    elif isinstance(answer, NotSent):
        _back_off(connection, called, row, answer, now, settings)
    elif isinstance(answer, Busy):
        _wait(connection, called)
        hold_back(connection, called.campaign_id, now + timedelta(seconds=answer.wait_seconds))
    elif isinstance(answer, Stopped):
        _wait(connection, called)
        pause_if_sending(connection, called.campaign_id, f"{_sentence(answer.reason)} {answer.cure}")
    elif isinstance(answer, BadBody):
        _stop_for_body(connection, called, answer.detail)
    elif isinstance(answer, BadRecipients):
        _reject(connection, called, row, answer)
    elif isinstance(answer, TooLarge):
        if len(called.deliveries) == 1:
            _stop_for_body(connection, called, answer.detail)
        else:
            _halve(connection, called, row)
    else:
        _look_for_it(connection, called, row, answer)
    withhold_if_cancelled(connection, called.campaign_id)
    finish_if_done(connection, called.campaign_id, now)


def _end_attempt(connection: Connection, answer: Answer, called: Called, now: datetime) -> None:
    if isinstance(answer, Accepted):
        outcome, detail = AttemptOutcome.ACCEPTED, ""
    elif isinstance(answer, Uncertain):
        outcome, detail = AttemptOutcome.UNCERTAIN, answer.detail
    elif isinstance(answer, NotSent):
        outcome, detail = AttemptOutcome.NOT_SENT, answer.detail
    else:
        outcome = AttemptOutcome.REFUSED
        detail = answer.reason if isinstance(answer, Stopped) else answer.detail
    connection.execute(
        _END_ATTEMPT,
        {
            "attempt": called.attempt_id,
            "ended": outcome,
            "at": now,
            "status": answer.status,
            "message": answer.message_id if isinstance(answer, Accepted | Uncertain) else None,
            "said": detail,
        },
    )


def _chunk(connection: Connection, called: Called) -> Any:
    """The chunk while it is ours, with the account of its family and whether the campaign is proven."""
    return connection.execute(_OUR_CHUNK, {"chunk": called.chunk_id, "by": called.owner}).one_or_none()


def _record_late(connection: Connection, answer: Answer, called: Called, now: datetime) -> None:
    if isinstance(answer, Accepted):
        reconcile.accept_late(connection, called.chunk_id)
    elif not isinstance(answer, Uncertain):
        # Proof that nothing was taken ends the doubt the other way.
        reconcile.release_late(connection, called.chunk_id, called.campaign_id)
        withhold_if_cancelled(connection, called.campaign_id)
    finish_if_done(connection, called.campaign_id, now)


def _accept(connection: Connection, called: Called, *, is_first: bool) -> None:
    connection.execute(_ACCEPT_CHUNK, {"chunk": called.chunk_id, "by": called.owner})
    connection.execute(_ACCEPT_LETTERS, {"chunk": called.chunk_id})
    if is_first:
        connection.execute(update(campaigns).where(campaigns.c.id == called.campaign_id).values(proven=True))


def _hold(
    connection: Connection,
    called: Called,
    row: Row[Any],
    answer: Uncertain,
    now: datetime,
    settings: Settings,
) -> None:
    _leave(connection, called, ChunkState.UNCERTAIN)
    reconcile.hold(connection, called.chunk_id)
    fences.doubt(connection, called.chunk_id, now, timedelta(seconds=settings.sendgrid.deadline_seconds))
    failures = _count_failure(connection, called, row)
    if failures >= FAILURES_ALONE:
        _wait_longer(connection, called, failures - FAILURES_ALONE, now)
    if failures >= settings.sending.max_failures:
        pause_if_sending(
            connection,
            called.campaign_id,
            f"{failures} calls in a row ended without an answer ({answer.detail}). "
            "Look whether SendGrid is up, then resume; what is held stays held until it is settled.",
        )


def _back_off(
    connection: Connection, called: Called, row: Row[Any], answer: NotSent, now: datetime, settings: Settings
) -> None:
    _wait(connection, called)
    if row.held_back is not None and now < row.held_back <= now + timedelta(seconds=BACK_OFF_MAX_SECONDS):
        return  # another thread has met the same a moment ago
    failures = _count_failure(connection, called, row)
    _wait_longer(connection, called, failures - 1, now)
    most = settings.sending.max_failures
    if failures >= (most if row.proven else min(TRIES_UNPROVEN, most)):
        pause_if_sending(
            connection,
            called.campaign_id,
            f"SendGrid could not be reached {failures} times in a row: {answer.detail}. "
            "Nothing was sent by these calls. Check [sendgrid] host and the network, then resume.",
        )


def _count_failure(connection: Connection, called: Called, row: Row[Any]) -> int:
    """One more call without an answer; how many in a row."""
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == called.campaign_id)
        .values(failures=campaigns.c.failures + 1)
    )
    return int(row.unanswered) + 1


def _wait_longer(connection: Connection, called: Called, times: int, now: datetime) -> None:
    seconds = min(2.0**times, BACK_OFF_MAX_SECONDS)
    hold_back(connection, called.campaign_id, now + timedelta(seconds=seconds))


def _stop_for_body(connection: Connection, called: Called, detail: str) -> None:
    _wait(connection, called)
    pause_if_sending(
        connection,
        called.campaign_id,
        f"SendGrid refused the letter itself: {_sentence(detail)} "
        "Mend what it names; a letter that must change needs a new campaign (cancel this one).",
    )


def _reject(connection: Connection, called: Called, row: Row[Any], answer: BadRecipients) -> None:
    named = [called.deliveries[place] for place in answer.places if place < len(called.deliveries)]
    before = _rejects(connection, row)
    _count(connection, row.head_id, rejects=len(named))
    if before <= REJECTS_BEFORE_PAUSE < before + len(named):
        # Whoever resumes has seen it: from then on those still named are rejected.
        _wait(connection, called)
        pause_if_sending(connection, called.campaign_id, _too_many(before + len(named), answer.detail))
        return
    _reject_letters(connection, named, answer.detail)
    left = row.recipients - row.rejected - row.withheld - len(named)
    _leave(
        connection,
        called,
        ChunkState.WAITING if left else ChunkState.REJECTED,
        rejected=chunks.c.rejected + len(named),
    )


def _look_for_it(connection: Connection, called: Called, row: Row[Any], answer: BadSomewhere) -> None:
    """Halve the chunk; a single reader is the one that was looked for, once anything has ever passed."""
    _count(connection, row.head_id, probes=1)
    if len(called.deliveries) == 1:
        if row.proven:
            _reject(connection, called, row, BadRecipients((0,), answer.detail))
        else:
            _try_the_others(connection, called, row, answer)
        return
    probes = connection.execute(select(chunks.c.probes).where(chunks.c.id == row.head_id)).scalar_one()
    if probes == PROBES_BEFORE_PAUSE and not _family_has_passed(connection, row.head_id):
        _wait(connection, called)
        pause_if_sending(connection, called.campaign_id, _too_many(REJECTS_BEFORE_PAUSE + 1, answer.detail))
        return
    _halve(connection, called, row)


def _try_the_others(connection: Connection, called: Called, row: Row[Any], answer: BadSomewhere) -> None:
    """Put one reader behind all others: nobody is rejected while it may be the letter that is refused."""
    rounds = row.probes + 1
    _divide(connection, called, row, [called.deliveries], probes=rounds)
    untried = connection.execute(
        select(chunks.c.id)
        .where(
            chunks.c.campaign_id == called.campaign_id,
            chunks.c.state.in_(WITH_WORK),
            chunks.c.probes < rounds,
        )
        .limit(1)
    )
    if untried.first() is None:
        pause_if_sending(
            connection,
            called.campaign_id,
            f"SendGrid refused every reader of this campaign, each alone: {_sentence(answer.detail)} "
            "Nobody was rejected for it. Mend the cause, then resume.",
        )


def _halve(connection: Connection, called: Called, row: Row[Any]) -> None:
    middle = (len(called.deliveries) + 1) // 2
    _divide(connection, called, row, [called.deliveries[:middle], called.deliveries[middle:]])


def _divide(
    connection: Connection,
    called: Called,
    row: Row[Any],
    parts: Sequence[Sequence[int]],
    *,
    probes: int = 0,
) -> None:
    """Chunks of these letters come last in line; the old one keeps what is out already."""
    for part in parts:
        made = connection.execute(
            insert(chunks)
            .values(
                campaign_id=row.campaign_id,
                edition_id=row.edition_id,
                state=ChunkState.WAITING,
                recipients=len(part),
                parent_id=row.head_id,
                probes=probes,
            )
            .returning(chunks.c.id)
        ).scalar_one()
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(part), deliveries.c.chunk_id == called.chunk_id)
            .values(chunk_id=made)
        )
    reach(Point.DIVIDING)
    _leave(connection, called, ChunkState.SPLIT, recipients=chunks.c.rejected + chunks.c.withheld)


def _reject_letters(connection: Connection, named: Sequence[int], detail: str) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(named), deliveries.c.handover == Handover.WAITING)
        .values(handover=Handover.REJECTED, reason=detail)
    )


def _wait(connection: Connection, called: Called, **values: Any) -> None:
    _leave(connection, called, ChunkState.WAITING, **values)


def _leave(connection: Connection, called: Called, state: ChunkState, **values: Any) -> None:
    connection.execute(
        update(chunks)
        .where(
            chunks.c.id == called.chunk_id,
            chunks.c.state == ChunkState.SUBMITTING,
            chunks.c.owner == called.owner,
        )
        .values(state=state, owner=None, lease_until=None, **values)
    )


def _count(connection: Connection, head_id: int, *, rejects: int = 0, probes: int = 0) -> None:
    connection.execute(
        update(chunks)
        .where(chunks.c.id == head_id)
        .values(rejects=chunks.c.rejects + rejects, probes=chunks.c.probes + probes)
    )


def _rejects(connection: Connection, row: Row[Any]) -> int:
    """Readers refused so far: of the chunk's family; of the whole campaign while nothing ever passed."""
    counted = chunks.c.id == row.head_id if row.proven else chunks.c.campaign_id == row.campaign_id
    return int(
        connection.execute(select(func.coalesce(func.sum(chunks.c.rejects), 0)).where(counted)).scalar_one()
    )


def _family_has_passed(connection: Connection, head_id: int) -> bool:
    found = connection.execute(
        select(chunks.c.id)
        .where(
            or_(chunks.c.parent_id == head_id, chunks.c.id == head_id),
            chunks.c.state == ChunkState.ACCEPTED,
        )
        .limit(1)
    )
    return found.first() is not None


def _too_many(number: int, detail: str) -> str:
    return (
        f"SendGrid refused {number} or more readers of one chunk: {_sentence(detail)} "
        "Mend the cause; or resume, and those that it still refuses are rejected."
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
