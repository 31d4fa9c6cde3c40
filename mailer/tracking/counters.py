"""Running totals of what has no row of its own, and the one rule of who may be measured in person."""

from collections.abc import Mapping

from sqlalchemy import Connection, Table, select
from sqlmodel import SQLModel

from mailer import dialect
from mailer.config import Settings
from mailer.models import Counter

# Events that belong to no delivery of ours, and rows of a POST that were no events.
UNKNOWN_DELIVERIES = "events of unknown deliveries"
UNREADABLE_ROWS = "unreadable event rows"

table: Table = SQLModel.metadata.tables[str(Counter.__tablename__)]


def add(connection: Connection, amounts: Mapping[str, int]) -> None:
    """Add to totals; zero adds nothing and makes no row."""
    for name, amount in amounts.items():
        if amount:
            statement = dialect.insert(connection, table).values(name=name, value=amount)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"], set_={"value": table.c.value + statement.excluded.value}
                )
            )


def totals(connection: Connection) -> dict[str, int]:
    """Every total by its name."""
    return {row.name: row.value for row in connection.execute(select(table.c.name, table.c.value))}


def is_measured(settings: Settings, subscriber_id: int | None, has_consent: bool) -> bool:
    """Whether a reader's hits may name the reader, now; an erased one's never."""
    if subscriber_id is None or settings.tracking.individual == "nobody":
        return False
    return settings.tracking.individual == "everyone" or has_consent
