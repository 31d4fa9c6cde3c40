"""leavers.log: everybody who left, was suppressed or erased, or came back, by keyed hash, one line each.

It is only ever appended to, and outlives the database: replayed over an older one, it keeps whoever left
since from being mailed. Notes leave the table `leaver` when their line is on the disk, so a line may
stand twice, which changes nothing, but is never missing.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy import Connection, exists, select

from mailer.database import Database
from mailer.delivery import letters_of
from mailer.service.files import locked
from mailer.tables import identities
from mailer.tracking import counters
from subscribers import leavers, roster
from subscribers.errors import NewsletterError
from subscribers.leavers import Line, Replayed
from subscribers.models import Leaving

LEAVERS_FILE = "leavers.log"
PRIVATE_FILE = 0o600
BATCH_NOTES = 5_000
# Erasures so far, and those that are in the database's log no more; see service/erasing.
ERASED = "erasures"

# 2026-04-10T05:30:00.000000Z left 1 <hash>
_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z (?P<what>[a-z]+) "
    r"(?P<key_id>\d{1,9}) (?P<hash>[0-9a-f]{32})"
)
LINE_MAX_BYTES = 200
CURE = (
    "Put that line right from another copy of the file, or take it out if you know who it was about: "
    "until then nobody can say who left."
)

log = structlog.get_logger()


def bring(database: Database, file: Path, mine: str) -> int:
    """Write the notes that wait, then forget them; how many. Nothing when the database is not `mine`.

    For any number of processes at once: the file is locked meanwhile.
    """
    with database.reader() as connection:
        if not _is_mine(connection, mine):
            return 0
    return bring_all(database, file)


def bring_all(database: Database, file: Path) -> int:
    """The same of a database that is about to be replaced, whosever it is: people left all the same."""
    with database.reader() as connection:
        if not leavers.waiting(connection, 1):
            return 0
    written = 0
    with locked(file, PRIVATE_FILE) as opened:
        while lines := _waiting(database):
            _append(opened, lines)
            with database.ledger() as connection:
                leavers.are_written(connection, [line.id for line in lines])
            written += len(lines)
    return written


def bring_if_possible(database: Database, file: Path, mine: str) -> None:
    """The same after a door's commit: what cannot be written now stays noted for the clock."""
    try:
        bring(database, file, mine)
    except OSError as error:
        log.error("leavers.log could not be written", error=type(error).__name__, errno=error.errno)


def _is_mine(connection: Connection, mine: str) -> bool:
    return bool(connection.execute(select(exists().where(identities.c.instance == mine))).scalar_one())


def _waiting(database: Database) -> list[Line]:
    with database.reader() as connection:
        return leavers.waiting(connection, BATCH_NOTES)


def _append(file: IO[bytes], lines: list[Line]) -> None:
    size = file.seek(0, os.SEEK_END)
    # A power cut tore the last line: its note is still in the database, and is written again.
    whole = size - len(_tail(file, size).rpartition(b"\n")[2])
    if whole != size:
        file.truncate(whole)
        file.seek(whole)
    file.write(b"".join(_line(each) for each in lines))
    file.flush()
    os.fsync(file.fileno())


def _tail(file: IO[bytes], size: int) -> bytes:
    """The last bytes of the file, enough for a line."""
    file.seek(max(0, size - LINE_MAX_BYTES))
    tail = file.read()
    file.seek(size)
    return tail


def _line(line: Line) -> bytes:
    at = line.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"{at} {line.what} {line.key_id} {line.key_hash}\n".encode()


def read(file: Path) -> Iterator[Line]:
    """Every line, oldest first; a torn last one is passed over.

    Raises NewsletterError naming any other line that cannot be read, and when the file cannot.
    """
    try:
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                if not raw.endswith(b"\n"):
                    log.warning("the last line of leavers.log is torn and was passed over", line=number)
                    return
                yield _read_line(raw, number, file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NewsletterError(
            f"cannot read who left: {error.strerror}.", file=str(file), cure="Check its permissions."
        ) from None


def _read_line(raw: bytes, number: int, file: Path) -> Line:
    match = _LINE.fullmatch(raw[:-1].decode("utf-8", "replace"))
    with contextlib.suppress(ValueError):
        if match is not None:
            at = datetime.fromisoformat(match["at"]).replace(tzinfo=UTC)
            return Line(match["hash"], int(match["key_id"]), Leaving(match["what"]), at)
    raise NewsletterError(
        "this line of leavers.log cannot be read; nothing was changed.",
        file=str(file),
        line=number,
        cure=CURE,
    )


def replay(connection: Connection, file: Path, now: datetime) -> Replayed:
    """Make true again what the file tells of people this database knows otherwise."""
    done = leavers.replay(connection, read(file), now=now, erase=lambda inner, each: _erase(inner, each, now))
    counters.add(connection, {ERASED: done.erased})
    return done


def _erase(connection: Connection, subscriber_id: int, now: datetime) -> None:
    roster.erase(connection, subscriber_id, [letters_of.blank], now=now, source=leavers.SOURCE)
