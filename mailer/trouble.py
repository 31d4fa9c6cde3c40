"""Trouble with the database that ends without us: no room on the disk, a lock, a server that is away."""

from sqlalchemy.exc import DBAPIError, OperationalError

# SQLSTATE classes of PostgreSQL: no room or memory, somebody else's lock, a server that goes or is gone.
_NO_ROOM, _LOCKED, _AWAY = ("53",), ("55P", "40"), ("08", "57P")


def passing_trouble(error: BaseException) -> str | None:
    """What has happened and what to do, where waiting helps; None for everything else."""
    if not isinstance(error, DBAPIError):
        return None
    said = str(error.orig)
    state = getattr(error.orig, "sqlstate", None) or ""
    if "disk is full" in said or "disk I/O error" in said or state.startswith(_NO_ROOM):
        return "the database could not be written: there is no room left. Make room on its disk."
    if is_locked(error):
        return "the database was locked by another program for a long time. End what keeps it."
    # The driver of a server names no state where no server answered.
    is_unanswered = type(error.orig).__module__.startswith("psycopg") and isinstance(error, OperationalError)
    if error.connection_invalidated or state.startswith(_AWAY) or (is_unanswered and not state):
        return "the database server is away. Start it, or mend the way to it."
    return None


def is_locked(error: BaseException) -> bool:
    """Whether somebody else kept us from the database for too long."""
    if not isinstance(error, DBAPIError):
        return False
    said, state = str(error.orig), getattr(error.orig, "sqlstate", None) or ""
    return "database is locked" in said or "table is locked" in said or state.startswith(_LOCKED)
