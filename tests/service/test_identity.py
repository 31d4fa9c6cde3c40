"""Whose database this is: what a copy, a move and a second folder are taken for."""

import shutil
import stat
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from mailer.config import Settings
from mailer.database import Database
from mailer.service import identity, keeping
from mailer.service.identity import Home
from mailer.tables import heartbeats, identities, issues, schedules
from subscribers import roster
from subscribers.addresses import parse_address
from tests import databases


def why(database: Database, home: Home) -> str | None:
    with database.reader() as connection:
        return identity.stranger(connection, home)


def test_a_new_database_is_at_home_where_it_was_made(settings: Settings, database: Database) -> None:
    home = Home.of(settings)
    assert why(database, home) is None
    assert home.instance()
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o600


def test_a_folder_reached_by_a_link_is_the_same_folder(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    assert Home.of(settings.model_copy(update={"root": link})) == Home.of(settings)
    assert why(database, Home.of(settings.model_copy(update={"root": link}))) is None


def test_a_moved_folder_is_another_folder(settings: Settings, database: Database, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (moved / "data").mkdir(parents=True)
    shutil.copy(Home.of(settings).file, moved / "data")
    there = Home.of(settings.model_copy(update={"root": moved}))
    assert why(database, there) == "another folder"
    assert there.instance() == ""
    with database.reader() as connection:
        problem = identity.problem(connection, there)
    assert problem is not None
    assert str(moved) in problem.message
    assert "mailer adopt" in (problem.cure or "")


def test_a_missing_or_broken_file_is_nobodys_home(settings: Settings, database: Database) -> None:
    home = Home.of(settings)
    for broken in (b"", b"{", b"[]", b'{"instance": "", "folder": "/"}', b'{"instance": 1}'):
        home.file.write_bytes(broken)
        assert why(database, home) == "no file"
    home.file.unlink()
    assert why(database, home) == "no file"
    assert home.instance() == ""


def test_taking_it_shuts_every_other_folder_out(
    settings: Settings, database: Database, tmp_path: Path, now: datetime
) -> None:
    first = Home.of(settings)
    second = replace(first, folder=str(tmp_path / "b"), file=tmp_path / "b/data/instance.json")
    with database.ledger() as connection:
        identity.take(connection, second, now)
    assert why(database, second) is None
    assert why(database, first) == "another instance"


def test_taking_it_broken_off_before_the_commit_leaves_it_nobodys(
    settings: Settings, database: Database, now: datetime
) -> None:
    home = Home.of(settings)
    with database.ledger() as connection:
        identity.take(connection, home, now)
        connection.rollback()
    assert why(database, home) == "another instance"


FOLDERS = ["the same folder", "another folder"]


def add_reader(connection: Connection, now: datetime) -> None:
    person = roster.NewPerson(parse_address("anna@example.org"), "asked for it")
    roster.add(connection, person, suppression_key="key", source="test", now=now)


def add_issue(connection: Connection, now: datetime) -> None:
    connection.execute(insert(issues).values(slug="week-01", kind="weekly", created_at=now))


def add_weekly_time(connection: Connection, now: datetime) -> None:
    weekly = {"kind": "weekly", "rule": "fri 07:30", "zone": "Europe/Paris", "created_at": now}
    connection.execute(insert(schedules).values(weekly | {"is_local": False, "created_by": "system"}))


HELD = {"a reader": add_reader, "an issue": add_issue, "a weekly time": add_weekly_time}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("held", HELD)
def test_a_database_that_holds_anything_is_not_new(
    settings: Settings, database: Database, now: datetime, tmp_path: Path, held: str, folder: str
) -> None:
    home = Home.of(settings)
    if folder == "another folder":
        home = replace(home, folder=str(tmp_path / "b"), file=tmp_path / "b/data/instance.json")
    with database.ledger() as connection:
        connection.execute(identities.delete())
    assert identity.found(database, home, lambda: now)
    assert not identity.found(database, home, lambda: now)
    with database.ledger() as connection:
        connection.execute(identities.delete())
        HELD[held](connection, now)
    assert not identity.found(database, home, lambda: now)
    assert why(database, home) == "no instance in the database"


def test_two_databases_of_one_folder_live_beside_each_other(
    settings: Settings, database: Database, now: datetime, tmp_path: Path
) -> None:
    home, hour = Home.of(settings), timedelta(hours=1)
    before = home.instance()
    with closing(Database(databases.new_url(tmp_path / "second.db"))) as second:
        second.upgrade()
        assert identity.found(second, home, lambda: now + hour)
        assert home.instance() == before
        for turn in range(2, 6):
            # Each is looked at long after the other has ticked.
            ticking, resting = (database, second) if turn % 2 else (second, database)
            keeping.tick(ticking, home, lambda at=now + turn * hour: at)  # type: ignore[misc]
            assert not keeping.disown_if_older(resting, home)
        assert (why(database, home), why(second, home)) == (None, None)


def test_a_folder_disowns_no_database_that_another_has_adopted(
    settings: Settings, database: Database, now: datetime, tmp_path: Path
) -> None:
    first, later = Home.of(settings), now + timedelta(days=1)
    keeping.tick(database, first, lambda: later)
    second = replace(first, folder=str(tmp_path / "b"), file=tmp_path / "b/data/instance.json")
    with database.ledger() as connection:
        identity.take(connection, second, now)
        connection.execute(heartbeats.delete())
    keeping.tick(database, first, lambda: later)
    keeping.tick(database, second, lambda: now)
    assert why(database, second) is None
    with database.reader() as connection:
        # Its clock is its own: that of a machine which may not send says nothing.
        assert connection.execute(select(heartbeats.c.at)).scalar_one() == now


def test_a_tick_that_waited_for_the_lock_never_sets_the_heartbeat_back(
    settings: Settings, database: Database, now: datetime
) -> None:
    home, later = Home.of(settings), now + timedelta(seconds=90)
    keeping.tick(database, home, lambda: now - timedelta(minutes=1))
    told = []

    def clock() -> datetime:
        told.append(now)
        if len(told) > 1:
            return later
        keeping.tick(database, home, lambda: later)  # somebody else has the lock meanwhile
        return now

    keeping.tick(database, home, clock)
    keeping.tick(database, home, lambda: now)  # another machine's clock
    assert not keeping.disown_if_older(database, home)
    with database.reader() as connection:
        assert connection.execute(select(heartbeats.c.at)).scalar_one() == later
