"""What a backup holds goes back into an empty database of either kind."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from mailer import sqlite_files
from mailer.config import Settings
from mailer.database import Database
from mailer.service import backup, leaving, restore
from mailer.service.rooms import Rooms
from mailer.tables import identities, subscribers
from subscribers import roster
from subscribers.addresses import parse_address
from subscribers.errors import NewsletterError
from subscribers.leavers import Replayed
from subscribers.tables import leaver
from tests import databases


@pytest.fixture
def rooms(settings: Settings, database: Database, now: datetime) -> Rooms:
    rooms = Rooms.of(settings, database, lambda: now)
    with database.ledger() as connection:
        for name in ("anna", "ben", "cleo"):
            person = roster.NewPerson(parse_address(f"{name}@example.org"), "asked for it")
            roster.add(connection, person, suppression_key=rooms.suppression_key, source="test", now=now)
    return rooms


def elsewhere(rooms: Rooms, now: datetime) -> Rooms:
    """The same folder, with a database in which nothing is yet."""
    url = databases.new_url(rooms.settings.root / "data/new.db", migrated=False)
    return Rooms.of(rooms.settings, Database(url), lambda: now)


def test_a_backup_goes_into_an_empty_database_with_who_left_since(
    rooms: Rooms, now: datetime, tmp_path: Path
) -> None:
    made = backup.backup(rooms.database, tmp_path / "kept.db")
    assert made.rows["subscriber"] == 3
    assert made.rows["identity"] == made.rows["leaver"] == 0
    with rooms.database.ledger() as connection:
        for name in ("anna", "ben"):
            row = roster.require(connection, f"{name}@example.org")
            roster.unsubscribe(connection, row.id, now=now, source="test")
        roster.erase(connection, row.id, now=now)
    rooms.bring_leavers()
    assert len(list(leaving.read(rooms.home.leavers))) == 3
    new = elsewhere(rooms, now)
    restored = restore.restore(new, tmp_path / "kept.db")
    assert restored.replayed == Replayed(lines=3, left=1, suppressed=0, erased=1)
    with new.database.reader() as connection:
        rows = connection.execute(select(subscribers.c.email, subscribers.c.status).order_by("id")).all()
        assert connection.execute(select(identities)).first() is None
        assert connection.execute(select(leaver)).first() is None
    assert [(row.email, row.status) for row in rows] == [
        ("anna@example.org", "unsubscribed"),
        ("", "unsubscribed"),
        ("cleo@example.org", "active"),
    ]
    with new.database.ledger() as connection:
        person = roster.NewPerson(parse_address("dora@example.org"), "asked for it")
        added = roster.add(connection, person, suppression_key=rooms.suppression_key, source="test", now=now)
    assert added == 4
    new.database.close()
    assert not list(tmp_path.glob("data/.*restoring*"))


def test_notes_on_their_way_stay_out_of_a_backup(rooms: Rooms, now: datetime, tmp_path: Path) -> None:
    with rooms.database.ledger() as connection:
        connection.execute(insert(leaver).values(key_hash="0" * 32, key_id=1, what="left", at=now))
    assert backup.backup(rooms.database, tmp_path / "kept.db").rows["leaver"] == 0
    with rooms.database.reader() as connection:
        assert connection.execute(select(leaver)).first() is not None


def test_what_cannot_be_verified_is_thrown_away(
    rooms: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(source: Path, target: Path) -> None:
        shutil.copy(source, target)
        with target.open("r+b") as file:
            file.truncate(target.stat().st_size // 2)

    monkeypatch.setattr(sqlite_files, "vacuum_into", damaged)
    with pytest.raises(NewsletterError, match=r"damaged|other rows"):
        backup.backup(rooms.database, tmp_path / "kept.db")
    assert not list(tmp_path.glob("*kept*")) + list(tmp_path.glob(".kept*"))


@pytest.mark.skipif(not databases.SERVER, reason="a file is exchanged, a server's database never replaced")
def test_a_servers_database_that_holds_anything_is_not_replaced(
    rooms: Rooms, now: datetime, tmp_path: Path
) -> None:
    backup.backup(rooms.database, tmp_path / "kept.db")
    with pytest.raises(NewsletterError, match="not empty"):
        restore.restore(rooms, tmp_path / "kept.db")
