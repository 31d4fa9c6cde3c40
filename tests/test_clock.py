"""The alarm clock: a tick that fails is seen, and a wall clock that is set silences nothing."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from mailer import clock as clocks
from mailer.clock import Clock

# Longer than any machine of a test needs for one tick; nothing waits so long when all is well.
PATIENCE_SECONDS = 20.0


class Counted:
    """A tick that can be waited for."""

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self._news = threading.Condition()

    def __call__(self, now: datetime) -> None:
        with self._news:
            self.times.append(now)
            self._news.notify_all()

    def wait_for_more(self, count: int = 2) -> None:
        self.wait_for(len(self.times) + count)

    def wait_for(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.times) >= count, PATIENCE_SECONDS), "silence"


@pytest.fixture
def ticks() -> Counted:
    return Counted()


@pytest.fixture
def running(ticks: Counted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    monkeypatch.setattr(clocks, "WATCH_SECONDS", 0.05)
    clock = Clock(lambda: datetime.now(UTC))
    clock.every(0.05, ticks, name="counted")
    clock.start()
    yield clock
    clock.stop()


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=1), timedelta(days=3653)])
@pytest.mark.parametrize("direction", [1, -1], ids=["ahead", "back"])
@pytest.mark.usefixtures("running")
def test_a_clock_that_is_set_and_set_right_again_goes_on_ticking(
    ticks: Counted, jump: timedelta, direction: int
) -> None:
    ticks.wait_for_more()
    with time_machine.travel(datetime.now(UTC) + direction * jump, tick=True):
        ticks.wait_for_more()
    ticks.wait_for_more()


@pytest.mark.usefixtures("running")
def test_a_jump_far_ahead_is_no_storm_of_ticks(ticks: Counted) -> None:
    ticks.wait_for_more()
    before = len(ticks.times)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=3653), tick=True):
        ticks.wait_for_more(3)
        assert len(ticks.times) - before < 20
    assert len(set(ticks.times)) == len(ticks.times)


def test_a_tick_may_be_due_at_once(ticks: Counted) -> None:
    clock = Clock(lambda: datetime.now(UTC))
    clock.every(3600, ticks, name="rare", at_once=True)
    clock.start()
    try:
        ticks.wait_for(1)
    finally:
        clock.stop()


def test_a_tick_that_fails_is_tried_again(ticks: Counted) -> None:
    def fails_first(now: datetime) -> None:
        ticks(now)
        if len(ticks.times) == 1:
            raise OSError("disk full")

    clock = Clock(lambda: datetime.now(UTC))
    clock.every(0.05, fails_first, name="fails")
    clock.start()
    try:
        ticks.wait_for(2)
    finally:
        clock.stop()
