"""The alarm clock of a process: APScheduler ticks, our rows decide what is due.

No job of ours is ever stored in it (its stores lose, miss and double jobs; docs/decisions). Losing
every tick costs punctuality only, and two clocks beside each other are harmless. It goes by the wall
clock, which may be set by an hour or ten years: then every tick is due at once, and in its rhythm again.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

Tick = Callable[[datetime], object]

# How often the wall clock is held against the one that nobody can set …
WATCH_SECONDS = 1.0
# … and how far they may drift apart meanwhile: a clock that is slewed gains or loses far less.
JUMP_SECONDS = 0.5

log = structlog.get_logger()


class Clock:
    """Calls each tick at its interval, in a thread of its own, with the time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            # However long the machine slept: one run, whenever it wakes.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR)
        self._stopped = threading.Event()
        self._watch = threading.Thread(target=self._watch_clocks, name="clock watch", daemon=True)

    def every(self, seconds: float, tick: Tick, *, name: str, at_once: bool = False) -> None:
        """Have `tick(now)` called every so many seconds; the first time after them, or `at_once`."""
        trigger = _Every(timedelta(seconds=seconds))
        first = {"next_run_time": datetime.now(self._scheduler.timezone)} if at_once else {}
        self._scheduler.add_job(lambda: tick(self._now()), trigger, id=name, name=name, **first)

    def start(self) -> None:
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """End after the running ticks."""
        self._stopped.set()
        if self._watch.is_alive():
            self._watch.join()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _watch_clocks(self) -> None:
        """Aim every job anew when the wall clock was set: set back, it would be silent until then."""
        apart = _clocks_apart()
        while not self._stopped.wait(WATCH_SECONDS):
            before, apart = apart, _clocks_apart()
            if abs(apart - before) > JUMP_SECONDS:
                log.warning("the clock was set", seconds=round(apart - before, 1))
                self.aim_anew()

    def aim_anew(self) -> None:
        """Have every tick due now."""
        now = datetime.now(self._scheduler.timezone)
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=now)


class _Every(BaseTrigger):  # type: ignore[misc]
    """A rhythm that never catches up: APScheduler's own counts each run of a jump of ten years."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + self._interval


def _clocks_apart() -> float:
    """The wall clock minus the monotonic one, in seconds: constant while nobody sets the former."""
    return time.time() - time.monotonic()


def _report(failure: Any) -> None:
    # The next tick tries again; what failed must be seen.
    log.error("tick failed", tick=failure.job_id, error=type(failure.exception).__name__)
