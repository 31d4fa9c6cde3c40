"""What came back, for staff: campaigns, and the numbers of one. Reads only.

Numbers about people stand first, each with the base it is a share of; machines and the unclear stand
beside them. Until accounts exist these pages are for this machine alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Response
from sqlalchemy import Connection, select

from mailer.delivery import standing as ledger
from mailer.editions.links import fill, sample_values
from mailer.insight import counts
from mailer.insight.definitions import DEFINITIONS
from mailer.insight.stats import CampaignStats
from mailer.links import Slots
from mailer.service.rooms import Rooms
from mailer.tables import campaigns, editions, issues
from mailer.web.pages import READ_METHODS, letter_page, page, unknown
from subscribers.errors import NotFound

# Two years of a weekly.
CAMPAIGNS_SHOWN = 100
# Longer lists are what `mailer stats --json` is for.
LINKS_SHOWN = 40
DESK = "desk.html.j2"
# More digits are no id, and more than a database or int() takes.
ID_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Headline:
    """What a campaign is called on a page."""

    campaign: int
    issue: str
    subject: str
    at: datetime


def add_results(app: FastAPI, rooms: Rooms) -> None:
    """`/`, `/campaigns/{campaign}` and the letter of each version."""

    def overview() -> Response:
        with rooms.database.reader() as connection:
            states = ledger.every(connection, limit=CAMPAIGNS_SHOWN)
            headlines = {each.campaign: each for each in _headlines(connection, rooms)}
        numbers = {
            state.campaign: counts.latest(rooms.database, state.campaign, now=rooms.now()).stats
            for state in states
        }
        return page(
            rooms,
            "desk/campaigns.html.j2",
            states=states,
            headlines=headlines,
            numbers=numbers,
            share=share,
        )

    def results(number: str) -> Response:
        campaign = _number(number)
        with rooms.database.reader() as connection:
            try:
                state = ledger.status(connection, campaign)
            except NotFound:
                return unknown(rooms, base=DESK)
            (headline,) = _headlines(connection, rooms, campaign)
        counted = counts.latest(rooms.database, campaign, now=rooms.now())
        return page(
            rooms,
            "desk/results.html.j2",
            state=state,
            stats=counted.stats,
            counted_at=counted.at.astimezone(rooms.settings.zone),
            headline=headline,
            links=_busiest(counted.stats),
            definitions=DEFINITIONS,
            share=share,
            best_share=best_share,
        )

    def version(number: str, key: str) -> Response:
        with rooms.database.reader() as connection:
            row = connection.execute(
                select(editions.c.html, editions.c.slot_nonce).where(
                    editions.c.campaign_id == _number(number), editions.c.key == key
                )
            ).one_or_none()
        if row is None:
            return unknown(rooms, base=DESK)
        return letter_page(fill(row.html, Slots(row.slot_nonce), sample_values()))

    app.add_api_route("/", overview, methods=READ_METHODS)
    app.add_api_route("/campaigns/{number}", results, methods=READ_METHODS)
    app.add_api_route("/campaigns/{number}/versions/{key}", version, methods=READ_METHODS)


def _number(text: str) -> int:
    """The number in an address of a page; 0, which no campaign has, for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) <= ID_MAX_DIGITS
    return int(text) if is_number else 0


def share(part: int, base: int) -> float:
    """`part` in percent of `base`; 0 of nothing."""
    return 100 * part / base if base else 0.0


def best_share(rows: Sequence[Any]) -> float:
    """The highest share of clickers among stories or topics: what the longest bar stands for."""
    return max((share(row.clicked, row.measurable) for row in rows), default=0.0)


def _headlines(connection: Connection, rooms: Rooms, campaign: int | None = None) -> Sequence[Headline]:
    subject = (
        select(editions.c.subject)
        .where(editions.c.campaign_id == campaigns.c.id)
        .order_by(editions.c.html_bytes.desc())
        .limit(1)
        .scalar_subquery()
    )
    query: Any = select(
        campaigns.c.id, issues.c.slug, subject, campaigns.c.started_at, campaigns.c.created_at
    ).join(issues, issues.c.id == campaigns.c.issue_id)
    if campaign is not None:
        query = query.where(campaigns.c.id == campaign)
    return [
        Headline(number, slug, said or slug, (started or created).astimezone(rooms.settings.zone))
        for number, slug, said, started, created in connection.execute(query)
    ]


def _busiest(numbers: CampaignStats) -> list[Any]:
    """Links that somebody followed, the most people first."""
    followed = [
        link
        for link in numbers.links
        if link.clicked.human or link.clicked.machine or link.clicked.unknown or link.anonymous
    ]
    return sorted(followed, key=lambda link: (-link.clicked.human, -link.anonymous, link.id))[:LINKS_SHOWN]
