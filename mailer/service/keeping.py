"""What a running site does for itself between campaigns: it says that it is alive, and who left.

The time of the last tick stands in the database and in a file beside it. Where the file knows of a later
one, the database is older than its folder (a snapshot was put back), and it loses its identity: nothing
is sent from it until somebody says `mailer adopt`.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, delete

from mailer import dialect
from mailer.database import Database
from mailer.service import leaving
from mailer.service.identity import Home
from mailer.tables import identities
from mailer.tracking import heartbeats

BEAT = timedelta(seconds=15)
# Between the two writes of a tick a process may be stopped; a snapshot is older than that. Machines that
# share a server's database have clocks of their own.
MAY_DIFFER = timedelta(seconds=60)
MACHINES_MAY_DIFFER = timedelta(minutes=15)
TICK_FILE = "last-tick"


def tick(database: Database, home: Home, now: datetime) -> None:
    """One look of the clock; for any number of processes."""
    disown_if_older(database, home)
    with database.reader() as connection:
        before = heartbeats.last(connection, heartbeats.TICK)
    if before is None or not timedelta() <= now - before < BEAT:
        _beat(database, home, now)
    leaving.bring(database, home.leavers, home.keeper_of_leavers())


def _beat(database: Database, home: Home, now: datetime) -> None:
    file = _file(home)
    known = _read(file)
    if known is not None and known > now:
        # The clock was set back: the database must never be the older of the two.
        _write(file, now)
    with database.ledger() as connection:
        heartbeats.beat(connection, heartbeats.TICK, now, every=BEAT)
    _write(file, now)


def disown_if_older(database: Database, home: Home) -> bool:
    """Take its identity from a database that is older than its folder knows; whether it was taken."""
    known = _read(_file(home))
    if known is None:
        return False
    with database.reader() as connection:
        if not _is_older(connection, known):
            return False
    with database.ledger() as connection:
        return connection.execute(delete(identities)).rowcount > 0


def accept_age(home: Home) -> None:
    """Forget the tick that the folder knows of: an older database was put in its place knowingly."""
    _file(home).unlink(missing_ok=True)


def _is_older(connection: Connection, known: datetime) -> bool:
    at = heartbeats.last(connection, heartbeats.TICK)
    may_differ = MAY_DIFFER if dialect.is_sqlite(connection) else MACHINES_MAY_DIFFER
    return at is None or known - at > may_differ


def _file(home: Home) -> Path:
    return home.file.with_name(TICK_FILE)


def _read(file: Path) -> datetime | None:
    with suppress(OSError, ValueError):
        return datetime.fromisoformat(file.read_text(encoding="ascii").strip())
    return None


def _write(file: Path, now: datetime) -> None:
    file.write_text(now.isoformat() + "\n", encoding="ascii")
