"""Threads that call `run_once` until nothing is left to do, or for as long as a server lives.

No state of delivery lives here: killing an engine at any moment loses nothing. A stop lets the calls in
flight end, for ten seconds; what has no answer then is uncertain. It starts no campaign and decides
nothing about one.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from mailer.delivery import reconcile, standing
from mailer.delivery.owners import new_owner
from mailer.delivery.send import Sending, Step, Worked, run_once
from mailer.delivery.standing import CampaignState
from mailer.trouble import passing_trouble

# Work may appear without our being told: another process resumes, a lease ends.
IDLE_SECONDS = 0.5
# After an unforeseen failure of a thread (a full disk, a locked database) before it tries again.
FAILURE_SECONDS = 5.0
PROGRESS_SECONDS = 0.2
# How long a process that is told to stop waits for the answers to its calls.
STOP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Engine:
    """N sending threads. With `until_done` they end when nothing is left; else by `stop` or `stopped`."""

    def __init__(
        self,
        sending: Sending,
        *,
        threads: int | None = None,
        campaign_id: int | None = None,
        until_done: bool = False,
        stopped: threading.Event | None = None,
    ) -> None:
        self._sending = sending
        self._campaign_id = campaign_id
        self._until_done = until_done
        self._stop = threading.Event()
        self._asked = stopped or threading.Event()  # the caller's: looked at, never set
        self._news = threading.Condition()
        self._failure: BaseException | None = None
        self._threads = {
            owner: threading.Thread(target=self._work, args=(owner,), name=f"sending-{number}", daemon=True)
            for number in range(threads or sending.settings.sending.threads)
            for owner in [new_owner()]
        }

    def __enter__(self) -> "Engine":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        for thread in self._threads.values():
            thread.start()

    def wake(self) -> None:
        """Say that there may be work."""
        with self._news:
            self._news.notify_all()

    def stop(self) -> None:
        """Claim nothing more, and wait for calls in flight; those without an answer become uncertain."""
        self._stop.set()
        self.wake()
        ends_at = time.monotonic() + STOP_SECONDS
        for thread in self._threads.values():
            if thread.is_alive():
                thread.join(max(0.0, ends_at - time.monotonic()))
        leaving = [owner for owner, thread in self._threads.items() if thread.is_alive()]
        if leaving:
            with self._sending.database.ledger() as connection:
                reconcile.leave(connection, leaving, self._sending.clock(), self._sending.deadline)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the threads to end by themselves; whether they have. Raises what broke one of them."""
        for thread in self._threads.values():
            thread.join(timeout_seconds)
            if thread.is_alive():
                return False
        if self._failure is not None:
            raise self._failure
        return True

    def _work(self, owner: str) -> None:
        while not self._is_ending():
            try:
                step = run_once(self._sending, owner, self._campaign_id)
            except Exception as failure:  # noqa: BLE001 - a thread of a server must outlive a full disk
                trouble = passing_trouble(failure)
                if trouble is not None:
                    _log.warning("%s Nothing is lost; sending goes on by itself.", trouble)
                elif self._until_done:
                    self._failure = failure
                    self._stop.set()
                    self.wake()
                    return
                else:
                    _log.exception("a sending thread failed; it goes on in %s s", FAILURE_SECONDS)
                self._rest_for(FAILURE_SECONDS)
                continue
            if step.worked is not Worked.IDLE:
                self.wake()
            elif self._until_done and step.wake_at is None:
                return
            else:
                self._rest(step)

    def _rest(self, step: Step) -> None:
        seconds = IDLE_SECONDS
        if step.wake_at is not None:
            until = (step.wake_at - self._sending.clock()).total_seconds()
            seconds = min(max(until, 0.0), IDLE_SECONDS)
        self._rest_for(seconds)

    def _rest_for(self, seconds: float) -> None:
        with self._news:
            if not self._is_ending():
                self._news.wait(seconds)

    def _is_ending(self) -> bool:
        return self._stop.is_set() or self._asked.is_set()


def run_campaign(
    sending: Sending,
    campaign_id: int,
    *,
    threads: int | None = None,
    on_progress: Callable[[CampaignState], None] | None = None,
    stopped: threading.Event | None = None,
) -> CampaignState:
    """Work on one campaign until it is finished, paused or cancelled, or `stopped`; where it stands then.

    A stop and KeyboardInterrupt let the calls in flight end; the latter is raised again.
    """
    with Engine(
        sending, threads=threads, campaign_id=campaign_id, until_done=True, stopped=stopped
    ) as engine:
        while not engine.join(PROGRESS_SECONDS):
            if on_progress is not None:
                on_progress(_state(sending, campaign_id))
    state = _state(sending, campaign_id)
    if on_progress is not None:
        on_progress(state)
    return state


def run_all(sending: Sending, *, threads: int | None = None) -> None:
    """Work on every campaign under way until nothing is left to do."""
    with Engine(sending, threads=threads, until_done=True) as engine:
        while not engine.join(PROGRESS_SECONDS):
            continue


def _state(sending: Sending, campaign_id: int) -> CampaignState:
    with sending.database.reader() as connection:
        return standing.status(connection, campaign_id)
