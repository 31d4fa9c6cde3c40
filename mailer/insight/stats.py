"""The numbers of a campaign: people and machines apart, every rate with the base it can be trusted on.

Each number means what `definitions` says and nothing else. Hits without a reader are totals, never
people. Counting reads the rows of one campaign and writes nothing; `counts` keeps the outcome for pages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mailer.event_models import Verdict
from mailer.insight import counting
from mailer.models import Fate

# The receiving server took the letter. A complaint proves that too; a later bounce takes it back.
DELIVERED_FATES = frozenset((Fate.DELIVERED, Fate.COMPLAINED))


@dataclass(frozen=True, slots=True)
class ByVerdict:
    """People, each counted once, by the best verdict of what came back from them."""

    human: int = 0
    machine: int = 0
    unknown: int = 0

    def as_json(self) -> dict[str, int]:
        return {"human": self.human, "machine": self.machine, "unknown": self.unknown}


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Hits of letters without a token of their own: totals; `machine_…` is the known part of machines."""

    opens: int = 0
    clicks: int = 0
    machine_opens: int = 0
    machine_clicks: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """What is counted of a campaign and of each of its editions."""

    sent: int
    measurable: int
    delivered: int
    bounced: int
    complained: int
    opened: ByVerdict
    clicked: ByVerdict

    def as_json(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "measurable": self.measurable,
            "delivered": self.delivered,
            "bounced": self.bounced,
            "complained": self.complained,
            "opened": self.opened.as_json(),
            "clicked": self.clicked.as_json(),
        }


@dataclass(frozen=True, slots=True)
class EditionStats:
    key: str
    label: str
    topics: tuple[str, ...]
    stories: tuple[int, ...]
    totals: Totals

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "label": self.label,
            "topics": list(self.topics),
            "stories": list(self.stories),
            **self.totals.as_json(),
        }


@dataclass(frozen=True, slots=True)
class TopicStats:
    topic: str
    stories: tuple[int, ...]
    reached: int
    measurable: int
    clicked: int

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "stories": list(self.stories),
            "reached": self.reached,
            "measurable": self.measurable,
            "clicked": self.clicked,
        }


@dataclass(frozen=True, slots=True)
class StoryStats:
    id: str
    number: int
    title: str
    topics: tuple[str, ...]
    reached: int
    measurable: int
    clicked: int

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "number": self.number,
            "title": self.title,
            "topics": list(self.topics),
            "reached": self.reached,
            "clicked": self.clicked,
        }


@dataclass(frozen=True, slots=True)
class LinkStats:
    id: int
    place: str
    story: int | None
    url: str
    clicked: ByVerdict
    anonymous: int

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "place": self.place,
            "story": self.story,
            "url": self.url,
            "clicked": self.clicked.as_json(),
            "anonymous": self.anonymous,
        }


@dataclass(frozen=True, slots=True)
class CampaignStats:
    campaign: int
    totals: Totals
    unsubscribed: int
    anonymous: Anonymous
    editions: tuple[EditionStats, ...]
    topics: tuple[TopicStats, ...]
    stories: tuple[StoryStats, ...]
    links: tuple[LinkStats, ...]

    @property
    def sent(self) -> int:
        return self.totals.sent

    @property
    def measurable(self) -> int:
        return self.totals.measurable

    @property
    def delivered(self) -> int:
        return self.totals.delivered

    @property
    def bounced(self) -> int:
        return self.totals.bounced

    @property
    def complained(self) -> int:
        return self.totals.complained

    @property
    def opened(self) -> ByVerdict:
        return self.totals.opened

    @property
    def clicked(self) -> ByVerdict:
        return self.totals.clicked

    def as_json(self) -> dict[str, Any]:
        """The document of `mailer stats --json`."""
        totals = self.totals.as_json()
        return {
            "campaign": self.campaign,
            **{name: totals[name] for name in ("sent", "measurable", "delivered", "bounced", "complained")},
            "unsubscribed": self.unsubscribed,
            "opened": totals["opened"],
            "clicked": totals["clicked"],
            "anonymous": {"opens": self.anonymous.opens, "clicks": self.anonymous.clicks},
            "editions": [edition.as_json() for edition in self.editions],
            "topics": [topic.as_json() for topic in self.topics],
            "stories": [story.as_json() for story in self.stories],
            "links": [link.as_json() for link in self.links],
        }


