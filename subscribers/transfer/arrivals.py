"""The temporary table in which a chunk of a file meets the people who are here already."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import UserDefinedType

from subscribers.models import UTCTime
from subscribers.transfer.cells import CACHE
from subscribers.transfer.merging import ImportRun, instant
from subscribers.transfer.people import Person


class JsonText(UserDefinedType[str]):
    """JSON that was written out already; it is stored as it stands."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


_metadata = MetaData()

TIMES = frozenset({"consent_at", "optin_at", "confirm_at", "left_at"})

arrival = Table(
    "arrival",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_hash", String),
    Column("email", String),
    Column("email_key", String),
    Column("name", String),
    Column("topics", BigInteger),
    Column("timezone", String),
    Column("consent_source", String),
    Column("consent_wording", String),
    Column("attributes", JsonText),
    Column("track_consent", Boolean),
    Column("consent_at", UTCTime),
    Column("optin_at", UTCTime),
    Column("confirm_at", UTCTime),
    Column("left_at", UTCTime),
    Column("subscriber_id", BigInteger),
    prefixes=["TEMPORARY"],
)

arrival_list = Table(
    "arrival_list",
    _metadata,
    Column("number", Integer),
    Column("list_id", Integer),
    prefixes=["TEMPORARY"],
)


def fill(connection: Connection, people: Sequence[Person], run: ImportRun) -> None:
    """Put a chunk in, numbered in the order of the file; the chunk before is gone."""
    for table in (arrival, arrival_list):
        connection.execute(CreateTable(table, if_not_exists=True))
        connection.execute(delete(table))
    stored = _time_storage(connection)
    texts = [name for name in run.fields if name not in TIMES]
    times = [name for name in run.fields if name in TIMES]
    pick_texts, pick_times = _picker(texts), _picker(times)
    _insert(
        connection,
        arrival,
        ["number", *texts, *times],
        [
            (number, *pick_texts(person), *map(stored, pick_times(person)))
            for number, person in enumerate(people)
        ],
    )
    ids = run.list_ids
    members = [(number, ids[name]) for number, person in enumerate(people) for name in person.lists]
    _insert(connection, arrival_list, ["number", "list_id"], members)


def empty(connection: Connection) -> None:
    """Leave no address in the temporary table."""
    for table in (arrival, arrival_list):
        connection.execute(delete(table))


def _picker(names: Sequence[str]) -> Callable[[Person], tuple[Any, ...]]:
    """Takes these fields of a person, always as a tuple."""
    if not names:
        return lambda _: ()
    if len(names) == 1:
        only = Person._fields.index(names[0])
        return lambda person: (person[only],)
    return itemgetter(*map(Person._fields.index, names))


def _insert(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows without SQLAlchemy's work per value, which costs more than SQLite's."""
    if not rows:
        return
    compiled = insert(table).compile(dialect=connection.dialect, column_keys=names)
    if compiled.positional:
        assert compiled.positiontup == list(names)
        connection.exec_driver_sql(compiled.string, list(rows))
    else:
        connection.exec_driver_sql(compiled.string, [dict(zip(names, row, strict=True)) for row in rows])


def _time_storage(connection: Connection) -> Callable[[Any], object]:
    """ISO text -> what this database stores for an instant."""
    process = UTCTime().dialect_impl(connection.dialect).bind_processor(connection.dialect)

    @lru_cache(maxsize=CACHE)
    def stored(text: str | None) -> object:
        at = instant(text)
        return at if at is None or process is None else process(at)

    return stored
