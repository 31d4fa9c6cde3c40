"""SQLite files as files: looked over, copied and rewritten without an engine, for backups.

Nothing here is asked of the database that the site works with.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from mailer import dialect
from subscribers.errors import NewsletterError

# What stands beside a database that is written ahead.
BESIDE = ("-wal", "-shm", "-journal")
MAGIC = b"SQLite format 3\x00"
VERSION_TABLE = "alembic_version"
CURE = "Choose another backup; this one cannot be trusted."


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole file holds: the schema it stands at, and the rows of every table."""

    schema: str | None
    rows: dict[str, int]


def path_of(url: str) -> Path | None:
    """The file of a SQLite URL; None for a server's."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def errors() -> tuple[type[Exception], ...]:
    """What SQLite says when it cannot."""
    return (dialect.sqlite_module().Error, OSError)


@contextlib.contextmanager
def opened(path: Path, *, busy_ms: int = 5_000) -> Iterator[Any]:
    """A connection in no transaction."""
    connection = dialect.sqlite_module().connect(str(path), isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        connection.execute("PRAGMA secure_delete = ON")
        yield connection
    finally:
        connection.close()


def look_over(path: Path) -> Contents:
    """Read the whole file: its pages, its references, its rows. Raises NewsletterError unless it is whole."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
    except OSError as error:
        raise NewsletterError(
            f"cannot read this file: {error.strerror}.",
            file=str(path),
            cure="Check its name and permissions.",
        ) from None
    if begins != MAGIC:
        raise NewsletterError(
            "this is no SQLite database.", file=str(path), cure="Name a file of 'mailer backup'."
        )
    try:
        with opened(path) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
            strays = connection.execute("PRAGMA foreign_key_check").fetchone()
            names = [
                name
                for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if not name.startswith("sqlite_")
            ]
            rows = {name: _count(connection, name) for name in sorted(names)}
            schema = None
            if rows.pop(VERSION_TABLE, 0):
                schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except dialect.sqlite_module().Error as error:
        raise NewsletterError(f"this file is damaged: {error}.", file=str(path), cure=CURE) from None
    if faults:
        raise NewsletterError(f"this file is damaged: {faults[0]}.", file=str(path), cure=CURE)
    if strays is not None:
        raise NewsletterError(
            f"rows of '{strays[0]}' refer to rows that are missing.", file=str(path), cure=CURE
        )
    return Contents(schema, rows)


def _count(connection: Any, name: str) -> int:
    quoted = name.replace('"', '""')
    found: int = connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608 (quoted)
    return found


def copy(source: Path, target: Path) -> None:
    """Copy one moment of a file into an empty one, whatever stands beside it."""
    with opened(source) as reading, opened(target) as writing:
        reading.backup(writing)


def copy_snapshot(connection: Connection, target: Path) -> None:
    """Copy what a connection of an engine reads, in its transaction, into an empty file."""
    source: Any = connection.connection.driver_connection
    with opened(target) as writing:
        source.backup(writing)


def empty_tables(path: Path, names: Iterable[str]) -> None:
    """Delete every row of some tables, and leave one file that nothing stands beside."""
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        for name in names:
            connection.execute(f'DELETE FROM "{name}"')  # noqa: S608 (names of our tables)


def vacuum_into(source: Path, target: Path) -> None:
    """Write it anew into an empty file: no free pages, no log."""
    with opened(source) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def sync(path: Path) -> None:
    """Bring a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
