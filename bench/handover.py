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

from bench.site import make_elsewhere, new_campaign, open_site, peak_mib
from mailer.delivery import freeze
from mailer.delivery.engine import run_campaign
from mailer.delivery.send import Sending
from mailer.delivery.sendgrid import SendGrid
from mailer.insight.leaves import registry
from mailer.links import Tokens, doors_of

READERS = 200_000
LATENCIES = {0: 50_000, 150: 25_000}  # ms -> readers a second
TARGET_MIB = 200


def main(readers: int = READERS) -> None:
    for latency, target in LATENCIES.items():
        command = [sys.executable, "-m", "bench.handover", str(readers), str(latency), str(target)]
        subprocess.run(command, check=True)


def measure(readers: int, latency: int, target: int) -> None:
    """One line of figures: freeze, then hand over."""
    with tempfile.TemporaryDirectory() as folder, sink(latency) as address:
        make_elsewhere(Path(folder), readers, sendgrid_host=address)
        site = open_site(Path(folder))
        campaign_id = new_campaign(site)
        freeze.freeze(
            site.database,
            campaign_id,
            settings=site.settings,
            leaves=lambda connection: registry(connection, site.settings),
            clock=lambda: datetime.now(UTC),
        )
        frozen_mib = peak_mib()
        transport = SendGrid.of(site.settings)
        tokens = Tokens([secret.get_secret_value() for secret in site.settings.web.secrets])
        sending = Sending(
            site.database,
            site.settings,
            tokens,
            doors_of(site.settings),
            transport,
            lambda: datetime.now(UTC),
        )
        started, processor = time.perf_counter(), time.process_time()
        state = run_campaign(sending, campaign_id)
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
        transport.close()
        site.database.close()
    print(
        f"{latency:4} ms {state.accepted:9,} accepted of {state.frozen:,} in {seconds:6.2f} s:"
        f" {state.accepted / seconds:7,.0f} readers/s   target >= {target:,}"
        f"   ({state.accepted / processor:,.0f} for each second of processor)"
    )
    print(f"        peak memory {peak_mib():.0f} MiB (freeze {frozen_mib:.0f})   target <= {TARGET_MIB} MiB")


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
