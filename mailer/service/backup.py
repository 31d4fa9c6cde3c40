"""`mailer backup`: one file with everything, taken while the site works, and looked over before it counts.

A snapshot is copied page by page, loses what only the running site may have (its identity, its heartbeat,
the notes on their way into leavers.log), and is written anew without free pages: nothing of anybody who
was erased is in it. It gets its name last, and never that of another file.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, inspect, select

from mailer import dialect, sqlite_files
from mailer.database import Database
from mailer.service.copying import OWN, fill
from mailer.service.identity import PRIVATE_FILE, sync_folder
from subscribers.errors import NewsletterError
from subscribers.models import Subscriber

# A copy and its rewriting stand beside each other for a moment; a little air for everybody else.
ROOM_FACTOR = 2.2
LEFT_FREE_BYTES = 50_000_000
BACKUPS = "data/backups"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was looked over: where, how large, of which schema, and how many rows of what."""

    file: str
    bytes: int
    schema: str | None
    rows: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def backup(database: Database, file: Path) -> Backup:
    """Write a backup into a new file. Raises NewsletterError, leaving nothing behind."""
    file = _wanted(file)
    source = sqlite_files.path_of(database.url)
    if source is not None:
        require_room(file.parent, int(source.stat().st_size * ROOM_FACTOR))
    with _beside(file) as raw, _beside(file) as whole:
        try:
            expected = _snapshot(database, raw)
            sqlite_files.vacuum_into(raw, whole)
            contents = sqlite_files.look_over(whole)
        except sqlite_files.errors() as error:
            raise NewsletterError(
                f"the backup could not be written: {error}.",
                file=str(file),
                cure="See that the disk has room, and that 'mailer check' finds the database whole.",
            ) from None
        if contents.rows != expected:
            raise NewsletterError(
                "the backup holds other rows than the database; it was thrown away.",
                file=str(file),
                cure="Try again; should it happen again, check the disk.",
            )
        size = whole.stat().st_size
        _give_name(whole, file)
    return Backup(str(file), size, contents.schema, contents.rows)


def _wanted(file: Path) -> Path:
    file = file.absolute()
    if file.exists():
        raise NewsletterError(
            "this file is there already; a backup never replaces one.",
            file=str(file),
            cure="Choose another name.",
        )
    if not file.parent.is_dir():
        raise NewsletterError(
            "there is no such folder.", file=str(file.parent), cure="Make it first, or choose another."
        )
    return file


def require_room(folder: Path, needed: int) -> None:
    """Refuse to fill the disk. Raises NewsletterError."""
    free = shutil.disk_usage(folder).free
    if free < needed + LEFT_FREE_BYTES:
        raise NewsletterError(
            f"{free / 1e6:,.0f} MB are free, and {(needed + LEFT_FREE_BYTES) / 1e6:,.0f} MB are needed.",
            file=str(folder),
            cure="Make room, or choose another disk.",
        )


def _snapshot(database: Database, into: Path) -> dict[str, int]:
    """Copy one moment of the database, without what is its own alone; how many rows of what."""
    with database.reader() as connection:
        if not dialect.is_sqlite(connection):
            return _rows_of_server(connection, into)
        expected = counts(connection)
        sqlite_files.copy_snapshot(connection, into)
    for table in OWN:
        if table.name in expected:
            expected[table.name] = 0
    sqlite_files.empty_tables(into, [table.name for table in OWN if table.name in expected])
    return expected


def _rows_of_server(snapshot: Connection, into: Path) -> dict[str, int]:
    with closing(Database(f"sqlite:///{into}")) as target:
        target.upgrade()
        rows = fill(snapshot, target)
    sqlite_files.empty_tables(into, ())
    return rows | {table.name: 0 for table in OWN}


def counts(connection: Connection) -> dict[str, int]:
    """How many rows each table of ours has; those that an older schema lacks are left out."""
    there = set(inspect(connection).get_table_names())
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in Subscriber.metadata.sorted_tables
        if table.name in there
    }


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """An empty private file beside another one; gone at the end unless it got a name."""
    path = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    except OSError as error:
        raise NewsletterError(
            f"cannot write here: {error.strerror}.", file=str(file.parent), cure="Choose another folder."
        ) from None
    try:
        yield path
    finally:
        for each in (path, *(path.with_name(path.name + end) for end in sqlite_files.BESIDE)):
            each.unlink(missing_ok=True)


def _give_name(whole: Path, file: Path) -> None:
    """Bring it to the disk and give it its name, unless somebody else took that meanwhile."""
    sqlite_files.sync(whole)
    try:
        os.link(whole, file)
    except FileExistsError:
        raise NewsletterError(
            "somebody else wrote this file meanwhile.", file=str(file), cure="Choose another name."
        ) from None
    except OSError:
        # A disk without hard links (exFAT): nothing but the look before protects another file.
        whole.rename(_wanted(file))
    sync_folder(file.parent)


def before_upgrade(database: Database, root: Path, version: str, now: datetime) -> Backup:
    """A backup in the site's own folder, kept until somebody removes it."""
    folder = root / BACKUPS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return backup(database, folder / f"before-{version}-{now:%Y%m%d-%H%M%S}.db")
