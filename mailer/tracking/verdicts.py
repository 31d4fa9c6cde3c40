"""Person, machine or unclear: the verdict over every hit, settled once its burst window has passed.

The User-Agent gives a first verdict when a hit is stored; what other hits of the same delivery show
can only turn it into `machine`, never back. So any order of arrival ends in the same verdicts, and
what was settled before is labelled again when a later hit completes a burst. No hit is deleted.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    cast,
    func,
    not_,
    or_,
    select,
    update,
)

from mailer import dialect
from mailer.database import Database
from mailer.delivery import reconcile
from mailer.event_models import Verdict
from mailer.tables import deliveries, events, subscribers
from mailer.tracking.agents import rule_name

# Several links of one delivery asked for within this time: a gateway, not a thumb (design, section 7).
BURST_WINDOW = timedelta(seconds=2)
# HEAD is a link checker's question; the GETs around it are its own.
HEAD_WINDOW = timedelta(seconds=10)
# The burst window and a second for the group commit of its last hit.
SETTLE_AFTER = BURST_WINDOW + timedelta(seconds=1)
# Hits settled in one transaction: about 10 ms, since readers' hits wait for the same connection.
SETTLE_ROWS = 300
# Rest after each of them, in times of what it took.
COURTESY = 2.0

OPEN, CLICK = "open", "click"
HIT_KINDS = (OPEN, CLICK)
BURST_RULE = rule_name("burst")
HEAD_RULE = rule_name("head")


@dataclass(frozen=True, slots=True)
class StoredHit:
    """One hit of a delivery; `link` tells links apart (None for the pixel)."""

    id: int
    kind: str
    link: str | None
    at: datetime


def in_burst(hits: Sequence[StoredHit]) -> set[int]:
    """Ids of the hits that have two or more distinct links asked for within two seconds of them."""
    ordered = sorted(hits, key=lambda hit: hit.at)
    clicks = [hit for hit in ordered if hit.link is not None]
    near: Counter[str | None] = Counter()  # links asked for around the hit that is looked at
    labelled: set[int] = set()
    first = last = 0
    for hit in ordered:
        while last < len(clicks) and clicks[last].at <= hit.at + BURST_WINDOW:
            near[clicks[last].link] += 1
            last += 1
        while first < last and clicks[first].at < hit.at - BURST_WINDOW:
            near[clicks[first].link] -= 1
            if not near[clicks[first].link]:
                del near[clicks[first].link]
            first += 1
        if len(near) > 1:
            labelled.add(hit.id)
    return labelled


def settle(database: Database, now: datetime) -> int:
    """Settle every hit whose burst window has passed; gives back how many. Several callers do no harm."""
    settled = 0
    while True:
        started = time.monotonic()
        count = _settle_some(database, now)
        settled += count
        if count < SETTLE_ROWS:
            break
        # Readers' hits wait for the same lock, and nobody waits for a verdict.
        time.sleep(COURTESY * (time.monotonic() - started))
    return settled


def _settle_some(database: Database, now: datetime) -> int:
    """Settle up to SETTLE_ROWS hits: looked at without the write lock, then written in one short stroke.

    A hit that comes between is unsettled, and looks at its neighbours when its own turn comes.
    """
    with database.reader() as connection:
        due = _due(connection, now)
        if not due:
            return 0
        letters = {row.delivery_id for row in due}
        labelled, changed = _find_bursts(connection, letters, [row.occurred_at for row in due])
    human = [row for row in due if row.verdict == Verdict.HUMAN and row.id not in labelled]
    taken_back = {row.delivery_id for row in due if row.rule == HEAD_RULE} | set(changed.values())
    with database.tracking() as connection:
        if changed:
            connection.execute(
                update(events)
                .where(events.c.id.in_(list(changed)))
                .values(verdict=Verdict.MACHINE.value, rule=BURST_RULE)
            )
        connection.execute(
            update(events).where(events.c.id.in_([row.id for row in due])).values(settled=True)
        )
        _write_firsts(connection, {row.delivery_id for row in human} | taken_back)
        _lower_engagement(connection, taken_back)
        _write_engagement(connection, [(row.delivery_id, row.kind, row.occurred_at) for row in human])
        # Whoever opened a letter has it: that ends a doubt about its call as any event does.
        reconcile.witness(connection, (), letters)
    return len(due)


def _due(connection: Connection, now: datetime) -> Sequence[Any]:
    return connection.execute(
        select(
            events.c.id,
            events.c.delivery_id,
            events.c.occurred_at,
            events.c.kind,
            events.c.verdict,
            events.c.rule,
        )
        .where(not_(events.c.settled), events.c.received_at <= now - SETTLE_AFTER)
        .where(events.c.delivery_id.is_not(None), events.c.kind.in_(HIT_KINDS))
        .order_by(events.c.received_at)
        .limit(SETTLE_ROWS)
    ).all()


def _find_bursts(
    connection: Connection, letters: Collection[int], times: Sequence[datetime]
) -> tuple[set[int], dict[int, int]]:
    """Ids of the hits in bursts, and of those that are not labelled yet with their deliveries."""
    # Two windows wide: a hit that a new one completes a burst with may itself lie beside a third.
    around = and_(
        events.c.kind.in_(HIT_KINDS),
        events.c.verdict.is_not(None),
        events.c.occurred_at.between(min(times) - 2 * BURST_WINDOW, max(times) + 2 * BURST_WINDOW),
    )
    link = _link_of(connection)
    # Most deliveries have one link or none, and no burst.
    several = (
        connection.execute(
            select(events.c.delivery_id)
            .where(events.c.delivery_id.in_(letters), around, events.c.kind == CLICK)
            .group_by(events.c.delivery_id)
            .having(func.count(link.distinct()) > 1)
        )
        .scalars()
        .all()
    )
    if not several:
        return set(), {}
    rows = connection.execute(
        select(
            events.c.id,
            events.c.delivery_id,
            events.c.kind,
            link.label("link"),
            events.c.occurred_at,
            events.c.verdict,
        ).where(events.c.delivery_id.in_(several), around)
    ).all()
    hits: dict[int, list[StoredHit]] = defaultdict(list)
    for row in rows:
        mark = row.link if row.kind == CLICK else None
        hits[row.delivery_id].append(StoredHit(row.id, row.kind, mark, row.occurred_at))
    labelled: set[int] = set()
    for of_one in hits.values():
        labelled |= in_burst(of_one)
    changed = {
        row.id: row.delivery_id for row in rows if row.id in labelled and row.verdict != Verdict.MACHINE
    }
    return labelled, changed


def _link_of(connection: Connection) -> ColumnElement[str]:
    """What tells the links of clicks apart: our id, or the mark of a click that SendGrid tracked."""
    return func.coalesce(
        cast(events.c.link_id, String), dialect.json_text(connection, events.c.detail, "link")
    )


def _write_firsts(connection: Connection, letters: Collection[int]) -> None:
    """First human open and click of the deliveries, anew from their settled hits."""
    if not letters:
        return

    def first(kind: str) -> Any:
        return (
            select(func.min(events.c.occurred_at))
            .where(events.c.delivery_id == deliveries.c.id, events.c.kind == kind)
            .where(events.c.verdict == Verdict.HUMAN.value, events.c.settled)
            .scalar_subquery()
        )

    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(letters))
        .values(first_human_open_at=first(OPEN), first_human_click_at=first(CLICK))
    )


def _write_engagement(connection: Connection, hits: Sequence[tuple[int, str, datetime]]) -> None:
    """The day, never the hour, of a reader's last human hit, and of the last human click."""
    if not hits:
        return
    rows = connection.execute(
        select(deliveries.c.id, deliveries.c.subscriber_id)
        .where(deliveries.c.id.in_({number for number, _, _ in hits}))
        .where(deliveries.c.subscriber_id.is_not(None))
    )
    readers = {row.id: row.subscriber_id for row in rows}
    found = [(readers[number], kind, at.date()) for number, kind, at in hits if number in readers]
    _write_days(connection, subscribers.c.last_engaged_on, [(reader, day) for reader, _, day in found])
    clicked = [(reader, day) for reader, kind, day in found if kind == CLICK]
    _write_days(connection, subscribers.c.last_clicked_on, clicked)


