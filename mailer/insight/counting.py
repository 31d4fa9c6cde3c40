"""The queries behind the numbers: set-wise, one campaign at a time, never a row per reader in Python.

A reader is one letter (an issue comes to nobody twice), so people are counted by delivery. Only letters
that were handed over count, and only hits whose verdict is settled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Subquery, case, func, select

from mailer.event_models import Verdict
from mailer.models import Handover
from mailer.tables import campaign_stories, campaigns, chunks, deliveries, events, links
from mailer.tables import editions as edition_table
from subscribers.errors import NotFound

OPEN, CLICK = "open", "click"
LEAVING = ("unsubscribe", "group_unsubscribe")
# The best verdict of a reader's hits counts; unclear may have been a person, a machine was none.
RANK = {Verdict.MACHINE.value: 1, Verdict.UNKNOWN.value: 2, Verdict.HUMAN.value: 3}
_VERDICT_OF = {rank: verdict for verdict, rank in RANK.items()}


@dataclass(frozen=True, slots=True)
class Letters:
    """Letters handed over that are alike."""

    edition_id: int
    fate: str
    measured: bool
    count: int


@dataclass(frozen=True, slots=True)
class Hits:
    """Readers whose hits are alike; None: nothing of that kind came back."""

    edition_id: int
    measured: bool
    opened: str | None
    clicked: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Nameless:
    """Hits without a delivery that are alike."""

    kind: str
    verdict: str | None
    link_id: int | None
    count: int


def require_campaign(connection: Connection, campaign_id: int) -> None:
    """Raises NotFound when there is no such campaign."""
    if connection.execute(select(campaigns.c.id).where(campaigns.c.id == campaign_id)).first() is None:
        raise NotFound(f"there is no campaign {campaign_id}.", cure="'mailer campaigns' lists them.")


def letters(connection: Connection, campaign_id: int) -> Iterator[Letters]:
    """What was handed over, by edition, fate and whether it can be measured."""
    first, last = _id_range(connection, campaign_id)
    keys = (deliveries.c.edition_id, deliveries.c.fate, deliveries.c.measured)
    query = (
        select(*keys, func.count())
        .where(deliveries.c.id.between(first, last))
        .where(_handed_over(campaign_id))
        .group_by(*keys)
    )
    return (Letters(*row) for row in connection.execute(query))


def hits(connection: Connection, campaign_id: int) -> Iterator[Hits]:
    """Who opened and clicked, by edition; a person who clicked has opened, with images or without."""
    best = _best_per_letter(campaign_id)
    human = RANK[Verdict.HUMAN.value]
    opened = case((best.c.clicked == human, human), else_=best.c.opened)
    keys = (deliveries.c.edition_id, deliveries.c.measured, opened, best.c.clicked)
    query = (
        select(*keys, func.count())
        .join_from(best, deliveries, deliveries.c.id == best.c.delivery_id)
        .where(_handed_over(campaign_id))
        .group_by(*keys)
    )
    for edition_id, measured, open_rank, click_rank, count in connection.execute(query):
        yield Hits(edition_id, measured, _VERDICT_OF.get(open_rank), _VERDICT_OF.get(click_rank), count)


def link_clicks(connection: Connection, campaign_id: int) -> dict[int, dict[str, int]]:
    """Readers who clicked each link, by their best verdict there."""
    best = (
        select(events.c.link_id, events.c.delivery_id, func.max(_rank()).label("rank"))
        .where(*_of_readers(campaign_id), events.c.kind == CLICK, events.c.link_id.is_not(None))
        .group_by(events.c.link_id, events.c.delivery_id)
        .subquery()
    )
    query = select(best.c.link_id, best.c.rank, func.count()).group_by(best.c.link_id, best.c.rank)
    found: dict[int, dict[str, int]] = {}
    for link_id, rank, count in connection.execute(query):
        if rank in _VERDICT_OF:
            found.setdefault(link_id, {})[_VERDICT_OF[rank]] = count
    return found


def story_clickers(connection: Connection, campaign_id: int) -> dict[int, int]:
    """People who clicked a link of each story, wherever in the letter it stood."""
    query = (
        select(links.c.story_number, func.count(events.c.delivery_id.distinct()))
        .join_from(events, links, links.c.id == events.c.link_id)
        .where(*_human_clicks(campaign_id), links.c.story_number.is_not(None))
        .group_by(links.c.story_number)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def clickers_of(connection: Connection, campaign_id: int, stories: Sequence[int]) -> int:
    """People who clicked a link of at least one of these stories."""
    query = (
        select(func.count(events.c.delivery_id.distinct()))
        .join_from(events, links, links.c.id == events.c.link_id)
        .where(*_human_clicks(campaign_id), links.c.story_number.in_(stories))
    )
    return int(connection.execute(query).scalar_one())


def nameless_hits(connection: Connection, campaign_id: int) -> list[Nameless]:
    """Hits of letters that carry the campaign's token."""
    keys = (events.c.kind, events.c.verdict, events.c.link_id)
    query = (
        select(*keys, func.count())
        .where(
            events.c.campaign_id == campaign_id,
            events.c.kind.in_((OPEN, CLICK)),
            events.c.delivery_id.is_(None),
        )
        .group_by(*keys)
    )
    return [Nameless(*row) for row in connection.execute(query)]


