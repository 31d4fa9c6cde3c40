"""A site is backed up while it works, restored whole or not at all, and upgraded after a backup."""

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, update

from mailer import dialect, sqlite_files
from mailer.database import Database
from mailer.delivery.owners import new_owner
from mailer.models import ChunkState
from mailer.service import Mailer, backup, restore
from mailer.service.restore import Restored
from mailer.tables import chunks, counters, events
from subscribers import roster
from subscribers.errors import NewsletterError
from tests.conftest import ROOT
from tests.journeys.conftest import Terminal
from tests.journeys.test_adopting import begun as begun
from tests.journeys.test_adopting import ready as ready
from tests.journeys.test_interrupted import copies

pytestmark = pytest.mark.sqlite_only(reason="a backup is a SQLite file, and is restored into one")


# Of one row: each column with what stands in it.
Cells = tuple[tuple[str, object], ...]


def leave(mailer: Mailer, address: str) -> None:
    with mailer.database.ledger() as connection:
        person = roster.require(connection, address)
        roster.unsubscribe(connection, person.id, now=datetime.now(UTC), source="test")


def test_a_backup_is_whole_private_and_complete(ready: Path, terminal: Terminal) -> None:
    answer = terminal("backup", "../kept.db", "--json")
    assert answer.code == 0
    file = ready.parent / "kept.db"
    assert Path(answer.document["file"]).samefile(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert answer.document["rows"]["subscriber"] == 12
    assert answer.document["rows"]["identity"] == 0
    assert answer.document["schema"] == Database("sqlite://").newest_version()
    assert sqlite_files.look_over(file).rows == answer.document["rows"]
    assert [each.name for each in ready.parent.iterdir() if "kept" in each.name] == ["kept.db"]


def test_a_backup_replaces_no_file_and_makes_no_folder(ready: Path, terminal: Terminal) -> None:
    (ready / "kept.db").write_text("mine")
    answer = terminal("backup", "kept.db", "--json")
    assert (answer.code, (ready / "kept.db").read_text()) == (1, "mine")
    assert answer.document["error"]["cure"]
    assert terminal("backup", "nowhere/kept.db").code == 1


def test_a_backup_under_a_busy_writer_is_of_one_moment(ready: Path, tmp_path: Path) -> None:
    with Mailer.open(ready / "config.toml") as mailer:
        stopped, begun_writing = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not stopped.is_set():
                with mailer.database.ledger() as connection:
                    # Two rows at a time: an odd number of them is half a transaction.
                    for half in "ab":
                        connection.execute(insert(counters).values(name=f"{number}{half}", value=1))
                number += 1
                begun_writing.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            begun_writing.wait()
            made = [mailer.backup(tmp_path / f"kept-{number}.db") for number in range(5)]
        finally:
            stopped.set()
            writer.join()
    assert all(each.rows["counter"] % 2 == 0 for each in made)


def test_a_backup_made_after_an_erasure_holds_nothing_of_the_person(ready: Path, terminal: Terminal) -> None:
    address = "reader7@example.com"
    assert terminal("subscribers", "erase", address, "--yes").code == 0
    assert terminal("backup", "kept.db").code == 0
    assert address.encode() not in (ready / "kept.db").read_bytes()
    assert b"reader8@example.com" in (ready / "kept.db").read_bytes()


def test_a_backup_is_refused_where_the_disk_has_no_room(
    ready: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LEFT_FREE_BYTES", 1 << 60)
    answer = terminal("backup", "kept.db", "--json")
    assert answer.code == 1
    assert "free" in answer.document["error"]["message"]
    assert not (ready / "kept.db").exists()


def test_yesterdays_backup_mails_nobody_who_left_today(
    begun: Path, sandbox: object, terminal: Terminal
) -> None:
    assert terminal("backup", "kept.db").code == 0
    with Mailer.open(begun / "config.toml") as mailer:
        leave(mailer, "reader1@example.com")
    assert terminal("subscribers", "suppress", "reader2@example.com").code == 0
    assert terminal("subscribers", "erase", "reader3@example.com", "--yes").code == 0
    # The first was in the table alone: an older process left it there.
    with Mailer.open(begun / "config.toml") as mailer:
        mailer.rooms.bring_leavers()

    assert terminal("restore", "kept.db").code == 2
    answer = terminal("restore", "kept.db", "--yes", "--json")
    assert answer.code == 0
    assert answer.document["replayed"] == {"lines": 3, "left": 1, "suppressed": 1, "erased": 1}
    assert Path(answer.document["kept"]).is_file()
    assert b"reader3@example.com" not in (begun / "data/mailer.db").read_bytes()

    assert terminal("resume", "1").code == 0
    assert "mailer adopt" in terminal("status").err
    assert not copies(sandbox)  # type: ignore[arg-type]
    assert terminal("adopt", "--yes").code == 0
    assert terminal("worker", "--once").code == 0
    got = copies(sandbox)  # type: ignore[arg-type]
    assert set(got) == {f"reader{number}@example.com" for number in range(12)} - {
        f"reader{number}@example.com" for number in (1, 2, 3)
    }
    assert set(got.values()) == {1}


def test_who_left_a_restored_database_before_it_was_adopted_stays_away_after_the_next_restore(
    ready: Path, terminal: Terminal
) -> None:
    assert terminal("backup", "kept.db").code == 0
    assert terminal("restore", "kept.db", "--yes").code == 0
    with Mailer.open(ready / "config.toml") as mailer:
        leave(mailer, "reader1@example.com")
        mailer.rooms.bring_leavers()
        assert not mailer.rooms.home.leavers.exists()
    answer = terminal("restore", "kept.db", "--yes", "--json")
    assert answer.document["replayed"]["left"] == 1
    shown = terminal("subscribers", "show", "reader1@example.com", "--json")
    assert shown.document["status"] == "unsubscribed"


def test_a_restore_is_refused_while_anybody_has_the_database_open(ready: Path, terminal: Terminal) -> None:
    assert terminal("backup", "kept.db").code == 0
    before = (ready / "data/mailer.db").read_bytes()
    with Mailer.open(ready / "config.toml") as other, other.database.reader() as connection:
        connection.execute(counters.select()).all()
        restore_now = Mailer.open(ready / "config.toml", any_schema=True)
        with pytest.raises(NewsletterError, match="another process"):
            restore_now.restore(ready / "kept.db")
        restore_now.close()
        assert other.homeless() is None
    assert (ready / "data/mailer.db").read_bytes() == before
    assert not list((ready / "data").glob("*restor*"))


@pytest.mark.parametrize("kind", ["text", "torn", "strange", "newer", "missing"])
def test_what_is_no_whole_backup_is_refused_and_changes_nothing(
    ready: Path, terminal: Terminal, kind: str
) -> None:
    file = ready / "kept.db"
    assert terminal("backup", file).code == 0
    if kind == "text":
        file.write_text("a list of things to do")
    elif kind == "torn":
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "strange":
        file.unlink()
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE invoice (number INTEGER)")
        other.close()
    elif kind == "newer":
        with sqlite3.connect(file) as other:
            other.execute("UPDATE alembic_version SET version_num = '9999'")
        other.close()
    else:
        file.unlink()
    before = (ready / "data/mailer.db").read_bytes()
    answer = terminal("restore", file, "--yes", "--json")
    assert answer.code == 1
    assert answer.document["error"]["cure"]
    assert (ready / "data/mailer.db").read_bytes() == before
    assert not list((ready / "data").glob("*restor*"))


def test_a_lost_or_damaged_database_is_replaced(ready: Path, terminal: Terminal) -> None:
    assert terminal("backup", "kept.db").code == 0
    database = ready / "data/mailer.db"
    for damage in (database.unlink, lambda: database.write_bytes(b"SQLite format 3\x00" + os.urandom(9_000))):
        damage()
        (ready / "data/mailer.db-wal").write_bytes(b"the log of another life")
        assert terminal("restore", "kept.db", "--yes").code == 0
        assert terminal("adopt", "--yes").code == 0
        assert terminal("subscribers", "show", "reader1@example.com").code == 0


@pytest.mark.parametrize("broken_off", ["copied", "named", "before the rename"])
def test_a_restore_that_is_broken_off_leaves_the_old_database(
    ready: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, broken_off: str
) -> None:
    assert terminal("backup", "kept.db").code == 0
    with Mailer.open(ready / "config.toml") as mailer:
        leave(mailer, "reader1@example.com")

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    where = {
        "copied": (restore, "_put_in_place"),
        "named": (os, "link"),
        "before the rename": (Path, "rename"),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*where[broken_off], cut)
        mailer = Mailer.open(ready / "config.toml", any_schema=True)
        with pytest.raises(PowerCutError):
            mailer.restore(ready / "kept.db")
        mailer.close()
    shown = terminal("subscribers", "show", "reader1@example.com", "--json")
    assert shown.document["status"] == "unsubscribed"
    assert isinstance(Mailer.open(ready / "config.toml").restore(ready / "kept.db"), Restored)


# A `mailer` that dies by SIGKILL when it comes to one of its steps.
DYING = """
import os, pathlib, signal, sys
from mailer import sqlite_files
from mailer.cli import main
from mailer.service import restore
owner, name = {"sync": (sqlite_files, "sync"), "link": (os, "link"), "rename": (pathlib.Path, "rename"),
               "renamed": (restore, "sync_folder")}[sys.argv.pop()]
calls = []
def die(*words, **more):
    # The folder is brought to the disk after the link, and again after the rename.
    calls.append(1)
    if name != "sync_folder" or len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, die)
main()
"""


@pytest.mark.parametrize("step", ["sync", "link", "rename", "renamed"])
def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(
    ready: Path, terminal: Terminal, step: str
) -> None:
    assert terminal("backup", "kept.db").code == 0
    with Mailer.open(ready / "config.toml") as mailer:
        leave(mailer, "reader1@example.com")
        mailer.rooms.bring_leavers()
    (ready / "data/leavers.log").rename(ready / "leavers.log")
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{DYING}"
    killed = subprocess.run(
        [sys.executable, "-c", program, "restore", "kept.db", "--yes", step],
        cwd=ready,
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    shown = terminal("subscribers", "show", "reader1@example.com", "--json")
    assert shown.document["status"] == ("active" if step == "renamed" else "unsubscribed")
    sqlite_files.look_over(ready / "data/mailer.db")
    assert terminal("restore", "kept.db", "--yes").code == 0
    assert not list((ready / "data").glob(".*restoring*"))
    assert terminal("subscribers", "show", "reader1@example.com", "--json").document["status"] == "active"


def test_a_backup_of_the_earlier_version_is_migrated_when_it_is_restored(
    ready: Path, terminal: Terminal, tmp_path: Path
) -> None:
    old = older(ready, tmp_path / "old.db")
    assert terminal("restore", old, "--yes").code == 0
    assert terminal("adopt", "--yes").code == 0
    assert terminal("subscribers", "show", "reader1@example.com").code == 0


def older(site: Path, file: Path) -> Path:
    """The database of a site as the version before left it."""
    from alembic import command
    from alembic.config import Config

    from mailer.database import MIGRATIONS

    shutil.copy(site / "data/mailer.db", file)
    # Without our pragmas: taking a column out makes a table anew, and references to it would be followed.
    engine = create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.downgrade(config, "0001")
    engine.dispose()
    return file


def test_an_upgrade_keeps_a_backup_and_the_folder_is_its_home(ready: Path, terminal: Terminal) -> None:
    old = older(ready, ready / "old.db")
    for file in (ready / "data").iterdir():
        if file.name != "sandbox.db":
            file.unlink()
    old.rename(ready / "data/mailer.db")
    assert "mailer upgrade" in terminal("status").err
    answer = terminal("upgrade", "--json")
    assert (answer.code, answer.document["changed"]) == (0, True)
    kept = sqlite_files.look_over(Path(answer.document["backup"]))
    assert (kept.schema, kept.rows["subscriber"]) == ("0001", 12)
    assert "adopt" not in terminal("status").err
    assert terminal("upgrade", "--json").document == {
        "changed": False,
        "schema": Database("sqlite://").newest_version(),
        "backup": None,
    }


def take_events(mailer: Mailer) -> None:
    """What an event leaves behind, and a hit."""
    now = datetime.now(UTC)
    with mailer.database.ledger() as connection:
        row = {"occurred_at": now, "received_at": now, "settled": True, "detail": {}}
        connection.execute(insert(events).values(dedupe_key="sg:1", kind="delivered", **row))


def values(file: Path) -> dict[str, list[Cells]]:
    """Every row of every table."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {}
        for name in names:
            columns = sorted(row[1] for row in connection.execute(f"PRAGMA table_info('{name}')"))
            listed = ", ".join(f'"{column}"' for column in columns)
            rows = connection.execute(f'SELECT {listed} FROM "{name}" ORDER BY {listed}')
            found[name] = [tuple(zip(columns, row, strict=True)) for row in rows]
        return found


@pytest.mark.parametrize("way", ["upgrade", "restore"])
def test_an_upgrade_keeps_every_row(ready: Path, terminal: Terminal, way: str) -> None:
    for issue in ("week-04", "week-05", "week-06"):
        text = (ready / "examples/week-04.md").read_text().replace("week-04", issue)
        (ready / f"{issue}.md").write_text(text)
        assert terminal("import", f"{issue}.md").code == 0
    assert terminal("send", "week-04", "--yes").code == 0
    with Mailer.open(ready / "config.toml") as mailer:
        for issue in ("week-05", "week-06"):
            campaign = mailer.start(mailer.plan(issue))
        mailer.pause(campaign)
        take_events(mailer)
    old = older(ready, ready / "old.db")
    before = values(old)
    assert all(
        before[name] for name in ("campaign", "chunk", "attempt", "edition", "link", "delivery", "event")
    )
    if way == "upgrade":
        for file in (ready / "data").iterdir():
            if file.name != "sandbox.db":
                file.unlink()
        shutil.copy(old, ready / "data/mailer.db")
        assert terminal("upgrade").code == 0
    else:
        assert terminal("restore", old, "--yes").code == 0
    after = values(ready / "data/mailer.db")
    for name in before.keys() - {"alembic_version", "sqlite_sequence"}:
        kept = [tuple(cell for cell in row if cell[0] in dict(before[name][0])) for row in after[name]]
        assert kept == before[name], name


def test_an_upgrade_is_refused_in_mid_send(begun: Path, terminal: Terminal) -> None:
    with Mailer.open(begun / "config.toml") as mailer, mailer.database.ledger() as connection:
        connection.execute(
            update(chunks).values(
                state=ChunkState.SUBMITTING,
                owner=new_owner(),
                lease_until=datetime.now(UTC) + timedelta(minutes=3),
            )
        )
    old = older(begun, begun / "old.db")
    for file in (begun / "data").glob("mailer.db*"):
        file.unlink()
    old.rename(begun / "data/mailer.db")
    answer = terminal("upgrade", "--json")
    assert answer.code == 1
    assert "being sent" in answer.document["error"]["message"]
    assert not (begun / "data/backups").exists()


def test_a_database_that_somebody_keeps_locked_is_said_to_be_locked(
    ready: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "BUSY_TIMEOUT_MS", 50)
    for file in (ready / "data").glob("mailer.db*"):
        file.unlink()
    with sqlite_files.opened(ready / "data/mailer.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = terminal("status", "--json")
    assert answer.code == 1
    assert "locked by another process" in answer.document["error"]["message"]
    assert "Try again" in answer.document["error"]["cure"]
