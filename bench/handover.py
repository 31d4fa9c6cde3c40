"""Hands readers over to a sink that answers 202, at zero latency and at 150 ms; targets beside.

    python -m bench.handover [READERS]

The sink is a process of its own; the readers are made in another, so that memory is the sender's own.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.site import peak_mib
from mailer.config import load_settings
from mailer.database import Database
from mailer.delivery import campaigns, freeze, preflight
from mailer.delivery.audience import Audience
from mailer.delivery.engine import run_campaign
from mailer.delivery.send import Sending
from mailer.delivery.sendgrid import SendGrid
from mailer.editions.links import doors_of
from mailer.insight.leaves import registry
from mailer.issues import store
from mailer.links import Tokens

READERS = 200_000
LATENCIES = {0: 50_000, 150: 25_000}  # ms -> readers a second
MEMORY_TARGET_MIB = 200


def main(readers: int = READERS) -> None:
    for latency, target in LATENCIES.items():
        command = [sys.executable, "-m", "bench.handover", str(readers), str(latency), str(target)]
        subprocess.run(command, check=True)


def measure(readers: int, latency: int, target: int) -> None:
    with tempfile.TemporaryDirectory() as folder, sink(latency) as address:
        making = f"from pathlib import Path; from bench.site import make_site; make_site(Path({folder!r}), {readers}, sendgrid_host={address!r})"
        subprocess.run([sys.executable, "-c", making], check=True)
        settings = load_settings(Path(folder) / "config.toml")
        database = Database(settings.database_url)
        with database.reader() as connection:
            issue = store.load_issue(connection, "bench", settings)
        with database.ledger() as connection:
            campaign_id = campaigns.create(
                connection,
                issue_id=issue.issue_id or 0,
                revision_id=issue.revision_id or 0,
                audience=Audience().as_json(),
                sender=preflight.sender_of(settings),
                now=datetime.now(UTC),
            )
        freeze.freeze(
            database,
            campaign_id,
            settings=settings,
            leaves=lambda connection: registry(connection, settings),
            clock=lambda: datetime.now(UTC),
        )
        frozen_mib = peak_mib()
        transport = SendGrid.of(settings)
        tokens = Tokens([secret.get_secret_value() for secret in settings.web.secrets])
        sending = Sending(
            database, settings, tokens, doors_of(settings), transport, lambda: datetime.now(UTC)
        )
        started, cpu = time.perf_counter(), time.process_time()
        state = run_campaign(sending, campaign_id)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        transport.close()
        database.close()
    rate = state.accepted / seconds
    print(
        f"{latency:4} ms  {state.accepted:9,} accepted of {state.frozen:,} in {seconds:6.2f} s: "
        f"{rate:9,.0f} readers/s   target >= {target:,}   "
        f"({state.accepted / cpu:,.0f} a second of processor)"
    )
    print(
        f"         peak memory {peak_mib():.0f} MiB (freeze {frozen_mib:.0f})   target <= {MEMORY_TARGET_MIB} MiB"
    )


@contextlib.contextmanager
def sink(latency: int) -> Iterator[str]:
    """A process that answers 202 after so many milliseconds."""
    command = [sys.executable, "-m", "mailer.sandbox.sink", "--port", "0", "--latency-ms", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[-1])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(*(int(word) for word in sys.argv[1:]))
    else:
        main(*(int(word) for word in sys.argv[1:2]))
