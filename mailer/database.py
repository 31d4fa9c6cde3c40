"""The engines of a process: two that write, one that reads, one that only brings the log home.

`ledger` commits to the disk (synchronous FULL): what it said happened survives a power cut.
`tracking` commits to the log (NORMAL): a cut may cost the last hits, never a letter.
`reader` cannot write. A freeze (`staging`) and an import (`bulk`) have a writing connection of their own
while they last. No network call belongs inside any of their blocks.
Whoever writes is the only one who does, on a server too: what a transaction reads first stays true.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import QueuePool

from mailer import dialect, memory
from subscribers.errors import NewsletterError

MIGRATIONS = Path(__file__).with_name("migrations")
# Threads of one process wait for its one write connection this long before they give up.
POOL_TIMEOUT_SECONDS = 60
# Pages of the log (64 MB) between two checkpoints of a bulk load: neighbouring writes meet there.
BULK_CHECKPOINT_PAGES = 16_000
# The same (32 MB) of daily work: each event touches a page of every index, and a checkpoint holds up
# the readers who wait for their hits.
CHECKPOINT_PAGES = 8_000
# The same (512 MB) of hits and what is made of them: their keeper and the clock bring the log home long
# before, so a commit does it only where both fail.
TRACKING_CHECKPOINT_PAGES = 128_000


class Database:
    """Opens nothing until it is used; `close()` ends every connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._ledger = _engine(
            url, writes=True, full_sync=True, connections=1, checkpoint_pages=CHECKPOINT_PAGES
        )
        self._tracking = _engine(
            url, writes=True, full_sync=False, connections=1, checkpoint_pages=TRACKING_CHECKPOINT_PAGES
        )
        self._keeper = _engine(
            url, writes=True, full_sync=False, connections=1, cache_kib=dialect.READER_CACHE_KIB
        )
        self._reader = _engine(
            url, writes=False, full_sync=False, connections=8, cache_kib=dialect.READER_CACHE_KIB
        )

    @contextmanager
    def ledger(self) -> Iterator[Connection]:
        """One durable write transaction: commits at the end, rolls back on an exception."""
        with self._ledger.begin() as connection:
            yield connection

    @contextmanager
    def tracking(self) -> Iterator[Connection]:
        """One write transaction for hits and events."""
        with self._tracking.begin() as connection:
            yield connection

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """One read snapshot."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def staging(self) -> Iterator[Connection]:
        """A connection of its own, in no transaction: temporary tables first, one short commit last.

        `with staged(connection):` begins without the write lock, `with connection.begin():` with it.
        """
        engine = _engine(
            self.url,
            writes=True,
            full_sync=True,
            connections=1,
            cache_kib=dialect.BULK_CACHE_KIB,
            is_freeze=True,
        )
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
            memory.give_back()

    @contextmanager
    def bulk(self) -> Iterator[Callable[[], AbstractContextManager[Connection]]]:
        """A way to open many write transactions that can be repeated (an import).

        They are durable when the block ends; a power cut before may undo the last of them.
        """
        engine = _engine(
            self.url,
            writes=True,
            full_sync=False,
            connections=1,
            cache_kib=dialect.IMPORT_CACHE_KIB,
            checkpoint_pages=BULK_CHECKPOINT_PAGES,
        )
        try:
            yield engine.begin
        finally:
            dialect.checkpoint(engine)
            engine.dispose()
            memory.give_back()

    def tend_log(self) -> None:
        """Bring the log home beside whoever writes, so that no commit has to; for hits and clock."""
        dialect.checkpoint(self._keeper)

    def empty_log(self, wait_ms: int) -> bool:
        """Leave nothing in the log; False when others still read in it after so long."""
        return dialect.truncate_journal(self._keeper, wait_ms)

    @property
    def ledger_engine(self) -> Engine:
        return self._ledger

    def close(self) -> None:
        for engine in (self._ledger, self._tracking, self._reader, self._keeper):
            engine.dispose()

    # -- schema ---------------------------------------------------------------------------------

    def schema_version(self) -> str | None:
        """The migration this database stands at; None when it is empty."""
        with self._ledger.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def newest_version(self) -> str:
        return newest_schema()

    def upgrade(self) -> bool:
        """Create or migrate the schema; False when it was current already.

        Raises NewsletterError on the schema of a newer version.
        """
        before = self.schema_version()
        if before == self.newest_version():
            return False
        require_known(before)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        engine = _engine(self.url, writes=True, full_sync=True, connections=1, migrates=True)
        config.attributes["engine"] = engine
        try:
            command.upgrade(config, "head")
        finally:
            engine.dispose()
        return True

    def require_current_schema(self) -> None:
        """Refuse to work on an older or unknown schema."""
        found = self.schema_version()
        if found != self.newest_version():
            require_known(found)
            state = "has no tables yet" if found is None else f"is at schema {found}"
            raise NewsletterError(f"the database {state}.", cure="Run 'mailer upgrade' first.")


def newest_schema() -> str:
    """The migration that the newest database stands at."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def require_known(version: str | None) -> None:
    """Refuse a schema that no migration of this version leads to."""
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    if version is not None and version not in {script.revision for script in scripts}:
        raise NewsletterError(
            f"the database is at schema {version}, which a newer version of this program made.",
            field="[database] url",
            cure="Install that version, or name another database.",
        )


@contextmanager
def staged(connection: Connection) -> Iterator[None]:
    """One transaction that writes temporary tables only: nobody else waits for it."""
    connection.execution_options(**{dialect.STAGING: True})
    try:
        with connection.begin():
            dialect.keep_snapshot(connection)
            yield
    finally:
        connection.execution_options(**{dialect.STAGING: False})


def _engine(
    url: str,
    *,
    writes: bool,
    full_sync: bool,
    connections: int,
    cache_kib: int = dialect.WRITER_CACHE_KIB,
    checkpoint_pages: int | None = None,
    is_freeze: bool = False,
    migrates: bool = False,
) -> Engine:
    arguments: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_SECONDS,
        # An error that is logged must not carry the address or name that a statement was given.
        "hide_parameters": True,
    }
    engine = create_engine(url, **arguments, **dialect.engine_arguments(url, writes=writes))
    dialect.prepare(
        engine,
        writes=writes,
        full_sync=full_sync,
        cache_kib=cache_kib,
        checkpoint_pages=checkpoint_pages,
        is_freeze=is_freeze,
        migrates=migrates,
    )
    return engine