def unsubscribed(connection: Connection, campaign_id: int) -> int:
    """Readers who left through a letter of this campaign."""
    query = select(func.count(events.c.delivery_id.distinct())).where(
        events.c.campaign_id == campaign_id, events.c.kind.in_(LEAVING)
    )
    return int(connection.execute(query).scalar_one())


def editions(connection: Connection, campaign_id: int) -> list[Row[Any]]:
    """The editions without their bodies, the largest audience first."""
    table = edition_table.c
    query = (
        select(table.id, table.key, table.label, table.topics, table.stories)
        .where(table.campaign_id == campaign_id)
        .order_by(table.audience.desc(), table.id)
    )
    return list(connection.execute(query))


def stories(connection: Connection, campaign_id: int) -> list[Row[Any]]:
    """The stories as they were sent."""
    table = campaign_stories
    return list(
        connection.execute(select(table).where(table.c.campaign_id == campaign_id).order_by(table.c.number))
    )


def links_of(connection: Connection, campaign_id: int) -> list[Row[Any]]:
    """The links in the order in which they were made."""
    return list(
        connection.execute(select(links).where(links.c.campaign_id == campaign_id).order_by(links.c.id))
    )


def _id_range(connection: Connection, campaign_id: int) -> tuple[int, int]:
    """First and last delivery: a freeze inserts in one stroke, so the range holds little else.

    Delivery has no index on its campaign; a million entries at every freeze would pay for it.
    """

    def edge(of: Any) -> ColumnElement[int]:
        found: ColumnElement[int] = (
            select(of(deliveries.c.id)).where(deliveries.c.chunk_id == chunks.c.id).scalar_subquery()
        )
        return found

    row = connection.execute(
        select(func.min(edge(func.min)), func.max(edge(func.max))).where(chunks.c.campaign_id == campaign_id)
    ).one()
    return (row[0] or 0, row[1] or 0)


def _best_per_letter(campaign_id: int) -> Subquery:
    def best(kind: str) -> ColumnElement[int | None]:
        return func.max(case((events.c.kind == kind, _rank())))

    # Grouped by the bare column, SQLite would walk the index of all letters of all campaigns instead.
    letter = events.c.delivery_id + 0
    return (
        select(letter.label("delivery_id"), best(OPEN).label("opened"), best(CLICK).label("clicked"))
        .where(*_of_readers(campaign_id), events.c.kind.in_((OPEN, CLICK)))
        .group_by(letter)
        .subquery()
    )


def _rank() -> ColumnElement[int]:
    return case(RANK, value=events.c.verdict)


def _of_readers(campaign_id: int) -> tuple[ColumnElement[bool], ...]:
    return (events.c.campaign_id == campaign_id, events.c.delivery_id.is_not(None), events.c.settled)


def _human_clicks(campaign_id: int) -> tuple[ColumnElement[bool], ...]:
    return (*_of_readers(campaign_id), events.c.kind == CLICK, events.c.verdict == Verdict.HUMAN)


def _handed_over(campaign_id: int) -> ColumnElement[bool]:
    return (deliveries.c.campaign_id == campaign_id) & (deliveries.c.handover == Handover.ACCEPTED)
