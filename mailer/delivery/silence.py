"""What silence says of held letters: evidence in words for a person, and the policy that needs none.

A call whose answer was lost is heard of by its events within minutes, if it was taken. How long that takes
shows in the calls around it. `[sending] on_uncertain` may let silence decide; by itself it decides once for a
chunk: what is in doubt a second time waits for a person.

States written here: chunk uncertain -> waiting (`resend`), its campaign finished -> sending.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from mailer.config import Settings
from mailer.delivery import reconcile
from mailer.models import AttemptOutcome, CampaignStatus, ChunkState, Fate, FenceState
from mailer.tables import attempts, campaigns, chunks, deliveries, events, fences
from subscribers.errors import NewsletterError

# Nothing is made of a silence shorter than this, or than three times the slowest of the others.
SHORTEST = timedelta(minutes=30)
TIMES_THE_SLOWEST = 3
SENT_AGAIN = "; sent again, since nothing was heard of it"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard of a campaign: of how many letters, how late of the slowest call, and when last."""

    letters: int
    slowest: timedelta
    last: datetime | None

    @property
    def window(self) -> timedelta:
        """How long a silence must last to mean anything."""
        return max(SHORTEST, TIMES_THE_SLOWEST * self.slowest)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One held chunk, and what speaks for and against its having gone."""

    doubt: reconcile.Doubt
    silent_since: datetime
    silent_for: timedelta
    others: int
    is_telling: bool
    in_words: str

    def as_json(self) -> dict[str, Any]:
        return {
            "edition": self.doubt.edition,
            "letters": self.doubt.letters,
            "called_at": self.doubt.started_at.isoformat(),
            "said": self.doubt.detail,
            "silent_minutes": int(self.silent_for / timedelta(minutes=1)),
            "others_reported": self.others,
            "verdict": self.in_words,
        }


def hearing(connection: Connection, campaign_id: int) -> Hearing:
    """What was heard of the calls of a campaign so far."""
    letters = connection.execute(
        select(func.count())
        .select_from(deliveries)
        .where(deliveries.c.campaign_id == campaign_id, deliveries.c.fate != Fate.NONE)
    ).scalar_one()
    first = (
        select(deliveries.c.chunk_id, func.min(events.c.received_at).label("heard_at"))
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .where(events.c.campaign_id == campaign_id)
        .group_by(deliveries.c.chunk_id)
        .subquery()
    )
    calls = connection.execute(
        select(first.c.heard_at, func.max(attempts.c.started_at).label("called_at"))
        .join(first, first.c.chunk_id == attempts.c.chunk_id)
        .where(attempts.c.fence_id.is_(None))
        .group_by(first.c.chunk_id, first.c.heard_at)
    ).all()
    slowest = max((row.heard_at - row.called_at for row in calls), default=timedelta())
    last = connection.execute(
        select(func.max(events.c.received_at)).where(events.c.campaign_id == campaign_id)
    ).scalar_one()
    return Hearing(int(letters), max(slowest, timedelta()), last)


def evidence(connection: Connection, campaign_id: int, now: datetime) -> list[Evidence]:
    """What is held, and what its silence says; oldest first."""
    held = reconcile.doubts(connection, campaign_id)
    if not held:
        return []
    heard = hearing(connection, campaign_id)
    times = _times(connection, [doubt.chunk_id for doubt in held])
    return [
        _weigh(doubt, max(doubt.started_at, times.get(doubt.chunk_id, doubt.started_at)), heard, now)
        for doubt in held
    ]


def _times(connection: Connection, chunk_ids: Sequence[int]) -> dict[int, datetime]:
    """When chunks that were handed over behind a fence were to go: nothing is heard of them before."""
    rows = connection.execute(
        select(chunks.c.id, fences.c.send_at)
        .join(fences, fences.c.id == chunks.c.fence_id)
        .where(chunks.c.id.in_(list(chunk_ids)))
    )
    return {row.id: row.send_at for row in rows}


def _weigh(doubt: reconcile.Doubt, since: datetime, heard: Hearing, now: datetime) -> Evidence:
    silent_for = max(now - since, timedelta())
    minutes = int(silent_for / timedelta(minutes=1))
    silence = f"no event for these {doubt.letters:,} in {minutes:,} min"
    is_telling = heard.last is not None and heard.last > since and silent_for >= heard.window
    if since > now:
        words = f"these {doubt.letters:,} wait at SendGrid for their time, if they were taken"
    elif heard.letters == 0 or heard.last is None or heard.last <= since:
        words = f"{silence}, and none of any other letter since: events may not arrive, so this says nothing"
    elif not is_telling:
        wait = int(heard.window / timedelta(minutes=1))
        words = f"{silence} while {heard.letters:,} others reported; too early to tell before {wait:,} min"
    else:
        words = f"{silence} while {heard.letters:,} others reported: almost surely not accepted"
    return Evidence(doubt, since, silent_for, heard.letters, is_telling, words)


def resend(connection: Connection, settings: Settings, now: datetime) -> int:
    """Let held chunks go again as `[sending] on_uncertain` says. For the clock; how many chunks."""
    policy = settings.sending.on_uncertain
    if policy == "hold":
        return 0
    doubtful = connection.execute(
        select(chunks.c.campaign_id)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .where(
            chunks.c.state == ChunkState.UNCERTAIN,
            campaigns.c.status.in_((CampaignStatus.SENDING, CampaignStatus.FINISHED)),
        )
        .distinct()
    ).scalars()
    return sum(_resend_of(connection, campaign_id, policy, now) for campaign_id in doubtful.all())


def _resend_of(connection: Connection, campaign_id: int, policy: str, now: datetime) -> int:
    found = evidence(connection, campaign_id, now)
    ripe = [
        each.doubt.chunk_id
        for each in found
        if each.is_telling or (policy == "resend" and each.silent_for >= SHORTEST)
    ]
    chunk_ids = [chunk_id for chunk_id in ripe if chunk_id not in _for_a_person(connection, ripe)]
    if not chunk_ids:
        return 0
    try:
        again = reconcile.let_go_again(connection, campaign_id, chunk_ids)
    except NewsletterError:
        return 0  # the issue has another campaign by now: a person decides
    connection.execute(
        update(attempts)
        .where(attempts.c.chunk_id.in_(chunk_ids), attempts.c.outcome == AttemptOutcome.UNCERTAIN)
        .values(detail=attempts.c.detail + SENT_AGAIN)
    )
    return again


def _for_a_person(connection: Connection, chunk_ids: Sequence[int]) -> set[int]:
    """Those that were sent again once, or whose fence is still being cancelled."""
    was_again = exists().where(attempts.c.chunk_id == chunks.c.id, attempts.c.detail.like(f"%{SENT_AGAIN}%"))
    is_fenced = exists().where(
        fences.c.id == chunks.c.fence_id,
        or_(
            fences.c.state == FenceState.CANCELLING,
            and_(fences.c.state == FenceState.SPENT, fences.c.tries > 0),
        ),
    )
    rows = connection.execute(
        select(chunks.c.id).where(chunks.c.id.in_(list(chunk_ids)), or_(was_again, is_fenced))
    )
    return set(rows.scalars())
