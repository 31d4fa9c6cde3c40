"""Processes that are told to stop, and processes that stand still for longer than their lease."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mailer import site as site_files
from mailer.cli import EXIT_STOPPED
from mailer.delivery import reconcile
from mailer.models import ChunkState
from mailer.sandbox.server import SandboxServer
from mailer.tables import attempts
from subscribers.failpoints import Point
from tests.kill.campaign import IMPORT, WORKER
from tests.kill.looking import chunks_in, stands_still, until
from tests.kill.world import CHUNK, World, world

READERS = 40


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, READERS) as made:
        made.run(*IMPORT)
        made.run("import", "examples/week-04.md")
        yield made


def start_campaign(here: World) -> None:
    """A campaign just frozen, of which nothing has gone."""
    assert here.dies("send", "week-04", "--yes", point=Point.FROZEN)


def stop_calls(sandbox: SandboxServer) -> None:
    """No call gets an answer any more."""
    sandbox.faults.add("timeout_after", seconds=3600, times=1000)


@pytest.mark.parametrize("command", ["worker", "serve"])
def test_who_is_told_to_stop_claims_nothing_more_and_shows_the_calls_without_an_answer(
    here: World, command: str
) -> None:
    start_campaign(here)
    here.fault("latency", seconds=0)
    stop_calls(here.sandbox)
    program = here.start(command)
    # The first call of a campaign goes alone; once it has passed there are two.
    until(lambda: chunks_in(here, ChunkState.SUBMITTING) == 2)
    began = time.monotonic()
    program.stop()
    assert time.monotonic() - began < 15
    state = here.state
    assert (state.status, state.accepted, state.held) == ("sending", CHUNK, 2 * CHUNK)
    with here.mailer.database.reader() as connection:
        said = connection.execute(select(attempts.c.detail).where(attempts.c.outcome == "uncertain"))
        assert set(said.scalars()) == {reconcile.LEFT}
    here.sandbox.faults.clear()
    here.run(*WORKER)
    verdict = here.require_clean()
    assert (verdict.arrived, verdict.held) == (READERS, 2 * CHUNK)  # taken: only nobody saw the answer


def test_answers_that_come_while_it_stops_are_recorded(here: World) -> None:
    start_campaign(here)
    here.fault("latency", seconds=2, times=1000)
    program = here.start("worker")
    until(lambda: chunks_in(here, ChunkState.ACCEPTED) == 1 and chunks_in(here, ChunkState.SUBMITTING) == 2)
    program.stop()
    assert (here.state.held, chunks_in(here, ChunkState.SUBMITTING)) == (0, 0)
    assert here.state.accepted == here.judge().arrived == 3 * CHUNK


@pytest.mark.parametrize("point", [Point.PEOPLE_STAGED, Point.FREEZING, Point.FREEZE_ENDING])
def test_a_worker_that_is_told_to_stop_in_a_freeze_ends_well_and_another_goes_on(
    here: World, point: Point
) -> None:
    assert here.dies("send", "week-04", "--yes", point=Point.CAMPAIGN_MADE)
    program = here.start("worker", point=point, act="stop")
    until(lambda: stands_still(program))
    program.send(signal.SIGTERM)
    program.send(signal.SIGCONT)
    assert program.wait() == 0
    here.run(*WORKER)
    assert here.require_clean().arrived == READERS


def test_a_send_that_is_told_to_stop_in_its_freeze_ends_with_the_words_how_to_go_on(here: World) -> None:
    program = here.start("send", "week-04", "--yes", point=Point.FREEZING, act="stop")
    until(lambda: stands_still(program))
    program.send(signal.SIGTERM)
    program.send(signal.SIGCONT)
    assert program.wait() == EXIT_STOPPED
    assert here.state.status == "sending"
    here.run(*WORKER)
    assert here.require_clean().arrived == READERS


@pytest.mark.parametrize(("point", "held"), [(Point.CLAIMED, 0), (Point.BEGUN, CHUNK), (Point.CALLED, CHUNK)])
def test_who_wakes_up_after_its_lease_changes_nothing_but_by_what_it_proves(
    here: World, point: Point, held: int
) -> None:
    # One thread: a second one could fall asleep with the write lock of a SQLite file in its hand.
    keys = {("sendgrid", "deadline_seconds"): 1, ("sending", "lease_seconds"): 2, ("sending", "threads"): 1}
    site_files.set_keys(here.folder / "config.toml", keys)
    start_campaign(here)
    sleeper = here.start(*WORKER, point=point, count=2, act="stop")
    until(lambda: stands_still(sleeper))
    here.run(*WORKER)  # waits until the lease is over, and goes on
    assert (here.state.status, here.state.held) == ("finished", held)
    sleeper.send(signal.SIGCONT)
    assert sleeper.wait() == 0
    # A call whose time was over before it began is not made, which is proof; so is a 202 in its hand.
    verdict = here.require_clean()
    assert (verdict.held, verdict.arrived) == (0, READERS)
