"""A site with issues, readers and a clock value, for tests of what goes when."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import standing
from mailer.delivery.audience import Audience
from mailer.delivery.civil import civil_of, resolve, zone_of
from mailer.house_models import MarkKind
from mailer.issues import store
from mailer.issues.values import Issue
from mailer.service import composition, due, identity, scheduling
from mailer.service.rooms import Rooms
from mailer.tables import deliveries, occurrences, subscribers
from tests.delivery.conftest import FRONT, SOURCE, Site
from tests.delivery.fake import Provider
from tests.delivery.steps import work

# Most of a week passes with a tick in half a day; the hours before a time with one an hour.
RARELY, HOURLY_FROM = timedelta(hours=12), timedelta(hours=3)


class PlannedSite:
    """`clock.now` is the time; `tick` is what every process does four times a minute."""

    def __init__(self, database: Database, settings: Settings, now: datetime) -> None:
        self.site = Site(database, settings, now)
        self.site.add_many(3)
        self.clock = self.site.clock
        self.provider = Provider()
        identity.found(database, self.rooms.home, self.clock)

    @property
    def database(self) -> Database:
        return self.site.database

    @property
    def rooms(self) -> Rooms:
        return Rooms.of(self.site.settings, self.site.database, self.clock)

    def configure(self, table: str, **keys: Any) -> None:
        """Change a table of the configuration, as a process that starts anew would see it."""
        changed = getattr(self.site.settings, table).model_copy(update=keys)
        self.site.settings = self.site.settings.model_copy(update={table: changed})

    def at(self, civil: str, zone: str = "Europe/Paris") -> datetime:
        return resolve(civil_of(civil), zone_of(zone)).at

    def move_to(self, civil: str) -> None:
        self.clock.now = self.at(civil)

    def issue(self, slug: str = "week-01") -> Issue:
        with self.database.reader() as connection:
            return store.load_issue(connection, slug, self.site.settings)

    def add_issue(self, slug: str, *, words: str = "A quiet week", kind: str = "weekly") -> Issue:
        """An issue, or the next draft of one when its words differ."""
        front = FRONT.replace("week-01", slug).replace("---\n", f"---\nkind: {kind}\n", 1)
        source = (front + SOURCE.replace("A quiet week", words)).encode()
        with self.database.ledger() as connection:
            report = store.import_issue(
                connection, source, file=f"{slug}.txt", settings=self.site.settings, now=self.clock.now
            )
        return report.issue

    def plan(self, at: str, *, slug: str = "week-01", zone: str | None = None, is_local: bool = False) -> int:
        planned = composition.plan(self.rooms, self.issue(slug), Audience())
        chosen = scheduling.when(self.rooms, planned, at, zone, is_local=is_local)
        return scheduling.plan(self.rooms, planned, chosen)

    def when(self, at: str, *, zone: str | None = None, is_local: bool = False) -> scheduling.When:
        planned = composition.plan(self.rooms, self.issue(), Audience())
        return scheduling.when(self.rooms, planned, at, zone, is_local=is_local)

    def approve(self, slug: str = "week-01") -> dict[str, Any]:
        return scheduling.mark(self.rooms, self.issue(slug), MarkKind.APPROVED)

    def start(self) -> None:
        """What a process does when it begins."""
        due.at_start(self.rooms)
        self.tick()

    def tick(self) -> list[int]:
        return due.look(self.rooms, self.clock.now)

    def tick_until(self, civil: str, *, every: timedelta | None = None) -> None:
        """Let the time pass, with a tick now and then (hourly towards the end), and workers at work."""
        end = self.at(civil)
        while self.clock.now < end:
            left = end - self.clock.now
            step = every or (timedelta(hours=1) if left <= HOURLY_FROM else left - HOURLY_FROM)
            self.clock.now = min(self.clock.now + min(step, RARELY), end)
            self.tick()
            work(self.site, self.provider)

    def status(self, campaign: int) -> standing.CampaignState:
        return self.site.status(campaign)

    def every_status(self) -> list[str]:
        with self.database.reader() as connection:
            return [state.status for state in reversed(standing.every(connection))]

    def occurrence(self, civil: str) -> Mapping[str, Any]:
        with self.database.reader() as connection:
            row = connection.execute(select(occurrences).where(occurrences.c.civil == civil)).one()
        return dict(row._mapping)

    def resolved_otherwise(self, civil: str, at: datetime, zone_data: str) -> None:
        """As if other zone data had given it another instant."""
        with self.database.ledger() as connection:
            connection.execute(
                update(occurrences).where(occurrences.c.civil == civil).values(at=at, zone_data=zone_data)
            )

    def states(self) -> dict[str, str]:
        """What became of each civil time."""
        with self.database.reader() as connection:
            rows = connection.execute(
                select(occurrences.c.civil, occurrences.c.state).order_by(occurrences.c.id)
            )
            return {row.civil: row.state for row in rows}

    def letters(self, issue: Issue) -> int:
        """How many letters of an issue there are, each once by the database's own rule."""
        with self.database.reader() as connection:
            rows = connection.execute(select(deliveries.c.id).where(deliveries.c.issue_id == issue.issue_id))
            return len(rows.all())

    def set_zones(self, *zones: str | None) -> None:
        """Let the readers live in these zones, one each."""
        with self.database.ledger() as connection:
            ids = connection.execute(select(subscribers.c.id).order_by(subscribers.c.id)).scalars().all()
            for number, zone in zip(ids, zones, strict=True):
                connection.execute(
                    update(subscribers).where(subscribers.c.id == number).values(timezone=zone)
                )
