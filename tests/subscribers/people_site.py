"""A database of people in a folder, with the few things that tests of this room do to it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.database import Database
from subscribers import roster
from subscribers.addresses import parse_address
from subscribers.transfer import ImportOptions, ImportReport, import_csv
from tests import databases

SECRET = "a key for these tests only"
TOPICS = {"car-t": "CAR-T", "myeloma": "Myeloma", "immunology": "Immunology"}
BASIS = "signed up at the booth"
NOW = datetime(2026, 4, 10, 5, 30, tzinfo=UTC)
LATER = datetime(2026, 5, 10, 5, 30, tzinfo=UTC)


@dataclass
class PeopleSite:
    folder: Path
    database: Database

    def import_rows(
        self, rows: str | bytes, *, now: datetime = NOW, name: str = "people.csv", **options: Any
    ) -> ImportReport:
        """Import a file of these rows. A text gets `\\n` lines, as they are written here."""
        path = self.folder / name
        path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        return self.import_file(path, now=now, **options)

    def import_file(self, path: Path, *, now: datetime = NOW, **options: Any) -> ImportReport:
        given: dict[str, Any] = {"basis": BASIS, "suppression_key": SECRET, "topics": TOPICS, **options}
        return import_csv(self.database, path, ImportOptions(**given), now=now)

    def add(self, email: str, **person: Any) -> int:
        with self.database.ledger() as connection:
            new = roster.NewPerson(parse_address(email), basis=BASIS, **person)
            return roster.add(connection, new, suppression_key=SECRET, source="command line", now=NOW)

    def show(self, email: str) -> dict[str, Any]:
        with self.database.reader() as connection:
            return roster.show(connection, roster.require(connection, email).id)

    def exists(self, email: str) -> bool:
        with self.database.reader() as connection:
            return roster.find(connection, email) is not None

    def id_of(self, email: str) -> int:
        with self.database.reader() as connection:
            return int(roster.require(connection, email).id)


def make_site(folder: Path) -> PeopleSite:
    """A new site: a database with its tables, and nobody in it."""
    folder.mkdir(parents=True, exist_ok=True)
    url = databases.new_url(folder / "people.db")
    databases.lay_out(url)
    return PeopleSite(folder, Database(url))


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    """(added, updated, unchanged, suppressed, refused); they add up to what was read."""
    found = (report.added, report.updated, report.unchanged, report.suppressed, len(report.refused))
    assert sum(found) == report.read
    return found


def refused(report: ImportReport) -> dict[int, str]:
    return {each.line: each.reason for each in report.refused}
