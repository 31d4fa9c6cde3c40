"""Person, machine or unclear: the verdict over every hit, settled once its burst window has passed.

The User-Agent gives a first verdict when a hit is stored; what other hits of the same delivery show
can only turn it into `machine`, never back. So any order of arrival ends in the same verdicts, and
what was settled before is labelled again when a later hit completes a burst. No hit is deleted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, not_, or_, select, update

from mailer.database import Database
from mailer.delivery import reconcile
from mailer.delivery.tables import deliveries, events, subscribers
from mailer.models import Verdict
from mailer.tracking.agents import rule_name

# Several links of one delivery asked for within this time: a gateway, not a thumb (design, section 7).
BURST_WINDOW = timedelta(seconds=2)
# HEAD is a link checker's question; the GETs around it are its own.
HEAD_WINDOW = timedelta(seconds=10)
# The burst window and a second for the group commit of its last hit.
SETTLE_AFTER = BURST_WINDOW + timedelta(seconds=1)
# Hits settled in one transaction, so that it stays well under 200 ms.
SETTLE_ROWS = 1000

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
        with database.tracking() as connection:
            count = settle_some(connection, now)
        settled += count
        if count < SETTLE_ROWS:
            return settled


def settle_some(connection: Connection, now: datetime) -> int:
    """Settle up to SETTLE_ROWS hits within the caller's transaction."""
    due = connection.execute(
        select(events.c.id, events.c.delivery_id, events.c.occurred_at)
        .where(not_(events.c.settled), events.c.received_at <= now - SETTLE_AFTER)
        .where(events.c.delivery_id.is_not(None), events.c.kind.in_(HIT_KINDS))
        .order_by(events.c.received_at)
        .limit(SETTLE_ROWS)
    ).all()
    if not due:
        return 0
    letters = sorted({row.delivery_id for row in due})
    _label_bursts(connection, letters, [row.occurred_at for row in due])
    connection.execute(update(events).where(events.c.id.in_([row.id for row in due])).values(settled=True))
    _write_firsts(connection, letters)
    _write_engagement(connection, [row.id for row in due])
    # Whoever opened a letter has it: that ends a doubt about its call as any event does.
    reconcile.witness(connection, (), letters)
    return len(due)


def _label_bursts(connection: Connection, letters: Sequence[int], times: Sequence[datetime]) -> None:
    # Two windows wide: a hit that a new one completes a burst with may itself lie beside a third.
    rows = connection.execute(
        select(
            events.c.id,
            events.c.delivery_id,
            events.c.kind,
            events.c.link_id,
            events.c.occurred_at,
            events.c.verdict,
            events.c.detail,
        )
        .where(events.c.delivery_id.in_(letters), events.c.kind.in_(HIT_KINDS))
        .where(events.c.occurred_at.between(min(times) - 2 * BURST_WINDOW, max(times) + 2 * BURST_WINDOW))
    ).all()
    hits: dict[int, list[StoredHit]] = defaultdict(list)
    for row in rows:
        hits[row.delivery_id].append(
            StoredHit(row.id, row.kind, _link_mark(row.kind, row.link_id, row.detail), row.occurred_at)
        )
    labelled: set[int] = set()
    for of_one in hits.values():
        labelled |= in_burst(of_one)
    machine = [row.id for row in rows if row.id in labelled and row.verdict != Verdict.MACHINE]
    if machine:
        connection.execute(
            update(events)
            .where(events.c.id.in_(machine))
            .values(verdict=Verdict.MACHINE.value, rule=BURST_RULE)
        )


def _link_mark(kind: str, link_id: int | None, detail: dict[str, Any]) -> str | None:
    if kind != CLICK:
        return None
    # A click that SendGrid tracked has no link of ours: its detail keeps a mark of the address.
    return str(link_id) if link_id is not None else "sg:" + str(detail.get("link", ""))


def _write_firsts(connection: Connection, letters: Iterable[int]) -> None:
    """First human open and click of the deliveries, anew from their settled hits."""

    def first(kind: str) -> Any:
        return (
            select(func.min(events.c.occurred_at))
            .where(events.c.delivery_id == deliveries.c.id, events.c.kind == kind)
            .where(events.c.verdict == Verdict.HUMAN.value, events.c.settled)
            .scalar_subquery()
        )

    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(list(letters)))
        .values(first_human_open_at=first(OPEN), first_human_click_at=first(CLICK))
    )


def _write_engagement(connection: Connection, hits: Sequence[int]) -> None:
    """The day, never the hour, of a reader's last human hit."""
    rows = connection.execute(
        select(deliveries.c.subscriber_id, events.c.occurred_at)
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .where(events.c.id.in_(hits), events.c.verdict == Verdict.HUMAN.value)
        .where(deliveries.c.subscriber_id.is_not(None))
    ).all()
    days: dict[int, date] = {}
    for subscriber_id, at in rows:
        days[subscriber_id] = max(at.date(), days.get(subscriber_id, date.min))
    if not days:
        return
    last = subscribers.c.last_engaged_on
    connection.execute(
        update(subscribers)
        .where(and_(subscribers.c.id == bindparam("reader"), or_(last.is_(None), last < bindparam("day"))))
        .values(last_engaged_on=bindparam("day")),
        [{"reader": reader, "day": day} for reader, day in days.items()],
    )