def _lower_engagement(connection: Connection, letters: Collection[int]) -> None:
    """Take back days that were a machine's: anew from the human hits that are left of these readers.

    A day is only ever lowered here: what somebody blanked stays blank.
    """
    if not letters:
        return
    own = select(deliveries.c.subscriber_id).where(
        deliveries.c.id.in_(letters), deliveries.c.subscriber_id.is_not(None)
    )
    is_human = and_(
        events.c.delivery_id == deliveries.c.id, events.c.verdict == Verdict.HUMAN.value, events.c.settled
    )
    left = connection.execute(
        select(
            deliveries.c.subscriber_id,
            func.max(events.c.occurred_at),
            func.max(case((events.c.kind == CLICK, events.c.occurred_at))),
        )
        .outerjoin(events, is_human)
        .where(deliveries.c.subscriber_id.in_(own))
        .group_by(deliveries.c.subscriber_id)
    ).all()
    _lower_days(connection, subscribers.c.last_engaged_on, [(reader, last) for reader, last, _ in left])
    _lower_days(connection, subscribers.c.last_clicked_on, [(reader, last) for reader, _, last in left])


def _lower_days(
    connection: Connection, last: Column[Any], times: Iterable[tuple[int, datetime | None]]
) -> None:
    by_day: dict[date | None, set[int]] = defaultdict(set)
    for reader, at in times:
        by_day[at.date() if at else None].add(reader)
    for day, readers in by_day.items():
        is_later = last.is_not(None) if day is None else last > day
        connection.execute(
            update(subscribers).where(subscribers.c.id.in_(readers), is_later).values({last: day})
        )


def _write_days(connection: Connection, last: Column[Any], days: Iterable[tuple[int, date]]) -> None:
    """Raise a column to these days; one statement for each day, and a group of hits has one or two."""
    by_day: dict[date, set[int]] = defaultdict(set)
    for reader, day in days:
        by_day[day].add(reader)
    for day, readers in by_day.items():
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id.in_(readers), or_(last.is_(None), last < day))
            .values({last: day})
        )
