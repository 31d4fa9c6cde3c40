"""A small campaign put together row by row, so that every expected number can be counted by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from mailer.tables import (
    campaign_stories,
    campaigns,
    chunks,
    deliveries,
    editions,
    events,
    issues,
    links,
    revisions,
)
from subscribers import attributes
from subscribers.tables import consent, subscriber

EDITIONS: Mapping[str, tuple[list[str], list[int]]] = {
    "1-2": (["car-t"], [1, 2]),
    "3": (["myeloma"], [3]),
    "full": ([], [1, 2, 3, 4]),
}
STORIES: Mapping[int, list[str]] = {1: ["car-t"], 2: ["car-t", "myeloma"], 3: ["myeloma"], 4: []}


@dataclass
class World:
    """Rows of one site; ids by the names that a test gave."""

    connection: Connection
    now: datetime
    campaign: int = 0
    issue: int = 0
    chunk: int = 0
    editions: dict[str, int] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    hits: int = 0

    def reader(self, name: str, *, consents: datetime | None = None, **values: Any) -> int:
        """Somebody who may be mailed; `consents` is when they agreed to be measured."""
        row: dict[str, Any] = {
            "email": f"{name}@example.com",
            "email_key": f"{name}@example.com",
            "key_hash": f"hash-of-{name}",
            "status": "active",
            "attributes": {},
            "created_at": self.now - timedelta(days=400),
            "track_consent": consents is not None,
            **values,
        }
        number = _key(self.connection, insert(subscriber).values(row))
        self.readers[name] = number
        attributes.add(self.connection, [(number, pair) for pair in row["attributes"].items()])
        if consents is not None:
            self.agreed(name, consents)
        return number

    def agreed(self, name: str, at: datetime, action: str = "given") -> None:
        row = {"subscriber_id": self.readers[name], "action": action, "purpose": "track", "at": at}
        self.connection.execute(insert(consent).values(row))

    def start_campaign(self, slug: str = "week-04", *, again: bool = False) -> int:
        """A campaign of a week ago: of a new issue, or `again` of the same."""
        frozen_at = self.now - timedelta(days=7)
        if not again:
            self.issue = _key(self.connection, insert(issues).values(slug=slug, created_at=frozen_at))
        revision = insert(revisions).values(
            issue_id=self.issue, number=1 + again, source=b"", document={}, hash="", at=frozen_at
        )
        self.campaign = _key(
            self.connection,
            insert(campaigns).values(
                issue_id=self.issue,
                revision_id=_key(self.connection, revision),
                status="finished",
                audience={},
                sender={},
                created_at=frozen_at,
                frozen_at=frozen_at,
            ),
        )
        for number, topics in STORIES.items():
            story = insert(campaign_stories).values(
                campaign_id=self.campaign,
                number=number,
                story_id=f"s-{number}",
                title=f"Story {number}",
                topics=topics,
            )
            self.connection.execute(story)
        for key, (topics, stories) in EDITIONS.items():
            self.editions[key] = self._edition(key, topics, stories)
        places = [(f"story:{n}", n) for n in STORIES]
        for place, of_story in (*places, ("reference:1", 1), ("cta:1", None)):
            link = insert(links).values(
                campaign_id=self.campaign,
                place=place,
                story_number=of_story,
                url=f"https://example.org/{place}",
            )
            self.links[place] = _key(self.connection, link)
        self.chunk = self.another_chunk()
        return self.campaign

    def another_chunk(self, **values: Any) -> int:
        row = {
            "campaign_id": self.campaign,
            "edition_id": self.editions["full"],
            "state": "accepted",
            "recipients": 1,
            **values,
        }
        return _key(self.connection, insert(chunks).values(row))

    def letter(self, name: str, edition: str = "full", **values: Any) -> int:
        """A letter that was handed over to a reader who is measured."""
        row = {
            "campaign_id": self.campaign,
            "issue_id": self.issue,
            "subscriber_id": self.readers.get(name),
            "edition_id": self.editions[edition],
            "chunk_id": self.chunk,
            "email": f"{name}@example.com",
            "measured": True,
            "handover": "accepted",
            "fate": "delivered",
            **values,
        }
        self.letters[name] = _key(self.connection, insert(deliveries).values(row))
        return self.letters[name]

    def hit(
        self, name: str | None, kind: str, verdict: str | None, place: str | None = None, **values: Any
    ) -> None:
        """A hit of a reader's letter, or of no one's."""
        self.hits += 1
        row = {
            "dedupe_key": f"w:{self.campaign}-{self.hits}",
            "campaign_id": self.campaign,
            "delivery_id": self.letters[name] if name else None,
            "kind": kind,
            "occurred_at": self.now,
            "received_at": self.now,
            "link_id": self.links[place] if place else None,
            "verdict": verdict,
            "settled": True,
            "detail": {},
            **values,
        }
        self.connection.execute(insert(events).values(row))

    def _edition(self, key: str, topics: Sequence[str], stories: Sequence[int]) -> int:
        row = {
            "campaign_id": self.campaign,
            "key": key,
            "label": key,
            "topics": topics,
            "stories": stories,
            "topic_stories": stories,
            "subject": "",
            "preheader": "",
            "html": "",
            "text": "",
            "html_bytes": 0,
            "text_bytes": 0,
            "slot_nonce": "abcdefgh",
        }
        return _key(self.connection, insert(editions).values(row))


def _key(connection: Connection, statement: Any) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])
