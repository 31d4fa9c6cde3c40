"""Many rows in one statement, for threads that share the interpreter with a busy event loop.

A driver lets the interpreter's lock go and takes it back once for every row that it steps over; beside
a busy loop each of those is a wait. Here a whole group crosses in one step, as JSON on SQLite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, Dialect, Select, Table, TextClause, func, insert, select, text

from mailer import dialect


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
class NumbersQuery:
    """A query of numbers over the ids in `:ids`, put together once and asked often."""

    statement: Select[Any]
    is_packed: bool

    @classmethod
    def of(cls, connection: Connection, query: Select[Any]) -> "NumbersQuery":
        """`query` has a condition made by `any_of`."""
        if not dialect.is_sqlite(connection):
            return cls(query, is_packed=False)
        inner = query.subquery()
        return cls(select(func.json_group_array(func.json_array(*inner.c))), is_packed=True)

    def fetch(self, connection: Connection, ids: Sequence[int]) -> list[list[Any]]:
        """The rows for these ids."""
        if not self.is_packed:
            return [list(row) for row in connection.execute(self.statement, {"ids": list(ids)})]
        found: str = connection.execute(self.statement, {"ids": orjson.dumps(ids).decode()}).scalar_one()
        rows: list[list[Any]] = orjson.loads(found)
        return rows


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
    return [(name, table.c[name].type.dialect_impl(of).bind_processor(of)) for name in names]
