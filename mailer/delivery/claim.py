"""Which chunk may go next, and when the next one may: every condition of a claim, in one statement.

States read and written here:
`take`        chunk waiting -> claimed(owner, lease), while its campaign is sending, its time has come and
              this is the database that may send
`mend_clock`  none; it moves the end of a grace that was set by a clock far ahead of this one

A time that lies farther ahead than this program ever sets one was written by a wrong clock, and holds
nothing up: a lease, a hold-back, a grace.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from mailer.delivery.answers import LONGEST_WAIT_SECONDS
from mailer.delivery.timing import CLOCK_SLACK, SEED_LEAD
from mailer.models import CampaignStatus, ChunkState
from mailer.tables import campaigns, chunks, identities, occurrences, schedules, seed_letters

# After so many calls in a row without an answer only one is made at a time.
FAILURES_ALONE = 3
# No hold-back is set farther ahead than this.
LONGEST_HOLD_BACK = timedelta(seconds=LONGEST_WAIT_SECONDS) + CLOCK_SLACK


@dataclass(frozen=True, slots=True)
class Claim:
    """One chunk that is ours until its lease ends."""

    chunk_id: int
    campaign_id: int
    edition_id: int
    owner: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker asks for: any chunk, or one of a campaign.

    `instance`: what the database must call itself (None: anything). `is_open`: whether the hours for
    sending are; outside of them goes only what was planned for each reader's own time, or for later.
    `room`: how many letters the limits leave (None: any number). `latest`: how late readers of a zone get
    what was planned for their own time (None: ever so late).
    """

    owner: str
    lease_until: datetime
    campaign_id: int | None = None
    instance: str | None = None
    is_open: bool = True
    room: int | None = None
    latest: timedelta | None = None


def take(connection: Connection, wish: Wish, now: datetime) -> Claim | None:
    """Claim the oldest chunk that may go now."""
    statement = _claiming(
        wish.campaign_id is not None,
        wish.instance is not None,
        wish.is_open,
        wish.room is not None,
        wish.latest is not None,
    )
    row = connection.execute(
        statement,
        {
            "at": now,
            "far": now + LONGEST_HOLD_BACK,
            "by": wish.owner,
            "until": wish.lease_until,
            "only": wish.campaign_id,
            "mine": wish.instance,
            "room": wish.room,
            "since": now - wish.latest if wish.latest is not None else None,
        },
    ).one_or_none()
    return None if row is None else Claim(row.id, row.campaign_id, row.edition_id, wish.owner)


@cache
def _claiming(of_campaign: bool, of_instance: bool, is_open: bool, is_limited: bool, is_timed: bool) -> Any:
    """The claim; made once, since making a statement costs as much as running it."""
    next_one = (
        select(chunks.c.id)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .where(*_may_go(of_campaign, of_instance, is_open, is_limited, is_timed))
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


def _may_go(
    of_campaign: bool, of_instance: bool, is_open: bool, is_limited: bool, is_timed: bool
) -> list[ColumnElement[bool]]:
    other = aliased(chunks)
    in_flight = exists().where(
        other.c.campaign_id == chunks.c.campaign_id,
        other.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)),
    )
    conditions: list[ColumnElement[bool]] = [
        chunks.c.state == ChunkState.WAITING,
        campaigns.c.status == CampaignStatus.SENDING,
        or_(
            campaigns.c.not_before.is_(None),
            campaigns.c.not_before <= bindparam("at"),
            campaigns.c.not_before > bindparam("far"),
        ),
        or_(chunks.c.not_before.is_(None), chunks.c.not_before <= bindparam("at")),
        # The first call goes alone: what is wrong with it is wrong with all.
        # So does each while no answer comes (the circuit breaker).
        or_(and_(campaigns.c.proven, campaigns.c.failures < FAILURES_ALONE), ~in_flight),
    ]
    if is_limited:
        rest = chunks.c.recipients - chunks.c.rejected - chunks.c.withheld
        conditions.append(rest <= bindparam("room"))
    if of_campaign:
        conditions.append(chunks.c.campaign_id == bindparam("only"))
    if of_instance:
        conditions.append(exists().where(identities.c.instance == bindparam("mine")))
    if is_timed:
        # Each zone has a time of its own; one that is too late holds up none of the others.
        local = (
            select(occurrences.c.id)
            .join(schedules, schedules.c.id == occurrences.c.schedule_id)
            .where(schedules.c.is_local)
        )
        conditions.append(
            or_(
                chunks.c.not_before.is_(None),
                chunks.c.not_before >= bindparam("since"),
                campaigns.c.may_be_late,
                campaigns.c.occurrence_id.is_(None),
                campaigns.c.occurrence_id.not_in(local),
            )
        )
    if not is_open:
        planned = (
            select(occurrences.c.id)
            .join(schedules, schedules.c.id == occurrences.c.schedule_id)
            .where(or_(schedules.c.is_local, occurrences.c.at > bindparam("at")))
        )
        conditions.append(campaigns.c.occurrence_id.in_(planned))
    return conditions


