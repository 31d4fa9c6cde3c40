"""One, two and four `mailer worker` processes hand over the same campaign; on SQLite and on PostgreSQL.

    python -m bench.workers [READERS]
    DATABASE_URL=postgresql://… python -m bench.workers [READERS]   (both; it makes and drops its databases)

Twice each: with a provider that answers after 150 ms, where a single process is busy all the time, and with
one that takes 1,000 ms, where processes wait. That nothing was claimed twice is read from the attempts, that
nothing went twice from the provider's own count. On PostgreSQL the workers take Procrastinate's jobs.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
from sqlalchemy import create_engine, func, make_url, select, text

from bench.handover import sink
from bench.site import SLUG, make_site
from mailer.delivery import standing
from mailer.service import Mailer
from mailer.site import set_keys
from mailer.tables import attempts

READERS = 1_000_000
WORKERS = (1, 2, 4)
LATENCIES_MS = (150, 1_000)
LOOK_SECONDS = 0.1


def main(readers: int = READERS) -> None:
    for server in ("", *filter(None, [os.environ.get("DATABASE_URL", "")])):
        for latency in LATENCIES_MS:
            alone = 0.0
            for workers in WORKERS:
                rate = measure(readers, latency, workers, server)
                alone = alone or rate
                print(f"        {rate / alone:.2f} times one worker", flush=True)


def measure(readers: int, latency: int, workers: int, server: str) -> float:
    """One line of figures; readers a second."""
    with tempfile.TemporaryDirectory() as folder, sink(latency) as address, database(server) as url:
        place = Path(folder)
        site = make_site(place, readers, sendgrid_host=address, database_url=url)
        if server:
            set_keys(place / "config.toml", {("sending", "engine"): "procrastinate"})
        site.database.close()
        with Mailer.open(place / "config.toml") as mailer:
            campaign = mailer.start(mailer.plan(SLUG))
            mailer.pause(campaign)  # until every worker is awake: starting Python is not what is measured
            running = [_worker(place) for _ in range(workers)]
            try:
                for process in running:
                    assert process.stdout is not None
                    process.stdout.readline()
                started = time.perf_counter()
                mailer.resume(campaign)
                state = _until_over(mailer, campaign)
                seconds = time.perf_counter() - started
            finally:
                for process in running:
                    process.send_signal(signal.SIGTERM)
                for process in running:
                    process.communicate()
            with mailer.database.reader() as connection:
                calls = connection.execute(
                    select(attempts.c.chunk_id, func.count()).group_by(attempts.c.chunk_id)
                )
                twice = sum(number > 1 for _, number in calls)
        taken = orjson.loads(urllib.request.urlopen(f"{address}/count").read())["personalizations"]
    print(
        f"{'PostgreSQL' if server else 'SQLite':10} {latency:5} ms {workers} workers: {state.accepted:9,} of "
        f"{state.frozen:,} in {seconds:6.1f} s: {state.accepted / seconds:7,.0f} readers/s; "
        f"{twice} chunks called twice, {taken - state.frozen:+,} at the provider"
    )
    return state.accepted / seconds


def _worker(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mailer", "worker", "--config", str(folder / "config.toml")]
    # Every call is a line of its log.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _until_over(mailer: Mailer, campaign: int) -> standing.CampaignState:
    while True:
        with mailer.database.reader() as connection:
            state = standing.status(connection, campaign)
        if state.status != "sending":
            return state
        time.sleep(LOOK_SECONDS)


@contextlib.contextmanager
def database(server: str) -> Iterator[str]:
    """A database for one measurement: a file in its folder, or one on the server."""
    if not server:
        yield "sqlite:///data/mailer.db"
        return
    address = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    name = f"bench_{os.getpid()}_{time.monotonic_ns()}"
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            yield address.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
