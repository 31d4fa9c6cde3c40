"""What differs by database; nothing else in the house reads a dialect's name."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, Table, event, func, select
from sqlalchemy.sql.elements import ColumnElement

# SQLite before 3.51.3 can corrupt a WAL database when two connections write and checkpoint at the
# same moment (sqlite.org, release notes of 3.51.3).
SAFE_SQLITE = (3, 51, 3)
BUSY_TIMEOUT_MS = 30_000
# What a server may keep waiting for a row that another process holds.
LOCK_TIMEOUT_MS = 30_000
# How long a server waits for somebody who stands still in the middle of a write, or whose machine is gone.
STANDSTILL_SECONDS = 60
# The lock of every write on a server; any number that no other program on that database takes.
WRITING = 7_235_221
# Pages kept by one connection. A process has two that write and up to eight that read, and a sender
# should stay below 200 MiB; what is not kept here is read from the system's own cache.
WRITER_CACHE_KIB = 8_192
READER_CACHE_KIB = 8_192
# A freeze inserts into several trees of a million rows in the order of people.
BULK_CACHE_KIB = 24_576
# An import inserts into the index of addresses at random: 40 MB of a million, which should stay at hand.
IMPORT_CACHE_KIB = 49_152
JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024

# Execution option of a connection that fills temporary tables: it begins without the write lock.
STAGING = "staging"
# The same of one that brings the log home, which no transaction can.
UNBEGUN = "unbegun"


def sqlite_module() -> ModuleType:
    """The newest SQLite at hand: the pysqlite3 wheel, else the interpreter's own."""
    try:
        import pysqlite3
    except ImportError:
        import sqlite3

        return sqlite3
    module: ModuleType = pysqlite3
    return module


def sqlite_is_safe() -> bool:
    version: tuple[int, ...] = sqlite_module().sqlite_version_info
    return version >= SAFE_SQLITE


def is_sqlite(bind: Engine | Connection) -> bool:
    return bind.dialect.name == "sqlite"


def prepare(
    engine: Engine,
    *,
    writes: bool,
    full_sync: bool,
    cache_kib: int = WRITER_CACHE_KIB,
    checkpoint_pages: int | None = None,
    is_freeze: bool = False,
    migrates: bool = False,
) -> None:
    """Give an engine its settings and its kind of BEGIN.

    Writers begin IMMEDIATE, since a deferred one that reads first fails at once when another has
    written (busy_timeout does not help a stale snapshot). Readers cannot write at all. On a server writers
    wait for each other just so; but for a freeze, which takes too long there and adds rows only.
    """
    if not is_sqlite(engine):
        _prepare_server(engine, full_sync=full_sync, writes=writes, waits=writes and not is_freeze)
        return

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
        # Dropping a table, to make it anew, would take along whatever refers to its rows.
        cursor.execute(f"PRAGMA foreign_keys = {'OFF' if migrates else 'ON'}")
        cursor.execute(f"PRAGMA cache_size = -{cache_kib}")
        cursor.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
        cursor.execute("PRAGMA trusted_schema = OFF")
        cursor.execute("PRAGMA cell_size_check = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # an erased address leaves no trace in free pages
        if checkpoint_pages:
            cursor.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
        if not writes:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(UNBEGUN):
            locks = writes and not options.get(STAGING)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if locks else "BEGIN")


def references_hold(connection: Connection) -> bool:
    """Whether every row that refers to another still finds it; a server never lets it be otherwise."""
    return not is_sqlite(connection) or not connection.exec_driver_sql("PRAGMA foreign_key_check").all()


def _prepare_server(engine: Engine, *, full_sync: bool, writes: bool, waits: bool) -> None:
    """Give each session of a server our zone, our patience, and as much care for the disk as was asked."""

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if waits:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING})").close()

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        settings = {
            "timezone": "UTC",  # else a day would begin at the server's midnight
            "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
            "synchronous_commit": "on" if full_sync else "off",
            "jit": "off",  # compiling costs more than our longest counts
            "tcp_keepalives_idle": f"{STANDSTILL_SECONDS // 2}s",
            "tcp_keepalives_interval": f"{STANDSTILL_SECONDS // 6}s",
            "tcp_keepalives_count": "3",
            "idle_in_transaction_session_timeout": f"{STANDSTILL_SECONDS if writes else 0}s",
        }
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))
        connection.commit()
        connection.adapters.register_dumper(str, _texts())

    @event.listens_for(engine, "handle_error")
    def _say_no_value(context: ExceptionContext) -> None:
        # A server tells the whole row that it refused; an error that is logged must not.
        said, error = context.original_exception, context.sqlalchemy_exception
        primary = getattr(getattr(said, "diag", None), "message_primary", None)
        if primary and error is not None:
            said.args = (primary,)
            error.args = (f"({type(said).__module__}.{type(said).__qualname__}) {primary}",)


