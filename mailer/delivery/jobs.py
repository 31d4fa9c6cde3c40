"""Chunks as Procrastinate jobs, so that workers of several machines hear of them at once. PostgreSQL only.

A job says "campaign 7 may have a chunk to go" and nothing more: whoever takes it calls `run_once`, and the
ledger decides. Jobs are deferred in the transaction that makes the work; losing or doubling one costs
time or a look, never a letter. `top_up` mends what was lost, `rescue` frees what a dead worker took.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from sqlalchemy import Connection, String, cast, column, func, inspect, or_, select, table

from mailer.database import Database
from mailer.delivery import reconcile
from mailer.delivery.engine import FAILURE_SECONDS, STOP_SECONDS
from mailer.delivery.owners import new_owner
from mailer.delivery.send import Sending, Worked, run_once
from mailer.models import CampaignStatus, ChunkState
from mailer.tables import campaigns, chunks

QUEUE = "chunks"
TASK = "take a chunk"
# Jobs of one campaign that wait at a time: more than the slots of any fleet, far fewer than the chunks
# of a large campaign. Whoever takes the last of them puts in the next.
JOBS_WAITING = 64
# A worker hears of a job by NOTIFY; where that does not arrive (a pooler in between), it looks this often.
POLL_SECONDS = 1.0
# Without a sign of life for so long a worker is dead: its job goes to another, its chunk by the lease.
STALLED_SECONDS = 30.0

_jobs = table("procrastinate_jobs", column("queue_name"), column("status"), column("args"))

log = structlog.get_logger()


class Jobs:
    """The queue beside the ledger, in the same database. Close it."""

    def __init__(self, database_url: str) -> None:
        self._conninfo = database_url.replace("+psycopg", "", 1)
        # Deferring only: every job goes in on the connection of the transaction that makes the work.
        connector = SyncPsycopgConnector(conninfo=self._conninfo, min_size=0, open=False)
        self._deferring = App(connector=connector)
        self._in_hand: set[str] = set()

    def lay_out(self, database: Database) -> bool:
        """Give an upgraded database the queue's own tables, or bring them up to date; False when they are."""
        newest = self._migrations()[-1].name
        with database.reader() as connection:
            found = _laid_out(connection)
        if found == newest:
            return False
        with database.ledger() as connection:
            found = _laid_out(connection)  # somebody else may have been first
            for sql in self._to_apply(found):
                connection.exec_driver_sql(sql.replace("%", "%%"))
            connection.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS '{newest}'")
        return True

    def _to_apply(self, found: str | None) -> list[str]:
        if found is None:
            return [self._deferring.schema_manager.get_schema()]
        return [path.read_text(encoding="utf-8") for path in self._migrations() if path.name > found]

    def _migrations(self) -> list[Path]:
        """The library's own, by version; their names sort in the order in which they are applied."""
        return sorted(Path(self._deferring.schema_manager.get_migrations_path()).glob("*.sql"))

    def defer(self, connection: Connection, campaign_id: int, number: int) -> None:
        """Put jobs into the queue, in the transaction of `connection`; workers hear of them at its commit."""
        waiting = self._deferring.configure_task(
            TASK, queue=QUEUE, connection=connection.connection.driver_connection
        )
        job: dict[str, Any] = {"campaign": campaign_id}
        waiting.batch_defer(*[job] * min(number, JOBS_WAITING))

    def top_up(self, connection: Connection, now: datetime, campaign_id: int | None = None) -> int:
        """See that a campaign whose chunks may go has jobs; of each, or of that one. Jobs put in."""
        made = 0
        for row in connection.execute(_short_of_jobs(now, campaign_id)):
            self.defer(connection, row.campaign, row.chunks)
            made += min(row.chunks, JOBS_WAITING)
        return made

    def work(self, sending: Sending, stopped: threading.Event) -> None:
        """Take jobs until `stopped`; calls in flight end first, for ten seconds."""
        asyncio.run(self._work(sending, stopped))

    async def _work(self, sending: Sending, stopped: threading.Event) -> None:
        # The library runs plain functions in the loop's own threads, of which there may be fewer.
        threads = ThreadPoolExecutor(sending.settings.sending.threads + 1, "chunk")
        asyncio.get_running_loop().set_default_executor(threads)
        stop = asyncio.create_task(asyncio.to_thread(stopped.wait))
        while not stop.done():
            try:
                await self._work_while_connected(sending, stop)
            except Exception as error:  # noqa: BLE001 - whatever it was, a worker that lives must work
                log.warning("the queue cannot be reached; trying again", error=type(error).__name__)
            await asyncio.wait({stop}, timeout=FAILURE_SECONDS)
        self._leave(sending)

    async def _work_while_connected(self, sending: Sending, stop: asyncio.Task[bool]) -> None:
        """One worker of the library's, until `stop`, or until the database leaves it."""
        app = App(connector=PsycopgConnector(conninfo=self._conninfo, timeout=FAILURE_SECONDS))

        @app.task(name=TASK, queue=QUEUE)
        def take(campaign: int) -> None:
            self._take(sending, campaign)

        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=sending.settings.sending.threads,
                    delete_jobs="always",
                    install_signal_handlers=False,
                    listen_notify=True,
                    fetch_job_polling_interval=POLL_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                    shutdown_graceful_timeout=STOP_SECONDS,
                )
            )
            rescuer = asyncio.create_task(_rescue_again_and_again(app))
            await asyncio.wait({worker, rescuer, stop}, return_when=asyncio.FIRST_COMPLETED)
            rescuer.cancel()
            worker.cancel()
            await asyncio.wait({worker, rescuer}, timeout=STOP_SECONDS + 1)
            for task in (worker, rescuer):
                if task.done() and not task.cancelled():
                    task.result()

    def _take(self, sending: Sending, campaign_id: int) -> None:
        """One job: one chunk of the campaign, and the next jobs when this was the last."""
        owner = new_owner()
        self._in_hand.add(owner)
        try:
            step = run_once(sending, owner, campaign_id)
        finally:
            self._in_hand.discard(owner)
        if step.worked is not Worked.IDLE:
            with sending.database.ledger() as connection:
                self.top_up(connection, sending.clock(), campaign_id)

    def _leave(self, sending: Sending) -> None:
        """Hold what has no answer yet: this process is about to end."""
        leaving = list(self._in_hand)
        if leaving:
            with sending.database.ledger() as connection:
                reconcile.leave(connection, leaving, sending.clock(), sending.deadline)

    def close(self) -> None:
        self._deferring.close()