def campaign_stats(connection: Connection, campaign_id: int) -> CampaignStats:
    """Count a campaign from its rows. Raises NotFound.

    Seconds at a million letters: pages read `counts.latest` instead.
    """
    counting.require_campaign(connection, campaign_id)
    letters = list(counting.letters(connection, campaign_id))
    hits = list(counting.hits(connection, campaign_id))
    editions = tuple(
        EditionStats(
            row.key,
            row.label,
            tuple(row.topics),
            tuple(row.stories),
            _totals(
                (each for each in letters if each.edition_id == row.id),
                (each for each in hits if each.edition_id == row.id),
            ),
        )
        for row in counting.editions(connection, campaign_id)
    )
    clicks = counting.link_clicks(connection, campaign_id)
    nameless = counting.nameless_hits(connection, campaign_id)
    return CampaignStats(
        campaign=campaign_id,
        totals=_totals(letters, hits),
        unsubscribed=counting.unsubscribed(connection, campaign_id),
        anonymous=_anonymous(nameless),
        editions=editions,
        topics=_topics(connection, campaign_id, editions),
        stories=_stories(connection, campaign_id, editions),
        links=tuple(
            LinkStats(
                row.id,
                row.place,
                row.story_number,
                row.url,
                _by_verdict(clicks.get(row.id, {})),
                sum(hit.count for hit in nameless if hit.link_id == row.id),
            )
            for row in counting.links_of(connection, campaign_id)
        ),
    )


def _totals(letters: Iterable[counting.Letters], hits: Iterable[counting.Hits]) -> Totals:
    sent = measurable = delivered = bounced = complained = 0
    for row in letters:
        sent += row.count
        measurable += row.count if row.measured else 0
        delivered += row.count if row.fate in DELIVERED_FATES else 0
        bounced += row.count if row.fate == Fate.BOUNCED else 0
        complained += row.count if row.fate == Fate.COMPLAINED else 0
    opened: dict[str, int] = {}
    clicked: dict[str, int] = {}
    for hit in hits:
        measurable += 0 if hit.measured else hit.count
        for found, into in ((hit.opened, opened), (hit.clicked, clicked)):
            if found is not None:
                into[found] = into.get(found, 0) + hit.count
    return Totals(sent, measurable, delivered, bounced, complained, _by_verdict(opened), _by_verdict(clicked))


def _by_verdict(counts: Mapping[str, int]) -> ByVerdict:
    return ByVerdict(
        *(counts.get(verdict, 0) for verdict in (Verdict.HUMAN, Verdict.MACHINE, Verdict.UNKNOWN))
    )


def _anonymous(rows: Iterable[counting.Nameless]) -> Anonymous:
    opens = clicks = machine_opens = machine_clicks = 0
    for row in rows:
        by_machine = row.count if row.verdict == Verdict.MACHINE else 0
        if row.kind == counting.OPEN:
            opens += row.count
            machine_opens += by_machine
        else:
            clicks += row.count
            machine_clicks += by_machine
    return Anonymous(opens, clicks, machine_opens, machine_clicks)


def _stories(
    connection: Connection, campaign_id: int, editions: Iterable[EditionStats]
) -> tuple[StoryStats, ...]:
    clickers = counting.story_clickers(connection, campaign_id)
    return tuple(
        StoryStats(
            row.story_id,
            row.number,
            row.title,
            tuple(row.topics),
            *_reach(editions, {row.number}),
            clickers.get(row.number, 0),
        )
        for row in counting.stories(connection, campaign_id)
    )


def _topics(
    connection: Connection, campaign_id: int, editions: Iterable[EditionStats]
) -> tuple[TopicStats, ...]:
    numbers: dict[str, list[int]] = {}
    for row in counting.stories(connection, campaign_id):
        for topic in row.topics:
            numbers.setdefault(topic, []).append(row.number)
    return tuple(
        TopicStats(
            topic,
            tuple(of_topic),
            *_reach(editions, set(of_topic)),
            counting.clickers_of(connection, campaign_id, of_topic),
        )
        for topic, of_topic in numbers.items()
    )


def _reach(editions: Iterable[EditionStats], stories: set[int]) -> tuple[int, int]:
    """Letters with at least one of these stories, and how many of them are measurable."""
    reached = [edition.totals for edition in editions if stories.intersection(edition.stories)]
    return sum(totals.sent for totals in reached), sum(totals.measurable for totals in reached)
