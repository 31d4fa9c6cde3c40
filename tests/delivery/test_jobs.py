"""Chunks as Procrastinate jobs: put in with the work, taken by workers anywhere, never the truth."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from mailer.delivery.sendgrid import SendGrid
from mailer.sandbox.server import SandboxServer
from tests import databases
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider

if not databases.SERVER:
    pytest.skip("Procrastinate's jobs live on PostgreSQL: 'make test-postgres'", allow_module_level=True)

from procrastinate import App, PsycopgConnector

from mailer.delivery import jobs as jobs_room
from mailer.delivery.jobs import JOBS_WAITING, QUEUE, TASK, Jobs

CHUNK = 5


@pytest.fixture
def jobs(site: Site) -> Iterator[Jobs]:
    made = Jobs(site.settings.database_url)
    made.lay_out(site.database)
    with site.database.ledger() as connection:  # a database that another test has used may have the tables
        connection.execute(text("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE"))
    yield made
    made.close()


@pytest.fixture
def site(site: Site) -> Site:
    """With small chunks, and a clock that goes."""
    sending = site.settings.sending.model_copy(update={"chunk_size": CHUNK})
    site.settings = site.settings.model_copy(update={"sending": sending})
    site.clock.now = datetime.now(UTC)
    return site


def waiting(site: Site) -> int:
    with site.database.reader() as connection:
        found = connection.execute(text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"))
        return int(found.scalar_one())


def worker(jobs: Jobs, site: Site, transport: object) -> tuple[threading.Thread, threading.Event]:
    """One that works until the event is set."""
    stopped = threading.Event()
    sending = site.send_by(transport, clock=lambda: datetime.now(UTC))  # type: ignore[arg-type]
    thread = threading.Thread(target=jobs.work, args=(sending, stopped))
    thread.start()
    return thread, stopped


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about")


def test_the_queue_is_laid_out_once(site: Site, jobs: Jobs) -> None:
    assert not jobs.lay_out(site.database)


def test_jobs_are_put_in_with_the_freeze_or_not_at_all(site: Site, jobs: Jobs) -> None:
    site.add_many(CHUNK * 3)
    campaign = site.freeze()
    with site.database.ledger() as connection:
        assert jobs.top_up(connection, site.clock.now, campaign) == 3
        connection.rollback()
    assert waiting(site) == 0
    with site.database.ledger() as connection:
        assert jobs.top_up(connection, site.clock.now) == 3
    with site.database.ledger() as connection:
        assert jobs.top_up(connection, site.clock.now) == 0  # they still wait
    assert waiting(site) == 3


def test_a_large_campaign_does_not_flood_the_queue(site: Site, jobs: Jobs) -> None:
    site.add_many(CHUNK * (JOBS_WAITING + 10))
    site.freeze()
    with site.database.ledger() as connection:
        assert jobs.top_up(connection, site.clock.now) == JOBS_WAITING
    assert waiting(site) == JOBS_WAITING


def test_two_workers_send_every_letter_once(site: Site, jobs: Jobs, tmp_path: Path) -> None:
    site.add_many(CHUNK * (JOBS_WAITING + 20))
    campaign = site.freeze()
    other = Jobs(site.settings.database_url)
    with SandboxServer(database_path=tmp_path / "sandbox.db") as sandbox:
        transport = SendGrid(sandbox.url, "SG.test", deadline_seconds=20)
        workers = [worker(jobs, site, transport), worker(other, site, transport)]
        with site.database.ledger() as connection:
            jobs.top_up(connection, datetime.now(UTC))
        try:
            wait_for(lambda: site.status(campaign).status == "finished")
        finally:
            for _, stopped in workers:
                stopped.set()
            for thread, _ in workers:
                thread.join()
        transport.close()
        copies = Counter(row["email"] for row in sandbox.mailbox.rows("SELECT email FROM letter"))
    other.close()
    assert len(copies) == CHUNK * (JOBS_WAITING + 20)
    assert set(copies.values()) == {1}
    assert waiting(site) == 0


def test_a_job_without_work_costs_a_look(site: Site, jobs: Jobs) -> None:
    site.add_many(CHUNK)
    campaign = site.freeze()
    provider = Provider()
    with site.database.ledger() as connection:
        jobs.defer(connection, campaign, 10)
    thread, stopped = worker(jobs, site, provider)
    try:
        wait_for(lambda: waiting(site) == 0 and site.status(campaign).status == "finished")
    finally:
        stopped.set()
        thread.join()
    assert len(provider.taken) == CHUNK


def test_a_worker_outlives_the_loss_of_its_connections(
    site: Site, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_room, "FAILURE_SECONDS", 0.2)  # how long it waits before it tries again
    site.add_many(CHUNK * 2)
    provider = Provider()
    thread, stopped = worker(jobs, site, provider)
    try:
        wait_for(lambda: _listeners(site) > 0)
        with site.database.ledger() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
                )
            )
        campaign = site.freeze()
        with site.database.ledger() as connection:
            jobs.top_up(connection, datetime.now(UTC), campaign)
        wait_for(lambda: site.status(campaign).status == "finished")
    finally:
        stopped.set()
        thread.join()
    assert len(provider.taken) == CHUNK * 2


def _listeners(site: Site) -> int:
    with site.database.reader() as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
        return int(found.scalar_one())


def test_the_job_of_a_dead_worker_goes_to_another(site: Site, jobs: Jobs) -> None:
    site.add_many(CHUNK)
    campaign = site.freeze()
    with site.database.ledger() as connection:
        jobs.defer(connection, campaign, 1)
        # What a killed worker leaves: its last sign of life, and a job in its hands.
        dead = connection.execute(
            text(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '5 minutes') "
                "RETURNING id"
            )
        ).scalar_one()
        connection.execute(
            text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :dead"), {"dead": dead}
        )

    async def rescue() -> int:
        conninfo = site.settings.database_url.replace("+psycopg", "", 1)
        app = App(connector=PsycopgConnector(conninfo=conninfo))
        app.task(name=TASK, queue=QUEUE)(lambda campaign: None)
        async with app.open_async():
            return await jobs_room.rescue(app)

    assert waiting(site) == 0
    assert asyncio.run(rescue()) == 1
    assert waiting(site) == 1
