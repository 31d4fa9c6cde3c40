"""What silence says of held letters: evidence in words for a person, and the policy that needs none.

A call whose answer was lost is heard of by its events within minutes, if it was taken. How long that takes
shows in the calls around it that were surely taken; while one of these is as silent, silence says nothing.
`[sending] on_uncertain` may let silence decide; by itself it decides once for a chunk: what is in doubt a
second time waits for a person.

States written here: chunk uncertain -> waiting (`resend`), its campaign finished -> sending.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from mailer.config import Settings
from mailer.delivery import reconcile
from mailer.models import AttemptOutcome, CampaignStatus, ChunkState, Fate, FenceState
from mailer.tables import attempts, campaigns, chunks, deliveries, fences
from subscribers.errors import NewsletterError

# Calls that a doubtful one is held against: the latest taken before it, or so soon after it.
CALLS_AROUND = 40
AROUND = timedelta(minutes=5)
# Nothing is made of a silence shorter than this, or than three times the slowest of the others.
SHORTEST = timedelta(minutes=30)
TIMES_THE_SLOWEST = 3
SENT_AGAIN = "; sent again, since nothing was heard of it"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard of calls that were surely taken; `silent`: the calls of which nothing was."""

    calls: int
    silent: int
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


def evidence(connection: Connection, campaign_id: int, now: datetime) -> list[Evidence]:
    """What is held, and what its silence says; oldest first."""
    return _weighed(connection, campaign_id, reconcile.doubts(connection, campaign_id), now)


