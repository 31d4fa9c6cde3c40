"""Clocks that are set, and clocks beside each other: no storm, no silence once it is right, nothing twice."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import func, select

from mailer.clock import Clock
from mailer.config import Settings
from mailer.database import Database
from mailer.service import adopting, due, ticking
from mailer.service.rooms import Rooms
from mailer.tables import occurrences
from tests.delivery.steps import ledger, work
from tests.service.planned_site import PlannedSite

ROOT = Path(__file__).parents[2]
# Wednesday noon in Paris.
NOON = datetime(2026, 4, 8, 10, 0, tzinfo=UTC)
FRIDAY = "2026-04-10 07:30"
JUMPS = [timedelta(hours=1), timedelta(days=1), timedelta(days=9), timedelta(days=3653)]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CLOCKS, PROCESSES = 5, 3


@pytest.fixture
def site(database: Database, settings: Settings) -> PlannedSite:
    return PlannedSite(database, settings, NOON)


@contextmanager
def clock_set(site: PlannedSite, by: timedelta) -> Iterator[None]:
    """A clock that is wrong for an hour, with ticks and workers going by it."""
    site.clock.now += by
    for _ in range(12):
        site.tick()
        work(site.site, site.provider)
        site.clock.now += 5 * MINUTE
    yield
    site.clock.now -= by


def rows(site: PlannedSite) -> int:
    with site.database.reader() as connection:
        return connection.execute(select(func.count()).select_from(occurrences)).scalar_one()


@pytest.mark.parametrize("jump", JUMPS, ids=str)
@pytest.mark.parametrize("direction", [1, -1], ids=["ahead", "back"])
@pytest.mark.parametrize("is_weekly", [True, False], ids=["weekly", "once"])
def test_a_clock_that_was_wrong_days_before_changes_nothing(
    site: PlannedSite, jump: timedelta, direction: int, is_weekly: bool
) -> None:
    if is_weekly:
        site.configure("schedule", weekly="fri 07:30")
        site.start()
        campaign = site.approve()["campaign"]
    else:
        campaign = site.plan(FRIDAY)
    with clock_set(site, direction * jump):
        assert rows(site) <= 6, "occurrences are not made one by one through a jump"
    site.tick()
    assert site.status(campaign).status == "scheduled"
    due_at = site.status(campaign).due
    assert due_at is not None
    assert due_at.civil == FRIDAY
    site.tick_until("2026-04-10 06:30")
    assert site.provider.taken == []
    site.tick_until("2026-04-10 09:00")
    assert ledger(site.site, campaign) == ("finished", 0, 3, 0, 0, 0)
    assert len(site.provider.taken) == 3


@pytest.mark.parametrize("jump", JUMPS[1:], ids=str)
def test_an_issue_approved_while_the_clock_was_ahead_goes_on_its_friday(
    site: PlannedSite, jump: timedelta
) -> None:
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    with clock_set(site, jump):
        site.approve()
    site.tick_until("2026-04-10 09:00")
    assert len(site.provider.taken) == 3
    assert site.every_status() == ["finished"]


def test_a_week_skipped_by_a_clock_that_was_ahead_is_open_again(site: PlannedSite) -> None:
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    with clock_set(site, timedelta(days=3)):
        assert site.states()[FRIDAY] == "skipped"
    site.tick()
    assert site.states()[FRIDAY] == "pending"
    assert site.approve()["due"]["civil"] == FRIDAY


@pytest.mark.parametrize("jump", JUMPS, ids=str)
@pytest.mark.parametrize("direction", [1, -1], ids=["ahead", "back"])
def test_a_clock_that_is_set_in_mid_send_ends_in_the_same_letters(
    site: PlannedSite, jump: timedelta, direction: int
) -> None:
    site.configure("sending", chunk_size=1)
    site.move_to("2026-04-10 07:00")
    campaign = site.plan(FRIDAY)
    site.move_to(FRIDAY)
    site.tick()
    with pytest.raises(AssertionError, match="still at work"):
        work(site.site, site.provider, limit=1)
    with clock_set(site, direction * jump):
        pass
    site.tick_until("2026-04-10 10:00")
    assert ledger(site.site, campaign) == ("finished", 0, 3, 0, 0, 0)
    assert sorted(site.provider.taken) == sorted(set(site.provider.taken))


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_clock_set_back_over_the_time_of_a_sent_campaign_repeats_nothing(
    site: PlannedSite, jump: timedelta
) -> None:
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    campaign = site.approve()["campaign"]
    site.tick_until("2026-04-10 08:00")
    with clock_set(site, -jump):
        pass
    site.tick_until("2026-04-12 12:00")
    assert ledger(site.site, campaign) == ("finished", 0, 3, 0, 0, 0)
    assert site.every_status() == ["finished"]
    assert len(site.provider.taken) == 3


# -- clocks beside each other -----------------------------------------------------------------------


def test_clocks_that_tick_at_the_same_moment_make_one_campaign_and_one_freeze(site: PlannedSite) -> None:
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    site.approve()
    site.move_to("2026-04-10 07:00")
    at_once = Barrier(CLOCKS)
    databases = [Database(site.site.settings.database_url) for _ in range(CLOCKS)]

    def tick(database: Database) -> list[int]:
        rooms = Rooms.of(site.site.settings, database, site.clock)
        at_once.wait()
        due.at_start(rooms)
        return due.look(rooms, site.clock.now)

    with ThreadPoolExecutor(CLOCKS) as threads:
        frozen = [campaign for ticked in threads.map(tick, databases) for campaign in ticked]
    for database in databases:
        database.close()
    assert len(frozen) == 1
    assert site.every_status() == ["sending"]
    assert site.letters(site.issue()) == 3


PROCESS = """
import sys
from datetime import datetime
from pathlib import Path
from mailer.config import load_settings
from mailer.database import Database
from mailer.service import due
from mailer.service.rooms import Rooms

