"""Brings the database's log home beside the writer of hits: a commit that has to do it keeps readers waiting.

Only a log that is home to its last page begins anew, and pages come in while the keeper works. So when
it has grown long, the keeper brings home all but a few pages, and the writer those between two groups.
"""

import queue
import threading
from enum import Enum, auto

import structlog

from mailer.database import Database

# Hits between two walks of the log into the database: about 25 MB of pages.
LOG_HITS = 5_000
# Hits after which the log must begin anew: about 250 MB. Readers wait for the disk three times then.
LONG_LOG_HITS = 50_000

log = structlog.get_logger()


class _Walk(Enum):
    """Where the keeper stands: the writer sets NONE and ASKED, the keeper ENDED alone."""

    NONE = auto()
    ASKED = auto()
    ENDED = auto()


class LogKeeper:
    """Walks when `wrote` asks. Both counts are the writer's own; the keeper reads the longer one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hits = 0
        self._hits_in_log = 0
        self._walk = _Walk.NONE
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._walk = _Walk.NONE  # nobody else runs now
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join()
            self._thread = None

    def wrote(self, hits: int) -> None:
        """Of the writer's thread, after each group."""
        self._hits += hits
        self._hits_in_log += hits
        if self._walk is _Walk.ENDED:
            self._walk = _Walk.NONE
            if self._hits_in_log >= LONG_LOG_HITS:
                self._bring_home()
                self._hits_in_log = 0
        elif self._walk is _Walk.NONE and self._hits >= LOG_HITS:
            self._hits = 0
            self._walk = _Walk.ASKED
            self._asked.put(True)

    def _run(self) -> None:
        while self._asked.get():
            try:
                self._bring_home()
                if self._hits_in_log >= LONG_LOG_HITS:
                    # What came during the first walk, so that little is left to the writer.
                    self._bring_home()
            finally:
                self._walk = _Walk.ENDED

    def _bring_home(self) -> None:
        try:
            self._database.tend_log()
        except Exception:  # of any kind: it must end neither thread, or every later reader waits
            # Nothing is lost: the log is longer until the next walk.
            log.exception("the log was not brought home")
