"""The log of the database goes home beside the hits, and a fault of the disk there stops nobody."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import Pool

from mailer import dialect
from mailer.clock import Clock
from mailer.config import Settings
from mailer.database import Database
from mailer.links import Purpose
from mailer.service import Mailer
from mailer.serving import clock_of
from mailer.tracking import log
from mailer.tracking.hits import Hit, HitWriter
from tests.tracking.sample import BROWSER, Sample

pytestmark = pytest.mark.sqlite_only(reason="a server keeps its log by itself")

WALKS_AT_MOST = 2_000
GIVE_UP_SECONDS = 20  # a writer that has ended answers never


class Refusal:
    """Every database opened while it lasts refuses to bring its log home; `threads` are those that tried."""

    def __init__(self) -> None:
        self.lasts = True
        self.threads: set[str] = set()
        self.walked: set[str] = set()

    def on_connect(self, connection: Any, _record: Any) -> None:
        connection.set_authorizer(self._answer)

    def _answer(self, action: int, name: str | None, *_rest: str | None) -> int:
        if action == sqlite3.SQLITE_PRAGMA and name == "wal_checkpoint":
            (self.threads if self.lasts else self.walked).add(threading.current_thread().name)
            return sqlite3.SQLITE_DENY if self.lasts else sqlite3.SQLITE_OK
        return sqlite3.SQLITE_OK


@pytest.fixture
def refusal() -> Iterator[Refusal]:
    refusal = Refusal()
    event.listen(Pool, "connect", refusal.on_connect)
    yield refusal
    event.remove(Pool, "connect", refusal.on_connect)


def knock(sample: Sample, writer: HitWriter) -> bool:
    token = sample.token(Purpose.TRACK, "ada")
    answer = writer.submit(Hit("open", token, None, BROWSER, sample.now))
    return asyncio.run(asyncio.wait_for(answer, GIVE_UP_SECONDS)).stored


def test_a_log_that_cannot_go_home_costs_no_hit_and_is_tried_again(
    sample: Sample, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOG_HITS", 1)
    monkeypatch.setattr(log, "LONG_LOG_HITS", 2)
    database = Database(sample.database.url)
    writer = HitWriter(database, sample.tokens, sample.settings)
    writer.start()
    try:
        both = {"hits", "log"}
        for _ in range(WALKS_AT_MOST):
            assert knock(sample, writer)
            if refusal.threads == both:
                break
        refusal.lasts = False
        for _ in range(WALKS_AT_MOST):
            assert knock(sample, writer)
            if refusal.walked == both:
                break
        assert (refusal.threads, refusal.walked) == (both, both)
    finally:
        writer.stop()
        database.close()


def test_a_refused_walk_is_an_error_of_the_database_like_any_other(
    database: Database, refusal: Refusal
) -> None:
    other = Database(database.url)
    with pytest.raises(SQLAlchemyError):
        other.tend_log()
    other.close()


def test_the_log_goes_home_whole_and_is_emptied_on_demand(database: Database) -> None:
    file = Path(database.url.removeprefix("sqlite:///"))
    write_something(database)
    assert not is_home(file)
    database.tend_log()
    assert is_home(file)
    dialect.truncate_journal(database.ledger_engine)
    assert file.with_name(file.name + "-wal").stat().st_size == 0
    with database.ledger() as connection, pytest.raises(OperationalError):
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")  # none in a transaction


def test_the_clock_brings_home_what_no_hit_wrote(database: Database, settings: Settings) -> None:
    file = Path(database.url.removeprefix("sqlite:///"))
    with Mailer.open(settings.root / "config.toml") as mailer:
        write_something(mailer.database)
        assert not is_home(file)
        tick(clock_of(mailer), "bring the log home")
        assert is_home(file)


def tick(clock: Clock, name: str) -> None:
    """What the clock does when its minute has come."""
    clock._scheduler.get_job(name).func()


def write_something(database: Database) -> None:
    with database.tracking() as connection:
        connection.exec_driver_sql("INSERT INTO counter (name, value) VALUES ('something', 1)")


def is_home(file: Path) -> bool:
    """Whether the file tells by itself, without its log, what was written."""
    alone = file.with_name("alone.db")
    alone.write_bytes(file.read_bytes())
    connection = sqlite3.connect(alone)
    try:
        return bool(connection.execute("SELECT 1 FROM counter WHERE name = 'something'").fetchall())
    except sqlite3.OperationalError:  # not even the tables have come
        return False
    finally:
        connection.close()
