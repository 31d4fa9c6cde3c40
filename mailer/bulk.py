"""Many rows in one statement, for threads that share the interpreter with a busy event loop.

A driver lets the interpreter's lock go and takes it back once for every row that it steps over; beside
a busy loop each of those is a wait. Here a whole group crosses in one step, as JSON on SQLite.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Dialect, Select, Table, TextClause, func, insert, select, text

from mailer import dialect
from subscribers.models import UTCTime


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same keys. On PostgreSQL a plain insert of many."""
    if not rows:
        return
    if not dialect.is_sqlite(connection):
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    names = tuple(rows[0])
    binders = _binders(table, names, connection.dialect)
    values = [[bind(row[name]) if bind else row[name] for name, bind in binders] for row in rows]
    connection.execute(_insert_json(table, names), {"rows": orjson.dumps(values).decode()})


@dataclass(frozen=True, slots=True)
class PackedQuery:
    """A query of numbers and texts, put together once and asked often."""

    plain: Select[Any]
    packed: Select[Any]

    @classmethod
    def of(cls, query: Select[Any]) -> "PackedQuery":
        return cls(query, select(func.json_group_array(func.json_array(*query.subquery().c))))

    def fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> list[list[Any]]:
        """The rows for these parameters; a truth may be 0 or 1 in them."""
        if not dialect.is_sqlite(connection):
            return [list(row) for row in connection.execute(self.plain, parameters)]
        rows: list[list[Any]] = orjson.loads(connection.execute(self.packed, parameters).scalar_one())
        return rows

    def fetch_ids(self, connection: Connection, ids: Sequence[int]) -> list[list[Any]]:
        """The rows for these ids, of a query that has a condition made by `any_of`."""
        listed = orjson.dumps(ids).decode() if dialect.is_sqlite(connection) else list(ids)
        return self.fetch(connection, {"ids": listed})


def any_of(connection: Connection, column: Any) -> Any:
    """The condition that a column is one of the ids in the parameter `:ids`; the text never changes."""
    if dialect.is_sqlite(connection):
        return column.in_(text("SELECT value FROM json_each(:ids)"))
    return column == func.any(text(":ids"))


@lru_cache(maxsize=32)
def _insert_json(table: Table, names: tuple[str, ...]) -> TextClause:
    columns = ", ".join(names)
    values = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(names)))
    # The names are those of our own columns, the values travel as a parameter.
    return text(f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM json_each(:rows)")  # noqa: S608


@lru_cache(maxsize=32)
def _binders(table: Table, names: tuple[str, ...], of: Dialect) -> list[tuple[str, Any]]:
    """How each column's values become what the driver takes."""
    return [(name, _binder(table.c[name].type, of)) for name in names]


def _binder(kind: Any, of: Dialect) -> Callable[[Any], Any] | None:
    # What the types' own processors write, at a quarter of their cost: two of them ate as much as the insert.
    if isinstance(kind, UTCTime):
        return _utc_text
    if isinstance(kind, JSON):
        return _json_text
    found: Callable[[Any], Any] | None = kind.dialect_impl(of).bind_processor(of)
    return found


def _utc_text(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone cannot be stored: {at!r}")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate or a number beyond 64 bits
        return json.dumps(value)
