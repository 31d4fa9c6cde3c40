"""The alarm clock of a process: APScheduler ticks, our rows decide what is due.

No job of ours is ever stored in it (its stores lose, miss and double jobs; docs/decisions). Losing
every tick costs punctuality only, and two clocks beside each other are harmless.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.background import BackgroundScheduler

Tick = Callable[[datetime], object]

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

    def every(self, seconds: float, tick: Tick, *, name: str) -> None:
        """Have `tick(now)` called every so many seconds."""
        self._scheduler.add_job(lambda: tick(self._now()), "interval", seconds=seconds, id=name, name=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """End after the running ticks."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)


def _report(failure: Any) -> None:
    # The next tick tries again; what failed must be seen.
    log.error("tick failed", tick=failure.job_id, error=type(failure.exception).__name__)
