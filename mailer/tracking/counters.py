"""Running totals of what has no row of its own."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from mailer.tables import counters
from subscribers.tables import upsert

# Events that belong to no delivery of ours, and rows of a POST that were no events.
UNKNOWN_DELIVERIES = "events of unknown deliveries"
UNREADABLE_ROWS = "unreadable event rows"


def add(connection: Connection, amounts: Mapping[str, int]) -> None:
    """Add to totals; zero adds nothing and makes no row."""
    for name, amount in amounts.items():
        if amount:
            statement = upsert(counters).values(name=name, value=amount)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"], set_={"value": counters.c.value + statement.excluded.value}
                )
            )


def raise_to(connection: Connection, name: str, value: int) -> None:
    """Let a total be at least so much."""
    statement = upsert(counters).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"value": statement.excluded.value},
            where=counters.c.value < statement.excluded.value,
        )
    )


def totals(connection: Connection) -> dict[str, int]:
    """Every total by its name."""
    return {row.name: row.value for row in connection.execute(select(counters.c.name, counters.c.value))}