async def rescue(app: App, silent_seconds: float = STALLED_SECONDS) -> int:
    """Give the jobs of dead workers to others, which the library leaves to us. How many."""
    stalled = list(
        await app.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=silent_seconds)
    )
    freed = 0
    for job in stalled:
        try:
            await app.job_manager.retry_job(job)
        except ConnectorException:
            continue  # another worker was faster
        freed += 1
        log.warning("job of a dead worker goes again", job=job.id)
    return freed


async def _rescue_again_and_again(app: App) -> None:
    while True:
        await rescue(app)
        await asyncio.sleep(STALLED_SECONDS / 2)


def _laid_out(connection: Connection) -> str | None:
    """The migration at which the queue's tables stand; None: there are none."""
    if not inspect(connection).has_table("procrastinate_jobs"):
        return None
    return inspect(connection).get_table_comment("procrastinate_jobs")["text"] or ""


def _short_of_jobs(now: datetime, campaign_id: int | None) -> Any:
    """Campaigns of which a chunk may go and no job waits: (campaign, chunks)."""
    has_job = (
        select(_jobs.c.status)
        .where(
            _jobs.c.queue_name == QUEUE,
            cast(_jobs.c.status, String) == "todo",
            _jobs.c.args.op("->>")("campaign") == cast(campaigns.c.id, String),
        )
        .exists()
    )
    return (
        select(campaigns.c.id.label("campaign"), func.count().label("chunks"))
        .join(chunks, chunks.c.campaign_id == campaigns.c.id)
        .where(
            campaigns.c.status == CampaignStatus.SENDING,
            or_(campaigns.c.not_before.is_(None), campaigns.c.not_before <= now),
            chunks.c.state == ChunkState.WAITING,
            or_(chunks.c.not_before.is_(None), chunks.c.not_before <= now),
            ~has_job,
            *([campaigns.c.id == campaign_id] if campaign_id is not None else []),
        )
        .group_by(campaigns.c.id)
        .order_by(campaigns.c.id)
    )