def _weighed(
    connection: Connection, campaign_id: int, held: Sequence[reconcile.Doubt], now: datetime
) -> list[Evidence]:
    if not held:
        return []
    times = _times(connection, [doubt.chunk_id for doubt in held])
    since = [max(doubt.started_at, times.get(doubt.chunk_id, doubt.started_at)) for doubt in held]
    taken = _taken(connection, campaign_id)
    around = [[call for call in taken if call.went_at <= at + AROUND][-CALLS_AROUND:] for at in since]
    heard = _heard(connection, {call.chunk_id for calls in around for call in calls})
    return [
        _weigh(doubt, at, _hearing(calls, heard), now)
        for doubt, at, calls in zip(held, since, around, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A call that SendGrid has taken, and when its letters went."""

    chunk_id: int
    went_at: datetime


def _taken(connection: Connection, campaign_id: int) -> list[_Taken]:
    went_at = func.max(func.coalesce(fences.c.send_at, attempts.c.started_at)).label("went_at")
    rows = connection.execute(
        select(attempts.c.chunk_id, went_at)
        .join(chunks, chunks.c.id == attempts.c.chunk_id)
        .outerjoin(fences, fences.c.id == attempts.c.fence_id)
        .where(
            chunks.c.campaign_id == campaign_id,
            chunks.c.state == ChunkState.ACCEPTED,
            attempts.c.outcome == AttemptOutcome.ACCEPTED,
        )
        .group_by(attempts.c.chunk_id)
        .order_by(went_at, attempts.c.chunk_id)
    )
    return [_Taken(row.chunk_id, row.went_at) for row in rows]


def _heard(connection: Connection, chunk_ids: Collection[int]) -> dict[int, Any]:
    """Of these chunks: how many letters were heard of, and of the first and the last of them, when."""
    found: dict[int, Any] = {}
    for ids in reconcile.portions(sorted(chunk_ids)):
        rows = connection.execute(
            select(
                deliveries.c.chunk_id,
                func.count().label("letters"),
                func.min(deliveries.c.fate_at).label("first"),
                func.max(deliveries.c.fate_at).label("last"),
            )
            .where(deliveries.c.chunk_id.in_(ids), deliveries.c.fate != Fate.NONE)
            .group_by(deliveries.c.chunk_id)
        )
        found |= {row.chunk_id: row for row in rows}
    return found


def _hearing(calls: Sequence[_Taken], heard: Mapping[int, Any]) -> Hearing:
    told = [(call, heard[call.chunk_id]) for call in calls if call.chunk_id in heard]
    return Hearing(
        len(calls),
        len(calls) - len(told),
        sum(row.letters for _, row in told),
        max((row.first - call.went_at for call, row in told if row.first), default=timedelta()),
        max((row.last for _, row in told if row.last), default=None),
    )


def _times(connection: Connection, chunk_ids: Sequence[int]) -> dict[int, datetime]:
    """When chunks that were handed over behind a fence were to go: nothing is heard of them before."""
    found: dict[int, datetime] = {}
    for ids in reconcile.portions(chunk_ids):
        rows = connection.execute(
            select(chunks.c.id, fences.c.send_at)
            .join(fences, fences.c.id == chunks.c.fence_id)
            .where(chunks.c.id.in_(ids))
        )
        found |= {row.id: row.send_at for row in rows}
    return found


def _weigh(doubt: reconcile.Doubt, since: datetime, heard: Hearing, now: datetime) -> Evidence:
    silent_for = max(now - since, timedelta())
    minutes = int(silent_for / timedelta(minutes=1))
    silence = f"no event for these {doubt.letters:,} in {minutes:,} min"
    others = "1 other" if heard.letters == 1 else f"{heard.letters:,} others"
    is_heard = heard.last is not None and heard.last > since
    is_telling = is_heard and not heard.silent and silent_for >= heard.window
    if since > now:
        words = f"these {doubt.letters:,} wait at SendGrid for their time, if they were taken"
    elif not is_heard:
        words = f"{silence}, and none of any other letter since: events may not arrive, so this says nothing"
    elif heard.silent:
        words = (
            f"{silence} while {others} reported, but {heard.silent:,} of the {heard.calls:,} calls before it "
            "that were surely taken are as silent: events are late or missing, so this says nothing"
        )
    elif not is_telling:
        wait = math.ceil(heard.window / timedelta(minutes=1))
        words = f"{silence} while {others} reported; too early to tell before {wait:,} min"
    else:
        words = f"{silence} while {others} reported: almost surely not accepted"
    return Evidence(doubt, since, silent_for, heard.letters, is_telling, words)


def ripe(connection: Connection, settings: Settings, now: datetime) -> dict[int, list[int]]:
    """The held chunks of each campaign that go again, as `[sending] on_uncertain` says. Changes nothing."""
    policy = settings.sending.on_uncertain
    if policy == "hold":
        return {}
    doubtful = connection.execute(
        select(chunks.c.campaign_id)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .where(
            chunks.c.state == ChunkState.UNCERTAIN,
            campaigns.c.status.in_((CampaignStatus.SENDING, CampaignStatus.FINISHED)),
        )
        .distinct()
    ).scalars()
    found = {number: _ripe_of(connection, number, policy, now) for number in doubtful.all()}
    return {number: chunk_ids for number, chunk_ids in found.items() if chunk_ids}


def _ripe_of(connection: Connection, campaign_id: int, policy: str, now: datetime) -> list[int]:
    held = [each for each in reconcile.doubts(connection, campaign_id) if each.started_at <= now - SHORTEST]
    for_a_person = _for_a_person(connection, [doubt.chunk_id for doubt in held])
    held = [doubt for doubt in held if doubt.chunk_id not in for_a_person]
    return [
        each.doubt.chunk_id
        for each in _weighed(connection, campaign_id, held, now)
        if each.is_telling or (policy == "resend" and each.silent_for >= SHORTEST)
    ]


def resend(connection: Connection, found: Mapping[int, Sequence[int]]) -> int:
    """Let these held chunks go again, but those that were settled meanwhile. How many."""
    return sum(_resend_of(connection, campaign_id, found[campaign_id]) for campaign_id in found)


def _resend_of(connection: Connection, campaign_id: int, chunk_ids: Sequence[int]) -> int:
    again = 0
    for ids in reconcile.portions(chunk_ids):
        held = list(
            connection.execute(
                select(chunks.c.id).where(chunks.c.id.in_(ids), chunks.c.state == ChunkState.UNCERTAIN)
            ).scalars()
        )
        if not held:
            continue
        try:
            again += reconcile.let_go_again(connection, campaign_id, held)
        except NewsletterError:
            return again  # the issue has another campaign by now: a person decides
        connection.execute(
            update(attempts)
            .where(attempts.c.chunk_id.in_(held), attempts.c.outcome == AttemptOutcome.UNCERTAIN)
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
    found: set[int] = set()
    for ids in reconcile.portions(chunk_ids):
        rows = select(chunks.c.id).where(chunks.c.id.in_(ids), or_(was_again, is_fenced))
        found.update(connection.execute(rows).scalars())
    return found
