"""`mailer restore`: a backup takes the place of the database, whole or not at all.

The new database is made ready beside the old one: copied, looked over, migrated, without an identity (so
that nothing is sent until it is adopted), and told by leavers.log who left since. Then one rename puts it
in place, while nobody else has the old one open; that one stays under another name.
"""

import os
import secrets
import shutil
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DatabaseError

from mailer import dialect, sqlite_files
from mailer.database import Database, require_known
from mailer.service import copying, leaving
from mailer.service.backup import ROOM_FACTOR, require_room
from mailer.service.identity import PRIVATE_FILE, sync_folder
from mailer.service.rooms import Rooms
from mailer.sqlite_files import BESIDE, Contents
from mailer.tables import leavers
from mailer.trouble import passing_trouble
from subscribers.errors import NewsletterError
from subscribers.leavers import Replayed

# Whoever has it open for a moment (a command, a page) is waited for so long.
ALONE_WAIT_MS = 3_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place, where the database before it is kept, and who had left since."""

    schema: str
    kept: str | None
    replayed: Replayed

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look_over(file: Path) -> Contents:
    """What a backup holds. Raises NewsletterError when it is not whole, or of a newer version."""
    contents = sqlite_files.look_over(file)
    if contents.schema is None:
        raise NewsletterError(
            "this database is none of this program's.",
            file=str(file),
            cure="Name a file that 'mailer backup' wrote.",
        )
    require_known(contents.schema)
    return contents


def restore(rooms: Rooms, file: Path) -> Restored:
    """Put a backup in the database's place. Raises NewsletterError, and then nothing has changed."""
    look_over(file)
    rooms.database.close()
    place = sqlite_files.path_of(rooms.database.url) or rooms.home.file.with_name("server.db")
    place.parent.mkdir(parents=True, exist_ok=True)
    require_room(place.parent, int(file.stat().st_size * ROOM_FACTOR))
    _bring_leavers(rooms, place)
    ready = place.with_name(f".{place.name}.restoring-{secrets.token_hex(4)}")
    try:
        os.close(os.open(ready, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
        replayed, schema = _make_ready(rooms, file, ready)
        if sqlite_files.path_of(rooms.database.url) is None:
            _fill_server(rooms.database, ready)
            return Restored(schema, None, replayed)
        kept = _put_in_place(ready, place, rooms.now())
        # Of restores that died; one that lives beside this one has lost, and says so.
        for left in place.parent.glob(f".{place.name}.restoring-*"):
            left.unlink(missing_ok=True)
    except sqlite_files.errors() as error:
        raise NewsletterError(
            f"the backup could not be put in place: {error}.",
            file=str(place),
            cure="Nothing was changed. See that the disk has room and the folder can be written to.",
        ) from None
    finally:
        for each in (ready, *_beside(ready)):
            each.unlink(missing_ok=True)
    return Restored(schema, str(kept) if kept is not None else None, replayed)


def _bring_leavers(rooms: Rooms, place: Path) -> None:
    """Let leavers.log know who left the database that is replaced: unadopted, it wrote nothing."""
    if sqlite_files.path_of(rooms.database.url) is None or not place.exists():
        return
    try:
        if rooms.database.schema_version() == rooms.database.newest_version():
            leaving.bring_all(rooms.database, rooms.home.leavers)
    except DatabaseError as error:
        trouble = passing_trouble(error)
        if trouble is not None:
            raise NewsletterError(f"nothing was changed: {trouble}", file=str(place)) from None
        log.warning("the database is damaged: who left lately may be missing in leavers.log")
    finally:
        rooms.database.close()


def _make_ready(rooms: Rooms, file: Path, ready: Path) -> tuple[Replayed, str]:
    """Fill a file of its own with the backup as it should be here."""
    sqlite_files.copy(file, ready)
    with closing(Database(f"sqlite:///{ready}")) as database:
        database.upgrade()
        with database.ledger() as connection:
            for table in copying.OWN:
                connection.execute(table.delete())
            replayed = leaving.replay(connection, rooms.home.leavers, rooms.now())
            # What the replay noted stands in leavers.log already.
            connection.execute(leavers.delete())
        schema = database.newest_version()
        database.empty_log(ALONE_WAIT_MS)
    sqlite_files.empty_tables(ready, ())
    sqlite_files.look_over(ready)
    sqlite_files.sync(ready)
    return replayed, schema


def _fill_server(target: Database, ready: Path) -> None:
    """Write it all into the server's database, which must be empty: nothing there is ever replaced."""
    copying.require_empty(target)
    target.upgrade()
    with closing(Database(f"sqlite:///{ready}")) as source, source.reader() as snapshot:
        copying.fill(snapshot, target)


def _put_in_place(ready: Path, place: Path, now: datetime) -> Path | None:
    """Exchange the two while nobody else has the old one open; where that is kept."""
    kept = place.with_name(f"{place.name}.before-restore-{now:%Y%m%d-%H%M%S}")
    if kept.exists():
        kept = kept.with_name(f"{kept.name}-{secrets.token_hex(2)}")
    if not place.exists():
        # A log without its database would be taken for the new one's.
        for each in _beside(place):
            with suppress(FileNotFoundError):
                each.rename(each.with_name(each.name.replace(place.name, kept.name)))
        ready.rename(place)
        sync_folder(place.parent)
        return None
    with sqlite_files.opened(place, busy_ms=ALONE_WAIT_MS) as connection:
        is_whole = _hold_alone(connection, place)
        if not is_whole:
            for each in _beside(place):
                with suppress(FileNotFoundError):
                    each.rename(each.with_name(each.name.replace(place.name, kept.name)))
        try:
            os.link(place, kept)
        except OSError:  # a disk without hard links
            shutil.copyfile(place, kept)
        sync_folder(place.parent)
        ready.rename(place)
        sync_folder(place.parent)
    return kept


def _hold_alone(connection: Any, place: Path) -> bool:
    """Shut everybody else out, and bring the log home; False where the database is too damaged for it.

    Raises NewsletterError while another process has it open. Who waits meanwhile finds a database that
    has no identity, and sends nothing.
    """
    module = dialect.sqlite_module()
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if mode == "delete":
            connection.execute("BEGIN EXCLUSIVE")
            with suppress(module.OperationalError):  # an older schema has no such tables
                if connection.execute("SELECT EXISTS (SELECT 1 FROM leaver)").fetchone()[0]:
                    raise _somebody_left(place)
                connection.execute("DELETE FROM identity")
            connection.execute("COMMIT")
            return True
    except module.OperationalError as error:
        if "locked" not in str(error):
            return False
    except module.DatabaseError:
        return False
    raise NewsletterError(
        "another process has the database open; nothing was changed.",
        file=str(place),
        cure="Stop 'serve', 'worker' and other commands, then restore again.",
    )


def _somebody_left(place: Path) -> NewsletterError:
    return NewsletterError(
        "somebody left while the backup was made ready; nothing was changed.",
        file=str(place),
        cure="Stop 'serve', then restore again.",
    )


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in BESIDE]