config, moment = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
settings = load_settings(config)
database = Database(settings.database_url)
rooms = Rooms.of(settings, database, lambda: moment)
print("ready", flush=True)
sys.stdin.readline()
due.at_start(rooms)
for _ in range(5):
    for campaign in due.look(rooms, moment):
        print("froze", campaign, flush=True)
database.close()
"""


def test_processes_that_each_tick_make_one_campaign_and_one_freeze(site: PlannedSite) -> None:
    config = site.site.settings.root / "config.toml"
    config.write_text(
        config.read_text().replace("[newsletter]", '[schedule]\nweekly = "fri 07:30"\n\n[newsletter]', 1)
    )
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    site.approve()
    moment = site.at("2026-04-10 07:00")
    ticking_ones = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(config), moment.isoformat()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in ticking_ones:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in ticking_ones:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0] for process in ticking_ones]
    assert [process.returncode for process in ticking_ones] == [0] * PROCESSES
    assert sum(text.count("froze") for text in said) == 1
    assert site.every_status() == ["sending"]
    assert site.letters(site.issue()) == 3


def test_two_schedulers_in_one_process_are_harmless(site: PlannedSite) -> None:
    campaign = site.plan(FRIDAY)
    site.move_to("2026-04-10 07:00")
    clocks = [Clock(site.clock) for _ in range(2)]
    ticks = Barrier(3, timeout=60)

    def tick(now: datetime) -> None:
        ticking.tick(site.rooms, now)
        ticks.wait()

    for clock in clocks:
        clock.every(0.01, tick, name="tick", at_once=True)
        clock.start()
    ticks.wait()  # both have ticked
    ticks.abort()
    for clock in clocks:
        clock.stop()
    assert site.every_status() == ["sending"]
    assert ledger(site.site, campaign) == ("sending", 3, 0, 0, 0, 0)


def test_a_step_that_fails_leaves_the_others_their_turn(
    site: PlannedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def full_disk(_rooms: Rooms, _now: datetime) -> None:
        raise OSError("no space left on device")

    steps = (ticking.Step("first", full_disk), ticking.Step("second", lambda _rooms, now: done.append(now)))
    monkeypatch.setattr(ticking, "STEPS", steps)
    ticking.tick(site.rooms, NOON)
    assert done == [NOON]


def test_a_database_that_woke_up_elsewhere_plans_and_freezes_nothing(site: PlannedSite) -> None:
    campaign = site.plan(FRIDAY)
    site.rooms.home.file.unlink()
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    site.move_to("2026-04-10 07:00")
    assert site.tick() == []
    assert site.states() == {FRIDAY: "pending"}
    assert site.status(campaign).status == "scheduled"
    adopting.adopt(site.rooms)
    assert site.tick() == [campaign]
    assert rows(site) == 2, "and the weekly rule holds"
