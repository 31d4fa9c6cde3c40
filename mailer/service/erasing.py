"""Erasing somebody to the last byte: the tables of every floor, then the database's log.

While another process reads, SQLite keeps old pages for it. So an erasure is marked in the database until
the log was emptied after it: by the erasure itself, by the clock of whatever runs, or by a later command.
"""

from dataclasses import asdict
from typing import Any

from mailer.database import Database
from mailer.delivery import letters_of
from mailer.service.leaving import ERASED
from mailer.service.rooms import Rooms
from mailer.tracking import counters
from subscribers import roster

# How often a running process looks for an erasure that is still in the log.
LOOK_SECONDS = 15.0
# Nobody else can write while the log waits for its readers: a person waits longer than a clock may.
PERSON_WAITS_MS = 2_000
CLOCK_WAITS_MS = 200

# Numbers that only grow, so that an erasure beside an emptied log is never taken for done.
_GONE = "erasures gone from the log"


def erase(rooms: Rooms, address: str, *, source: str) -> dict[str, Any]:
    """Forget a person; what else named them, and whether a trace is still in the log."""
    with rooms.database.ledger() as connection:
        row = roster.require(connection, address)
        mentions = roster.erase(connection, row.id, [letters_of.blank], now=rooms.now(), source=source)
        counters.add(connection, {ERASED: 1})
    return {
        "erased": 1,
        "mentions": asdict(mentions) if mentions else {},
        "trace_in_log": not empty_log(rooms.database, wait_ms=PERSON_WAITS_MS),
    }


def empty_log(database: Database, *, wait_ms: int = CLOCK_WAITS_MS) -> bool:
    """Empty the log when an erasure is still in it; False when it stays, because somebody reads."""
    with database.reader() as connection:
        totals = counters.totals(connection)
    begun = totals.get(ERASED, 0)
    if begun == totals.get(_GONE, 0):
        return True
    if not database.empty_log(wait_ms):
        return False
    with database.ledger() as connection:
        counters.raise_to(connection, _GONE, begun)
    return True
