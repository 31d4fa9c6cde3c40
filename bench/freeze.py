"""Freezes 1,000,000 readers: time in all, and how long another writer waited at most; targets beside.

python -m bench.freeze [READERS]
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.site import CHOICES, make_elsewhere, new_campaign, open_site, peak_mib
from mailer.database import Database
from mailer.delivery import freeze, standing
from mailer.delivery.audience import Audience
from mailer.delivery.plan import make
from mailer.insight.leaves import registry

READERS = 1_000_000
TARGET_SECONDS = 6.0
TARGET_LOCK_SECONDS = 3.0
TARGET_MIB = 200
PROBE_SECONDS = 0.01


def main(readers: int = READERS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_elsewhere(Path(folder), readers)
        site = open_site(Path(folder))
        campaign_id = new_campaign(site)
        probe = LockProbe(site.database)
        with probe:
            seconds = _seconds(
                lambda: freeze.freeze(
                    site.database,
                    campaign_id,
                    settings=site.settings,
                    leaves=lambda connection: registry(connection, site.settings),
                    clock=lambda: datetime.now(UTC),
                )
            )
        memory = peak_mib()
        with site.database.reader() as connection:
            state = standing.status(connection, campaign_id)
            planned = _seconds(
                lambda: make(
                    connection,
                    site.issue,
                    Audience(),
                    settings=site.settings,
                    leaves=registry(connection, site.settings),
                    now=datetime.now(UTC),
                )
            )
        site.database.close()
    print(f"{readers:,} readers, {len(CHOICES)} sets of topics: {state.frozen:,} frozen, {state.skipped}")
    print(f"freeze                          {seconds:6.2f} s    target <= {TARGET_SECONDS} s")
    print(f"longest wait of another writer  {probe.longest:6.2f} s    target <= {TARGET_LOCK_SECONDS} s")
    print(f"peak memory                     {memory:6.0f} MiB  target <= {TARGET_MIB} MiB")
    print(f"a plan (what `send` shows)      {planned:6.2f} s")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class LockProbe:
    """Another writer of the same file, as a web server is: how long it ever waited."""

    def __init__(self, database: Database) -> None:
        self.longest = 0.0
        self._database = database
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._probe)

    def __enter__(self) -> "LockProbe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _probe(self) -> None:
        while not self._done.wait(PROBE_SECONDS):
            started = time.perf_counter()
            with self._database.tracking():
                pass
            self.longest = max(self.longest, time.perf_counter() - started)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
