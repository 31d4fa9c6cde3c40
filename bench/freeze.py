"""Freezes 1,000,000 readers and prints the time in all and under the write lock, the target beside.

    python -m bench.freeze [READERS]
"""

import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.site import CHOICES, make_site, peak_mib
from mailer.delivery import campaigns, freeze, preflight
from mailer.delivery.audience import Audience
from mailer.delivery.plan import make
from mailer.insight.leaves import registry

READERS = 1_000_000
TARGET_SECONDS = 6.0
TARGET_LOCK_SECONDS = 3.0
PROBE_SECONDS = 0.01


def main(readers: int = READERS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder), readers)
        with site.database.ledger() as connection:
            campaign_id = campaigns.create(
                connection,
                issue_id=site.issue.issue_id or 0,
                revision_id=site.issue.revision_id or 0,
                audience=Audience().as_json(),
                sender=preflight.sender_of(site.settings),
                now=datetime.now(UTC),
            )
        started = time.perf_counter()
        with site.database.reader() as connection:
            make(
                connection,
                site.issue,
                Audience(),
                settings=site.settings,
                leaves=registry(connection, site.settings),
                now=datetime.now(UTC),
            )
        planned = time.perf_counter() - started
        probe = LockProbe(site.database)
        with probe:
            started = time.perf_counter()
            freeze.freeze(
                site.database,
                campaign_id,
                settings=site.settings,
                leaves=lambda connection: registry(connection, site.settings),
                clock=lambda: datetime.now(UTC),
            )
            seconds = time.perf_counter() - started
        with site.database.reader() as connection:
            state = campaigns.status(connection, campaign_id)
        print(f"readers {state.frozen:,} of {readers:,}, {len(CHOICES)} sets of topics, skipped {dict(state.skipped)}")
        print(f"plan (compose, before a person says yes)   {planned:6.2f} s")
        print(f"freeze                                     {seconds:6.2f} s   target <= {TARGET_SECONDS} s")
        print(f"longest wait of another writer             {probe.longest:6.2f} s   target <= {TARGET_LOCK_SECONDS} s")
        print(f"peak memory of this process                {peak_mib():6.0f} MiB target <= 200 MiB")
        site.database.close()


class LockProbe:
    """Another writer of the same file, as a web server is: how long it ever waited."""

    def __init__(self, database: object) -> None:
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
            with self._database.tracking():  # type: ignore[attr-defined]
                pass
            self.longest = max(self.longest, time.perf_counter() - started)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
