"""The temporary table in which a chunk of a file meets the people who are here already."""

from collections.abc import Sequence

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
from subscribers.transfer.merging import ImportRun, instant, lists_of
from subscribers.transfer.people import Person


class _JsonText(UserDefinedType[str]):
    """JSON that was written out already; it is stored as it stands."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


_metadata = MetaData()

arrival = Table(
    "arrival",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("subscriber_id", BigInteger),
    Column("key_hash", String),
    Column("email", String),
    Column("email_key", String),
    Column("name", String),
    Column("topics", BigInteger),
    Column("timezone", String),
    Column("track_consent", Boolean),
    Column("consent_at", UTCTime),
    Column("consent_source", String),
    Column("consent_wording", String),
    Column("optin_at", UTCTime),
    Column("confirm_at", UTCTime),
    Column("left_at", UTCTime),
    Column("attributes", _JsonText),
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
    connection.execute(insert(arrival), [_row(number, person) for number, person in enumerate(people)])
    memberships = [
        {"number": number, "list_id": list_id}
        for number, person in enumerate(people)
        if person.lists
        for list_id in lists_of(person, run)
    ]
    if memberships:
        connection.execute(insert(arrival_list), memberships)


def empty(connection: Connection) -> None:
    """Leave no address in the temporary table."""
    for table in (arrival, arrival_list):
        connection.execute(delete(table))


def _row(number: int, person: Person) -> dict[str, object]:
    return {
        "number": number,
        "key_hash": person.key_hash,
        "email": person.email,
        "email_key": person.email_key,
        "name": person.name,
        "topics": person.topics,
        "timezone": person.timezone,
        "track_consent": None if person.track_consent is None else bool(person.track_consent),
        "consent_at": instant(person.consent_at),
        "consent_source": person.consent_source,
        "consent_wording": person.consent_wording,
        "optin_at": instant(person.optin_at),
        "confirm_at": instant(person.confirm_at),
        "left_at": instant(person.left_at),
        "attributes": person.attributes or "{}",
    }
