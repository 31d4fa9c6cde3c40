"""`mailer …` as real processes that can be killed, forked from one that has imported everything.

Importing takes a second, which hundreds of deaths cannot pay. Only the import is shared: each process
reads its configuration, opens its database and runs the command line as any other, and dies as any other.
"""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from mailer.config import ENV_PREFIX
from mailer.delivery import owners
from mailer.service import rooms
from subscribers import failpoints

KILLED = -signal.SIGKILL
# By how many seconds the clock of a process is ahead: fences take an hour.
LATER = "NEWSLETTER_TEST_LATER"
_PRELOADED = (
    "tests.kill.processes",
    "mailer.cli.commands",
    "mailer.service",
    "mailer.serving",
    "rich.progress",
    "uvicorn.protocols.http.httptools_impl",
    "psycopg",
    "tests.kill.warm",
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*_PRELOADED])
_starting = threading.Lock()


class Program:
    """One running `mailer`; what it says stands in a file."""

    def __init__(self, folder: Path, words: Sequence[str], variables: Mapping[str, str]) -> None:
        self.said = folder / f"said-{uuid.uuid4().hex[:8]}.txt"
        self._process = _context.Process(
            target=_run, args=(str(folder), tuple(words), dict(variables), str(self.said)), daemon=True
        )
        with _starting:
            self._process.start()
            # Each start looks how all others ended, which only one may read: whoever waits for it.
            vars(multiprocessing.process)["_children"].discard(self._process)
        assert self._process.pid is not None
        self.number = self._process.pid

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code, -9 for one that was killed. Fails when it is still there after so long."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise AssertionError(f"still running after {seconds} s; it said:\n{self.words}")
        self._process.close()
        return code

    def is_running(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.number, number)

    def stop(self) -> None:
        """Ask it to end, which it must do well."""
        self.send(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"it ended with {code}:\n{self.words}"

    def kill(self) -> None:
        """End it if it is still there."""
        if self._process.is_alive():
            self.send(signal.SIGKILL)
            self._process.join()

    @property
    def words(self) -> str:
        return self.said.read_text() if self.said.exists() else ""


def _clock_ahead(by: timedelta) -> type[datetime]:
    """What a process on another machine would read from a clock that is ahead of ours."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time(), tz) + by

    return Ahead


def _run(folder: str, words: Sequence[str], variables: Mapping[str, str], said: str) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    os.environ.update(variables)
    # What a process draws once when it is born, and a forked one would share with its brothers.
    vars(owners)["_PROCESS"] = uuid.uuid4().hex[:12]
    if later := float(variables.get(LATER, 0)):
        vars(rooms)["datetime"] = _clock_ahead(timedelta(seconds=later))
    failpoints.arm(os.environ)
    sys.argv = ["mailer", *words]
    from mailer.cli import main

    main()