def next_time(
    connection: Connection,
    campaign_id: int | None,
    now: datetime,
    *,
    opens_at: datetime | None = None,
    frees_at: datetime | None = None,
) -> datetime | None:
    """When a chunk that waits may go, or a lease ends; None when there is neither.

    `opens_at`: when the hours for sending begin; `frees_at`: when the limits leave more room.
    """
    here = [] if campaign_id is None else [chunks.c.campaign_id == campaign_id]
    waits = [chunks.c.state == ChunkState.WAITING, campaigns.c.status == CampaignStatus.SENDING, *here]
    of_waiting = select(chunks.c.id).join(campaigns, campaigns.c.id == chunks.c.campaign_id).where(*waits)
    times = [
        _soonest(connection, column, of_waiting.where(column > now, *limits))
        for column, limits in (
            (campaigns.c.not_before, [campaigns.c.not_before <= now + LONGEST_HOLD_BACK]),
            (chunks.c.not_before, []),
        )
    ]
    in_hand = select(chunks.c.id).where(
        chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)), *here
    )
    times.append(_soonest(connection, chunks.c.lease_until, in_hand))
    others = [at for at in (opens_at, frees_at) if at is not None and at > now]
    if others and connection.execute(of_waiting.limit(1)).first() is not None:
        times.append(max(others))
    return min((time for time in times if time is not None), default=None)


def _soonest(connection: Connection, column: Any, among: Any) -> datetime | None:
    found: datetime | None = connection.execute(among.with_only_columns(func.min(column))).scalar_one()
    return found


def mend_clock(connection: Connection, now: datetime, wait: timedelta) -> int:
    """Begin the grace of a campaign anew that was frozen by a clock far ahead. How many campaigns.

    Planned ones keep their times: those do not depend on when the freeze was. `wait`: its length.
    """
    wrong = connection.execute(
        select(campaigns.c.id).where(
            campaigns.c.status == CampaignStatus.SENDING,
            campaigns.c.occurrence_id.is_(None),
            campaigns.c.frozen_at > now + CLOCK_SLACK,
        )
    ).scalars()
    mended = 0
    for campaign_id in wrong.all():
        changed = connection.execute(
            update(campaigns)
            .where(campaigns.c.id == campaign_id, campaigns.c.frozen_at > now + CLOCK_SLACK)
            .values(frozen_at=now)
        )
        if changed.rowcount == 1:
            mended += 1
            connection.execute(
                update(chunks)
                .where(chunks.c.campaign_id == campaign_id, chunks.c.not_before > now + wait)
                .values(not_before=now + wait)
            )
            connection.execute(
                update(seed_letters)
                .where(seed_letters.c.campaign_id == campaign_id, seed_letters.c.not_before > now + wait)
                .values(not_before=now + max(wait - SEED_LEAD, timedelta()))
            )
    return mended
