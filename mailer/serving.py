"""`mailer serve` and `mailer worker`: one clock and the threads that send, with or without readers' pages."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from mailer.clock import Clock
from mailer.insight import counts
from mailer.service import Mailer, alerts, erasing, ticking
from mailer.tracking import late, verdicts
from mailer.web.server import WebServer

# A verdict waits for its two-second window anyway; a person looking at the page should not wait longer.
SETTLE_SECONDS = 1.0
# Pages of large campaigns read kept numbers; somebody must renew them before a person asks.
COUNT_SECONDS = 30.0
# Every waiting event is looked at, so not too often.
LATE_SECONDS = 60.0
# Somebody hears of trouble within a minute; a job of its own, since a letter or post may take its time.
ALERT_SECONDS = 60.0
# What is settled and counted comes into the log as hits do, but nobody counts it there.
LOG_SECONDS = 60.0
# Who is told to stop is gone before this; a container that waits longer than 15 s is rare.
LEAVE_SECONDS = 14.0

log = structlog.get_logger()


def web_of(mailer: Mailer) -> WebServer:
    """The web server of a site, not yet listening; a context manager."""
    return WebServer(mailer.rooms)


def clock_of(mailer: Mailer) -> Clock:
    """The clock of a site, not yet ticking."""
    clock = Clock(mailer.rooms.now)
    clock.every(SETTLE_SECONDS, lambda now: verdicts.settle(mailer.database, now), name="settle verdicts")
    clock.every(LATE_SECONDS, lambda now: late.link_late(mailer.database, now), name="link late events")
    clock.every(ticking.TICK_SECONDS, lambda now: ticking.tick(mailer.rooms, now), name="tick", at_once=True)
    clock.every(erasing.LOOK_SECONDS, lambda _now: erasing.empty_log(mailer.database), name="finish erasures")
    clock.every(ALERT_SECONDS, lambda now: alerts.tend(mailer.rooms, now), name="tend alerts")
    clock.every(COUNT_SECONDS, lambda now: counts.refresh(mailer.database, now=now), name="renew numbers")
    clock.every(LOG_SECONDS, lambda _now: mailer.database.tend_log(), name="bring the log home")
    return clock


def work(mailer: Mailer) -> list[dict[str, Any]]:
    """Go on with campaigns until SIGINT or SIGTERM; where those under way stand then."""
    with stopped_by_signals() as stopped, _ticking(mailer):
        return mailer.work(stopped)


def serve(mailer: Mailer) -> None:
    """Serve until SIGINT or SIGTERM; calls in flight end, hits that wait are written."""
    # Ended from the right: letters first, while readers are still answered.
    with stopped_by_signals() as stopped, web_of(mailer) as web, _ticking(mailer), mailer.sending_threads():
        web.wait(stopped)


@contextmanager
def _ticking(mailer: Mailer) -> Iterator[None]:
    """The clock of a site, for as long as the context lasts."""
    ticking.at_start(mailer.rooms)
    clock = clock_of(mailer)
    clock.start()
    try:
        yield
    finally:
        clock.stop()


def _leave_in_time(is_over: threading.Event, ended: threading.Event) -> None:
    is_over.wait()
    if not ended.wait(LEAVE_SECONDS):
        log.warning("left without waiting longer", hint="the next start goes on with what was not ended")
        sys.stdout.flush()
        os._exit(0)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the handlers before are put back.

    What has not ended some seconds later is left as a killed process would leave it, which costs nothing.
    """
    stopped, is_over, ended = threading.Event(), threading.Event(), threading.Event()
    threading.Thread(target=_leave_in_time, args=(is_over, ended), name="leaving", daemon=True).start()

    def stop(_number: int, _frame: Any) -> None:
        stopped.set()
        is_over.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        ended.set()
        is_over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
