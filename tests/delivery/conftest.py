"""A small issue, readers of it, and everything that sending needs, around any transport."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import campaigns, freeze, preflight, standing
from mailer.delivery.audience import Audience
from mailer.delivery.send import Sending
from mailer.delivery.transport import Transport
from mailer.insight.leaves import registry
from mailer.issues import store
from mailer.links import Tokens, doors_of
from mailer.tables import subscribers
from subscribers import choices, suppression
from subscribers.models import ChosenBy
from subscribers.segment_rules import LeafRegistry

SOURCE = """\
A quiet week for the laboratories, a loud one for the clinics.

🧬 A second engineered product reaches children [1] [EU • 02 April 2026]
https://journal.example.org/children
Context: Few options exist after relapse.
Key point: Half of the children stayed in remission.
Implication: Centres should prepare for referrals.

🧪 Four drugs at once in newly found myeloma [2] [US • 03 April 2026]
https://trials.example.org/quartet
Context: Three drugs are the rule.
Key point: Adding a fourth doubled deep responses.
Implication: Guidelines will follow.

🩸 Platelets rise early in ITP [3] [Japan • 04 April 2026]
https://platelets.example.org/early
Context: Steroids come first.
Key point: A new agent worked within a week.
Implication: Fewer transfusions.

References
https://journal.example.org/children
https://trials.example.org/quartet
https://platelets.example.org/early
"""
FRONT = """\
---
slug: week-01
topics: {1: [car-t], 2: [myeloma], 3: [immunology]}
---
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Site:
    """One issue and its readers in a real database; `send_by` makes what sending needs."""

    def __init__(self, database: Database, settings: Settings, now: datetime) -> None:
        self.database = database
        self.settings = settings
        self.clock = Clock(now)
        self.number = 0
        with database.ledger() as connection:
            report = store.import_issue(
                connection,
                (FRONT + SOURCE).encode(),
                file="week-01.txt",
                slug=None,
                settings=settings,
                author="",
                now=now,
            )
            self.issue = report.issue

    def leaves(self, connection: Connection) -> LeafRegistry:
        return registry(connection, self.settings)

    def add(self, topics: tuple[str, ...] | None = None, **values: Any) -> int:
        """A reader of these topics (None: all); the id."""
        [number] = self.add_many(1, topics, **values)
        return number

    def add_many(self, how_many: int, topics: tuple[str, ...] | None = None, **values: Any) -> list[int]:
        """Readers of the same topics, `reader1@example.org` and on; the ids."""
        with self.database.ledger() as connection:
            rows = [self._row(**values) for _ in range(how_many)]
            made = connection.execute(insert(subscribers).returning(subscribers.c.id), rows)
            ids = list(made.scalars())
            if topics is None:
                connection.execute(
                    update(subscribers).where(subscribers.c.id.in_(ids)).values(all_topics=True)
                )
            else:
                for number in ids:
                    choices.set_choices(connection, number, topics, by=ChosenBy.STAFF, now=self.clock.now)
        return ids

    def _row(self, **values: Any) -> dict[str, Any]:
        self.number += 1
        email = values.get("email", f"reader{self.number}@example.org")
        return {
            "email": email,
            "email_key": email.casefold(),
            "key_hash": suppression.key_hash(email.casefold(), self.suppression_key),
            "name": f"Reader {self.number}",
            "status": "active",
            "all_topics": False,
            "topic_mask": 0,
            "source": "test",
            "attributes": {},
            "track_consent": False,
            "created_at": self.clock.now,
            "paused_until": None,
        } | values

    @property
    def suppression_key(self) -> str:
        return self.settings.database.suppression_key.get_secret_value()

    def create(self, audience: Audience | None = None) -> int:
        with self.database.ledger() as connection:
            assert self.issue.issue_id is not None
            assert self.issue.revision_id is not None
            return campaigns.create(
                connection,
                issue_id=self.issue.issue_id,
                revision_id=self.issue.revision_id,
                audience=(audience or Audience()).as_json(),
                sender=preflight.sender_of(self.settings),
                now=self.clock.now,
            )

    def freeze(self, audience: Audience | None = None) -> int:
        campaign_id = self.create(audience)
        assert freeze.freeze(
            self.database, campaign_id, settings=self.settings, leaves=self.leaves, clock=self.clock
        )
        return campaign_id

    def send_by(
        self,
        transport: Transport,
        *,
        clock: Callable[[], datetime] | None = None,
        instance: Callable[[], str] | None = None,
    ) -> Sending:
        return Sending(
            self.database,
            self.settings,
            Tokens([secret.get_secret_value() for secret in self.settings.web.secrets]),
            doors_of(self.settings),
            transport,
            clock or self.clock,
            instance,
        )

    def status(self, campaign_id: int) -> standing.CampaignState:
        with self.database.reader() as connection:
            return standing.status(connection, campaign_id)


@pytest.fixture
def site(database: Database, settings: Settings, now: datetime) -> Site:
    return Site(database, settings, now)
