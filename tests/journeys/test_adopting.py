"""A database that wakes up elsewhere sends nothing until a person says so."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer, keeping
from mailer.service.identity import Home
from mailer.tables import heartbeats, leavers, subscribers
from subscribers import roster
from tests.journeys.conftest import Terminal
from tests.journeys.test_interrupted import copies
from tests.kill.looking import until

READERS = 12


@pytest.fixture
def ready(site: Path, sandbox: SandboxServer, terminal: Terminal) -> Path:
    """An issue and its readers, on a sandbox."""
    rows = [f"reader{number}@example.com,Reader {number},all\n" for number in range(READERS)]
    (site / "readers.csv").write_text("email,name,topics\n" + "".join(rows))
    assert terminal("subscribers", "import", "readers.csv", "--basis", "form").code == 0
    assert terminal("import", "examples/week-04.md").code == 0
    return site


@pytest.fixture
def begun(ready: Path, terminal: Terminal) -> Path:
    """A campaign that is frozen and paused before anything left."""
    with Mailer.open(ready / "config.toml") as mailer:
        campaign = mailer.start(mailer.plan("week-04"))
        mailer.pause(campaign)
    return ready


def later() -> datetime:
    """A tick that the snapshot of now does not know of."""
    return datetime.now(UTC) + timedelta(minutes=5)


def moved(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    elsewhere = site.with_name("elsewhere")
    shutil.copytree(site, elsewhere)
    monkeypatch.chdir(elsewhere)
    return elsewhere


def test_a_copied_folder_sends_nothing_until_it_is_adopted(
    begun: Path, sandbox: SandboxServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = moved(begun, monkeypatch)
    assert terminal("resume", "1").code == 0
    said = terminal("status")
    assert "mailer adopt" in said.err
    assert str(elsewhere) in said.err.replace("\n", "")
    refused = terminal("send", "week-04", "--yes")
    assert refused.code == 1
    assert "mailer adopt" in refused.err
    assert "mailer adopt" in terminal("check").out
    assert not copies(sandbox)

    asked = terminal("adopt")
    assert asked.code == 2
    assert f"{READERS} of {READERS} letters would still go" in asked.out
    answer = terminal("adopt", "--yes", "--json")
    assert answer.code == 0
    assert answer.document["adopted"]
    assert [each["campaign"] for each in answer.document["campaigns"]] == [1]
    assert terminal("worker", "--once").code == 0
    assert set(copies(sandbox).values()) == {1}
    assert len(copies(sandbox)) == READERS

    again = terminal("adopt", "--json")
    assert (again.code, again.document["adopted"]) == (0, False)


@pytest.mark.sqlite_only(reason="a file is put back")
def test_an_older_snapshot_put_back_in_place_is_noticed(
    begun: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    database = begun / "data/mailer.db"
    shutil.copy(database, begun / "yesterday.db")
    with Mailer.open(begun / "config.toml") as mailer:
        keeping.tick(mailer.database, mailer.rooms.home, later)
        assert mailer.homeless() is None
    for beside in begun.glob("data/mailer.db-*"):
        beside.unlink()
    shutil.copy(begun / "yesterday.db", database)
    assert "mailer adopt" in terminal("status").err
    assert terminal("adopt", "--yes").code == 0
    assert "adopt" not in terminal("status").err


def test_a_clock_set_back_makes_nobody_a_stranger(ready: Path) -> None:
    with Mailer.open(ready / "config.toml") as mailer:
        now = datetime.now(UTC)
        for jump in (timedelta(), timedelta(days=3650), timedelta(hours=-1), timedelta(days=-3650)):
            keeping.tick(mailer.database, mailer.rooms.home, lambda at=now + jump: at)  # type: ignore[misc]
            assert mailer.homeless() is None


def test_the_clock_stops_a_database_that_grew_older_under_it(ready: Path) -> None:
    with Mailer.open(ready / "config.toml") as mailer:
        now = datetime.now(UTC)
        keeping.tick(mailer.database, mailer.rooms.home, lambda: now + timedelta(hours=1))
        with mailer.database.ledger() as connection:
            connection.execute(update(heartbeats).values(at=now))
        keeping.tick(mailer.database, mailer.rooms.home, lambda: now + timedelta(hours=1))
        assert mailer.homeless() is not None


@pytest.mark.sqlite_only(reason="a file is put back")
def test_who_left_after_the_snapshot_stays_away(ready: Path, terminal: Terminal) -> None:
    database = ready / "data/mailer.db"
    shutil.copy(database, ready / "yesterday.db")
    with Mailer.open(ready / "config.toml") as mailer:
        keeping.tick(mailer.database, mailer.rooms.home, later)
        with mailer.database.ledger() as connection:
            person = roster.require(connection, "reader1@example.com")
            roster.unsubscribe(connection, person.id, now=datetime.now(UTC), source="test")
        keeping.tick(mailer.database, mailer.rooms.home, later)
        with mailer.database.reader() as connection:
            assert connection.execute(select(leavers)).first() is None
        mailer.suppress(address="reader2@example.com", file=None)
        mailer.erase_person("reader3@example.com")
    for beside in ready.glob("data/mailer.db-*"):
        beside.unlink()
    shutil.copy(ready / "yesterday.db", database)
    answer = terminal("adopt", "--yes", "--json")
    assert answer.document["replayed"] == {"lines": 3, "left": 1, "suppressed": 1, "erased": 1}
    with Mailer.open(ready / "config.toml") as mailer, mailer.database.reader() as connection:
        rows = connection.execute(
            select(subscribers.c.email, subscribers.c.status).where(subscribers.c.id <= 4)
        )
        found = {row.email: row.status for row in rows}
    assert found == {
        "reader0@example.com": "active",
        "reader1@example.com": "unsubscribed",
        "reader2@example.com": "active",
        "": "unsubscribed",
    }
    assert b"reader3@example.com" not in database.read_bytes()


def test_a_line_that_cannot_be_read_stops_the_adoption(ready: Path, terminal: Terminal) -> None:
    with Mailer.open(ready / "config.toml") as mailer:
        Home.of(mailer.settings).file.unlink()
    (ready / "data/leavers.log").write_text("who left?\n")
    answer = terminal("adopt", "--yes", "--json")
    assert answer.code == 1
    assert answer.document["error"]["line"] == 1
    assert "mailer adopt" in terminal("status").err


@pytest.mark.sqlite_only(reason="a server may have several folders")
def test_a_sqlite_database_has_one_folder(ready: Path, terminal: Terminal) -> None:
    (ready / "data/instance.json").unlink()
    answer = terminal("adopt", "--join", "--yes", "--json")
    assert answer.code == 1
    assert "one folder" in answer.document["error"]["message"]


def test_a_process_that_runs_stops_and_goes_on_by_itself(
    begun: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    """Its claims ask each time: taking the file away is enough, and so is `adopt`."""
    (begun / "data/instance.json").unlink()
    assert terminal("resume", "1").code == 0
    with Mailer.open(begun / "config.toml") as mailer, mailer.sending_threads():
        assert mailer.run_campaign(1)["accepted"] == 0
        assert not copies(sandbox)
        mailer.adopt()
        until(lambda: mailer.status(1)["status"] == "finished")
    assert set(copies(sandbox).values()) == {1}
