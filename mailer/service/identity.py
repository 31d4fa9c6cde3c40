"""Whose database this is: a copy that wakes up elsewhere, or yesterday's backup, must send nothing by itself.

A random id stands in the database (table `identity`) and, with the path of the site's folder, in a file of
that folder. Where the two differ or one is missing, nothing is claimed, frozen, planned or sent until
somebody says `mailer adopt`. A claim asks within its own statement (`Home.instance`), so that a running
process stops and goes on by itself. Backups carry no id.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, delete, exists, insert, or_, select

from mailer.config import Settings
from mailer.database import Database
from mailer.service import leaving
from mailer.service.leaving import LEAVERS_FILE
from mailer.tables import campaigns, identities, issues, schedules, subscribers
from subscribers.errors import NewsletterError, Problem
from subscribers.tables import upsert

INSTANCE_FILE = "data/instance.json"
PRIVATE_FILE = 0o600
ID_BYTES = 16
THE_ONLY_ROW = 1
YES = "yes"
CURE = "If this is the place to send from, and no other is: 'mailer adopt'."

# Why a database is not this folder's, in a word for machines.
Stranger = Literal["no instance in the database", "no file", "another folder", "another instance"]


@dataclass(frozen=True, slots=True)
class Home:
    """The site's folder, and the file of it that says which database is its own."""

    folder: str
    file: Path

    @classmethod
    def of(cls, settings: Settings) -> "Home":
        folder = os.path.realpath(settings.root)
        return cls(folder, Path(folder) / INSTANCE_FILE)

    def instance(self) -> str:
        """The id that the database must carry; "" (which none has) without a file of this folder's."""
        said = self.said()
        return said["instance"] if said is not None and said["folder"] == self.folder else ""

    def keeper_of_leavers(self) -> str:
        """The same where leavers.log is written: in one folder, however many machines send."""
        said = self.said()
        return self.instance() if said is not None and said["writes"] == YES else ""

    def said(self) -> dict[str, str] | None:
        """What the file says: instance, folder, whether it `writes` leavers.log; None when unreadable."""
        try:
            found = orjson.loads(self.file.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        if not isinstance(found, dict):
            return None
        words = {name: found.get(name) for name in ("instance", "folder", "writes")}
        said = {name: word for name, word in words.items() if isinstance(word, str) and word}
        return said if len(said) == len(words) else None

    @property
    def leavers(self) -> Path:
        """The file of those who left, beside the database whatever becomes of it."""
        return self.file.with_name(LEAVERS_FILE)

    def write(self, instance: str, *, joins: bool = False) -> None:
        """Put the file in place whole: a power cut leaves the old one or this one."""
        words = {"instance": instance, "folder": self.folder, "writes": "no" if joins else YES}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(words, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.file)
        sync_folder(self.file.parent)


def sync_folder(folder: Path) -> None:
    """Bring a rename to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def row_of(connection: Connection) -> Row[Any] | None:
    """The identity that the database carries, or None."""
    return connection.execute(select(identities).where(identities.c.id == THE_ONLY_ROW)).one_or_none()


def stranger(connection: Connection, home: Home) -> Stranger | None:
    """Why this database is not this folder's; None when it is."""
    row, said = row_of(connection), home.said()
    if row is None:
        return "no instance in the database"
    if said is None:
        return "no file"
    if said["folder"] != home.folder:
        return "another folder"
    return "another instance" if said["instance"] != row.instance else None


def problem(connection: Connection, home: Home) -> Problem | None:
    """The same in words for a person, with what to do."""
    why = stranger(connection, home)
    if why is None:
        return None
    said = home.said()
    words = {
        "no instance in the database": "it is a restored backup, or was never adopted",
        "no file": f"'{INSTANCE_FILE}' is missing here, so it may be a copy",
        "another folder": f"this site is at {home.folder}, and its data was at {said and said['folder']}",
        "another instance": "it was adopted elsewhere, or another file was put in its place",
    }[why]
    return Problem(
        f"nothing is sent: this database is not known to belong to this folder ({words}).",
        cure=CURE,
    )


def require_home(connection: Connection, home: Home) -> None:
    """Refuse to plan or send from a database that is not this folder's."""
    found = problem(connection, home)
    if found is not None:
        raise NewsletterError(found.message, file=str(home.file), cure=found.cure)


def take(connection: Connection, home: Home, now: datetime) -> str:
    """Make this database this folder's under a new id, which no copy of either knows; the id.

    The file is written before the commit: broken off between the two, they differ and nothing is sent.
    """
    instance = secrets.token_hex(ID_BYTES)
    connection.execute(delete(identities))
    row = {"id": THE_ONLY_ROW, "instance": instance, "adopted_at": now}
    connection.execute(insert(identities).values(row))
    home.write(instance)
    return instance


def found(database: Database, home: Home, now: Callable[[], datetime]) -> bool:
    """Give a new database its identity; False when it has one, or is not new.

    New is one in which nobody and no issue, plan or campaign ever was: nothing of it can go twice.
    """
    with database.reader() as connection:
        if not _is_new(connection):
            return False
    with database.ledger() as connection:
        # Whoever left an earlier database of this folder is not to be imported into a new one.
        leaving.replay(connection, home.leavers, now())
        # A folder may serve two databases by a variable: the new one does not drive the other out.
        known = home.instance()
        instance = known or secrets.token_hex(ID_BYTES)
        # Of two processes that open it at the same moment the second waits here, and finds the row.
        row = {"id": THE_ONLY_ROW, "instance": instance, "adopted_at": now()}
        row_is_ours = connection.execute(
            upsert(identities).values(row).on_conflict_do_nothing(index_elements=["id"])
        ).rowcount
        if not row_is_ours:
            return False
        if not known:
            home.write(instance)
    return True


def _is_new(connection: Connection) -> bool:
    if row_of(connection) is not None:
        return False
    # A restored backup has no identity either; one of a site that has not sent yet may have a plan.
    holds_something = or_(*(exists(select(table)) for table in (subscribers, issues, schedules, campaigns)))
    return not connection.execute(select(holds_something)).scalar_one()
