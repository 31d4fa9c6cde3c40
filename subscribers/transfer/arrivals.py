"""The temporary table in which a chunk of a file meets the people who are here already."""

from collections.abc import Sequence
from operator import itemgetter

from sqlalchemy import (
    BigInteger,
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
from subscribers.transfer.merging import ImportRun
from subscribers.transfer.people import (
    NO_ATTRIBUTES,
    UNSAID_TOPICS,
    UNSAID_TRACK,
    Packed,
    Person,
    list_numbers,
)


class JsonText(UserDefinedType[str]):
    """JSON that was written out already; it is stored as it stands."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


_metadata = MetaData()

# The fields of `Person` in their order, and the id of who has that address.
arrival = Table(
    "arrival",
    _metadata,
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("key_hash", String),
    Column("email", String),
    Column("email_key", String),
    Column("name", String, server_default=""),
    Column("topics", BigInteger, server_default=str(UNSAID_TOPICS)),
    Column("timezone", String, server_default=""),
    Column("consent_source", String, server_default=""),
    Column("consent_wording", String, server_default=""),
    Column("attributes", JsonText, server_default=NO_ATTRIBUTES),
    Column("track_consent", Integer, server_default=str(UNSAID_TRACK)),
    Column("consent_at", UTCTime),
    Column("optin_at", UTCTime),
    Column("confirm_at", UTCTime),
    Column("left_at", UTCTime),
    Column("chosen_at", UTCTime),
    Column("withdrawn_at", UTCTime),
    Column("status", String, server_default=""),
    Column("lists", String, server_default=""),
    Column("subscriber_id", BigInteger),
    prefixes=["TEMPORARY"],
)

arrival_attribute = Table(
    "arrival_attribute",
    _metadata,
    Column("line", Integer),
    Column("attribute_id", BigInteger),
    prefixes=["TEMPORARY"],
)

arrival_list = Table(
    "arrival_list",
    _metadata,
    Column("line", Integer),
    Column("list_id", Integer),
    prefixes=["TEMPORARY"],
)

_TABLES = (arrival, arrival_attribute, arrival_list)
_LINE, _LISTS = map(Person._fields.index, ("line", "lists"))


def fill(connection: Connection, people: Sequence[Packed], run: ImportRun) -> None:
    """Put a chunk in; the chunk before is gone."""
    for table in _TABLES:
        connection.execute(CreateTable(table, if_not_exists=True))
        connection.execute(delete(table))
    pick = itemgetter(*map(Person._fields.index, run.fields))
    _insert(connection, arrival, run.fields, list(map(pick, people)))
    members = [
        (person[_LINE], run.list_ids[number])
        for person in people
        if person[_LISTS]
        for number in list_numbers(person[_LISTS])
    ]
    _insert(connection, arrival_list, ("line", "list_id"), members)


def fill_attributes(connection: Connection, rows: list[tuple[int, int]]) -> None:
    """Put in who has what: (line, attribute id)."""
    _insert(connection, arrival_attribute, ("line", "attribute_id"), rows)


def empty(connection: Connection) -> None:
    """Leave no address in the temporary table."""
    for table in _TABLES:
        connection.execute(delete(table))


def _insert(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Packed]) -> None:
    """Insert rows without SQLAlchemy's work per value, which costs more than SQLite's."""
    if not rows:
        return
    compiled = insert(table).compile(dialect=connection.dialect, column_keys=list(names))
    if compiled.positional:
        assert compiled.positiontup == list(names)
        connection.exec_driver_sql(compiled.string, rows)
    else:
        connection.exec_driver_sql(compiled.string, [dict(zip(names, row, strict=True)) for row in rows])