def keep_snapshot(connection: Connection) -> None:
    """Let all statements of a transaction that has just begun see the same moment, as on SQLite."""
    if not is_sqlite(connection):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


@cache
def _texts() -> type[Any]:
    """How a text travels to a server, which keeps no NUL: the sign for what cannot be shown, instead."""
    from psycopg.abc import Buffer
    from psycopg.types.string import StrDumperUnknown

    class WithoutNul(StrDumperUnknown):
        def dump(self, obj: str) -> Buffer | None:
            return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)

    return WithoutNul


def _json(value: Any) -> str:
    """JSON that a server can look into: no NUL, and no half of a pair of surrogates."""
    said = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in said:
        said = json.dumps(_shown(value), ensure_ascii=False)
    return said.encode("utf-8", "replace").decode()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def engine_arguments(url: str, *, writes: bool) -> dict[str, Any]:
    """What an engine is made with: the driver, and one snapshot for a reader, who can write nothing."""
    # How many rows a statement changed says who won; INSERT … SELECT does not tell unless asked.
    options: dict[str, Any] = {"preserve_rowcount": True}
    if url.startswith("sqlite:"):
        arguments = {"module": sqlite_module(), "connect_args": {"check_same_thread": False}}
        return {"execution_options": options, **arguments}
    arguments = {"json_serializer": _json}
    if writes:
        return {"execution_options": options, **arguments}
    options["postgresql_readonly"] = True
    return {"execution_options": options, "isolation_level": "REPEATABLE READ", **arguments}


def json_text(bind: Engine | Connection, column: Any, key: str) -> ColumnElement[Any]:
    """The text under one key of a JSON column; NULL when absent."""
    if is_sqlite(bind):
        return func.json_extract(column, '$."' + key.replace('"', '\\"') + '"')
    extracted: ColumnElement[Any] = column.op("->>")(key)
    return extracted


def load(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write many rows of values as the driver takes them; on a server by COPY, ten times as fast."""
    named = ", ".join(f'"{column}"' for column in columns)
    # The names are those of our own tables, the values travel apart from them.
    if is_sqlite(connection):
        places = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{table}" ({named}) VALUES ({places})'  # noqa: S608
        connection.exec_driver_sql(statement, [tuple(row) for row in rows])
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def last_ids(connection: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """The highest id that each table ever gave: no later row may get it again."""
    if is_sqlite(connection):
        found = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
        given: dict[str, int] = {row.name: row.seq for row in found}
        return {table.name: given[table.name] for table in tables if table.name in given} | {
            table.name: connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
            for table in tables
            if table.name not in given and table.autoincrement_column is not None
        }
    return {
        table.name: connection.exec_driver_sql(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {_sequence(connection, table.name)}"  # noqa: S608
        ).scalar_one()
        for table in tables
        if table.autoincrement_column is not None
    }


def set_last_ids(connection: Connection, last: Mapping[str, int]) -> None:
    """Let each table go on counting after these ids."""
    for table, number in last.items():
        if number == 0:
            continue
        if is_sqlite(connection):
            # A table that may give an id again keeps no row there, and none is of use to it.
            given = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
            if "AUTOINCREMENT" in given.scalar_one():
                connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                connection.exec_driver_sql("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, number))
        else:
            sequence = _sequence(connection, table)
            connection.execute(select(func.setval(sequence, number)))


def _sequence(connection: Connection, table: str) -> str:
    return str(connection.execute(select(func.pg_get_serial_sequence(f'"{table}"', "id"))).scalar_one())


def analyze(connection: Connection) -> None:
    """Let a server know what was just written, before it plans for it."""
    if not is_sqlite(connection):
        connection.exec_driver_sql("ANALYZE")


def checkpoint(engine: Engine) -> None:
    """Bring everything that was committed to the disk, waiting for nobody."""
    _walk_log(engine, "PASSIVE")


def truncate_journal(engine: Engine, wait_ms: int = BUSY_TIMEOUT_MS) -> bool:
    """Move everything from the write-ahead log into the database and empty the log.

    False when somebody still read or wrote there after so long; nobody else can write meanwhile.
    """
    return _walk_log(engine, "TRUNCATE", wait_ms)


def _walk_log(engine: Engine, mode: str, wait_ms: int = BUSY_TIMEOUT_MS) -> bool:
    if not is_sqlite(engine):
        return True
    with engine.connect().execution_options(**{UNBEGUN: True}) as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms}").close()
        try:
            is_busy, *_ = connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})").one()
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").close()
    return not is_busy
