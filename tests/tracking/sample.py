"""An example issue that went out to a few people: real import, editions and letters, rows by hand."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.editions.compose import compose
from mailer.editions.links import CampaignLinks, link_places
from mailer.editions.render import render
from mailer.editions.select import select as select_stories
from mailer.issues.store import import_issue, load_issue
from mailer.links import Purpose, Slots, Tokens, doors_of
from mailer.tables import (
    attempts,
    campaign_stories,
    campaigns,
    chunks,
    deliveries,
    editions,
    events,
    links,
    subscribers,
)
from subscribers import roster
from subscribers.addresses import parse_address
from tests.conftest import ROOT

SLUG = "week-04"
NONCE = "k7q2mzxa"
MESSAGE_ID = "Zk3pV0aQR7mQ2x1cT9wYbA"
# A person's browser, and what a scanner of links with a borrowed one looks like.
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36"
)


@dataclass
class Sample:
    """One campaign; ids of people and letters by the names that a test gave."""

    database: Database
    settings: Settings
    tokens: Tokens
    now: datetime
    campaign: int = 0
    issue: int = 0
    revision: int = 0
    edition: int = 0
    chunk: int = 0
    attempt: str = ""
    readers: dict[str, int] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)

    def token(self, purpose: Purpose, name: str) -> str:
        return self.tokens.sign(purpose, self.letters[name])

    def link_ids(self, count: int) -> list[int]:
        with self.database.reader() as connection:
            query = select(links.c.id).where(links.c.campaign_id == self.campaign).order_by(links.c.id)
            return list(connection.execute(query.limit(count)).scalars())

    def events(self) -> Sequence[dict[str, object]]:
        with self.database.reader() as connection:
            rows = connection.execute(select(events).order_by(events.c.occurred_at, events.c.id))
            return [dict(row._mapping) for row in rows]

    def letter_row(self, name: str) -> dict[str, object]:
        with self.database.reader() as connection:
            query = select(deliveries).where(deliveries.c.id == self.letters[name])
            return dict(connection.execute(query).one()._mapping)

    def reader_row(self, name: str) -> dict[str, object]:
        with self.database.reader() as connection:
            query = select(subscribers).where(subscribers.c.id == self.readers[name])
            return dict(connection.execute(query).one()._mapping)


def send_sample(
    database: Database, settings: Settings, now: datetime, people: dict[str, bool], slug: str = SLUG
) -> Sample:
    """The full edition of an example issue for these people; True: agreed to be measured."""
    tokens = Tokens([secret.get_secret_value() for secret in settings.web.secrets])
    sample = Sample(database, settings, tokens, now)
    with database.ledger() as connection:
        _add_campaign(connection, sample, slug)
        for name, has_consent in people.items():
            add_reader(connection, sample, name, has_consent)
        connection.execute(update(chunks).values(recipients=len(people)))
    return sample


def add_reader(
    connection: Connection, sample: Sample, name: str, has_consent: bool, **values: object
) -> None:
    person = roster.NewPerson(
        address=parse_address(f"{name}@example.com"),
        name=str(values.pop("reader_name", name.title())),
        topics=None,
        basis="sample",
        track_consent=has_consent,
    )
    key = sample.settings.database.suppression_key.get_secret_value()
    sample.readers[name] = roster.add(connection, person, suppression_key=key, source="test", now=sample.now)
    row = {
        "campaign_id": sample.campaign,
        "issue_id": sample.issue,
        "subscriber_id": sample.readers[name],
        "edition_id": sample.edition,
        "chunk_id": sample.chunk,
        "email": f"{name}@example.com",
        "handover": "accepted",
        "measured": has_consent,
        **values,
    }
    added = connection.execute(insert(deliveries).values(row).returning(deliveries.c.id))
    sample.letters[name] = added.scalar_one()


def _add_campaign(connection: Connection, sample: Sample, slug: str) -> None:
    settings, now = sample.settings, sample.now
    source = (ROOT / "examples" / f"{slug}.md").read_bytes()
    import_issue(connection, source, file=f"{slug}.md", settings=settings, now=now)
    issue = load_issue(connection, slug, settings)
    assert issue.issue_id is not None
    assert issue.revision_id is not None
    selection = select_stories(issue, None, settings)
    assert selection is not None
    content = compose(issue, selection, settings)
    sample.issue, sample.revision = issue.issue_id, issue.revision_id
    campaign = insert(campaigns).values(
        issue_id=sample.issue,
        revision_id=sample.revision,
        audience={},
        sender={},
        status="finished",
        created_at=now,
        frozen_at=now,
        started_at=now,
    )
    sample.campaign = connection.execute(campaign.returning(campaigns.c.id)).scalar_one()
    ids = {}
    for place in link_places(content):
        link = insert(links).values(
            campaign_id=sample.campaign, place=place.place, story_number=place.story_number, url=place.url
        )
        ids[place.place, place.url] = connection.execute(link.returning(links.c.id)).scalar_one()
    slots = Slots(NONCE)
    letter = render(content, settings, CampaignLinks(doors_of(settings), slots, ids, slug), slots)
    for story in content.stories:
        connection.execute(
            insert(campaign_stories).values(
                campaign_id=sample.campaign,
                number=story.number,
                story_id=f"story-{story.number}",
                title=story.title,
                topics=list(story.topics),
            )
        )
    edition = insert(editions).values(
        campaign_id=sample.campaign,
        key=selection.key,
        label=content.label,
        topics=list(selection.topics),
        stories=list(selection.stories),
        topic_stories=list(selection.topic_stories),
        subject=content.subject,
        preheader=content.preheader,
        html=letter.html,
        text=letter.text,
        html_bytes=letter.html_bytes,
        text_bytes=letter.text_bytes,
        slot_nonce=NONCE,
    )
    sample.edition = connection.execute(edition.returning(editions.c.id)).scalar_one()
    _add_call(connection, sample)


def _add_call(connection: Connection, sample: Sample) -> None:
    chunk = insert(chunks).values(
        campaign_id=sample.campaign, edition_id=sample.edition, state="accepted", recipients=1
    )
    sample.chunk = connection.execute(chunk.returning(chunks.c.id)).scalar_one()
    sample.attempt = uuid.uuid4().hex
    connection.execute(
        insert(attempts).values(
            id=sample.attempt,
            chunk_id=sample.chunk,
            started_at=sample.now,
            ended_at=sample.now,
            outcome="accepted",
            http_status=202,
            message_id=MESSAGE_ID,
            body_hash="",
        )
    )
