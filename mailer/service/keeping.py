"""What a running site does for itself between campaigns: it says that it is alive, and who left.

The time of the last tick stands in the database and in a file beside it, by adoption, since a folder may
serve two databases. Where the file knows of a later one, the database is older than its folder (a snapshot
was put back), and it loses its identity: nothing is sent from it until somebody says `mailer adopt`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, delete

from mailer import dialect
from mailer.database import Database
from mailer.delivery.timing import CLOCK_SLACK
from mailer.service import identity, leaving
from mailer.service.identity import Home
from mailer.tables import identities
from mailer.tracking import heartbeats

BEAT = timedelta(seconds=15)
# Between the two writes of a tick a process may be stopped; a snapshot is older than that. Machines that
# share a server's database have clocks of their own.
MAY_DIFFER = timedelta(seconds=60)
MACHINES_MAY_DIFFER = timedelta(minutes=15)
TICK_FILE = "last-tick"
PRECISE = "%Y-%m-%dT%H:%M:%S.%fZ"


def tick(database: Database, home: Home, now: Callable[[], datetime]) -> None:
    """One look of the clock; for any number of processes."""
    disown_if_older(database, home)
    with database.reader() as connection:
        before, row = heartbeats.last(connection, heartbeats.TICK), identity.row_of(connection)
    # Another folder's clock is told by that folder alone.
    is_anothers = row is not None and row.instance != home.instance()
    if not is_anothers and (before is None or not -CLOCK_SLACK <= now() - before < BEAT):
        _beat(database, home, now)
    leaving.bring(database, home.leavers, home.keeper_of_leavers())


def _beat(database: Database, home: Home, now: Callable[[], datetime]) -> None:
    with database.ledger() as connection:
        # Asked after the wait for the lock: whoever had it before may have ticked meanwhile.
        at, which = now(), _adoption(connection, home)
        known = _read(home).get(which)
        if known is not None and known > at:
            # The clock was set back: the database must never be the older of the two.
            _write(home, which, at)
        heartbeats.beat(connection, heartbeats.TICK, at, every=BEAT)
    if which:
        _write(home, which, at)


def disown_if_older(database: Database, home: Home) -> bool:
    """Take its identity from a database that is older than its own folder knows; whether it was taken."""
    known = _read(home)
    if not known:
        return False
    with database.reader() as connection:
        if not _is_older(connection, known.get(_adoption(connection, home))):
            return False
    with database.ledger() as connection:
        mine = identities.c.instance == home.instance()
        return connection.execute(delete(identities).where(mine)).rowcount > 0


def _is_older(connection: Connection, known: datetime | None) -> bool:
    if known is None:
        return False
    at = heartbeats.last(connection, heartbeats.TICK)
    may_differ = MAY_DIFFER if dialect.is_sqlite(connection) else MACHINES_MAY_DIFFER
    return at is None or known - at > may_differ


def _adoption(connection: Connection, home: Home) -> str:
    """Which adoption of a database of this folder's it is, as a snapshot of it tells too; "": of none."""
    row = identity.row_of(connection)
    if row is None or row.instance != home.instance():
        return ""
    return f"{row.instance} {row.adopted_at.astimezone(UTC):{PRECISE}}"


def _file(home: Home) -> Path:
    return home.file.with_name(TICK_FILE)


def _read(home: Home) -> dict[str, datetime]:
    """When each of the folder's databases ticked last; one line each, by adoption."""
    found = {}
    with suppress(OSError, ValueError):
        for line in _file(home).read_text(encoding="ascii").splitlines():
            which, _, at = line.rpartition(" ")
            found[which] = datetime.fromisoformat(at)
    return found


def _write(home: Home, which: str, at: datetime) -> None:
    # Those of an instance that the folder had before are forgotten.
    known = {each: then for each, then in _read(home).items() if each.startswith(home.instance())}
    known[which] = at
    lines = [f"{each} {then.isoformat()}\n" for each, then in known.items()]
    _file(home).write_text("".join(lines), encoding="ascii")
