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
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    TextClause,
    Update,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from mailer import dialect
from subscribers.models import UTCTime

# Of the new values of a row, beside those it has.
Condition = Callable[[Mapping[str, ColumnElement[Any]]], ColumnElement[bool]]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same keys. On PostgreSQL a plain insert of many."""
    if not rows:
        return
    if not dialect.is_sqlite(connection):
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    statement = _insert_json(table, tuple(rows[0]))
    connection.execute(statement, {"rows": _as_json(connection, table, rows)})


def load_rows(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Write whole rows, in the order of the table's columns, as fast as the database takes them."""
    binders = [column.type.dialect_impl(connection.dialect) for column in table.c]
    processors = [each.bind_processor(connection.dialect) for each in binders]
    values = [
        [bind(value) if bind else value for bind, value in zip(processors, row, strict=True)] for row in rows
    ]
    dialect.load(connection, table.name, list(table.c.keys()), values)


@dataclass(frozen=True, slots=True)
class PackedQuery:
    """A query of numbers and texts, put together once and asked often."""

    plain: Select[Any]
    packed: Select[Any]

    @classmethod
    def of(cls, query: Select[Any]) -> "PackedQuery":
        return cls(query, _packed(query))

    @classmethod
    def among(cls, query: Select[Any], column: ColumnElement[Any]) -> "PackedQuery":
        """`query` of the rows whose `column` is among those given to `fetch_among`."""
        return cls(
            query.where(column == func.any(text(":among"))),
            _packed(query.where(column.in_(text("SELECT value FROM json_each(:among)")))),
        )

    def fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> list[list[Any]]:
        """The rows for these parameters; a truth may be 0 or 1 in them."""
        if not dialect.is_sqlite(connection):
            return [list(row) for row in connection.execute(self.plain, parameters)]
        rows: list[list[Any]] = orjson.loads(connection.execute(self.packed, parameters).scalar_one())
        return rows

    def fetch_among(self, connection: Connection, wanted: Sequence[int] | Sequence[str]) -> list[list[Any]]:
        """The rows of a query made by `among`."""
        listed = orjson.dumps(wanted).decode() if dialect.is_sqlite(connection) else list(wanted)
        return self.fetch(connection, {"among": listed})


def update_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    condition: Condition,
) -> None:
    """Give each row, told by its `id`, its own values where `condition` of the new ones holds."""
    if not rows:
        return
    names = tuple(rows[0])
    if not dialect.is_sqlite(connection):
        new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        connection.execute(
            _update_to(table, new, condition),
            [{f"new_{name}": row[name] for name in names} for row in rows],
        )
        return
    statement = _update_json(table, names, condition)
    connection.execute(statement, {"rows": _as_json(connection, table, rows)})


@lru_cache(maxsize=32)
def _update_json(table: Table, names: tuple[str, ...], condition: Condition) -> Update:
    given = [
        literal_column(f"json_extract(value, '$[{place}]')", table.c[name].type).label(name)
        for place, name in enumerate(names)
    ]
    incoming = select(*given).select_from(text("json_each(:rows)")).subquery("incoming")
    return _update_to(table, dict(incoming.c.items()), condition)


def _update_to(table: Table, new: Mapping[str, ColumnElement[Any]], condition: Condition) -> Update:
    values = {name: value for name, value in new.items() if name != "id"}
    return update(table).where(table.c.id == new["id"], condition(new)).values(values)


def _as_json(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> str:
    binders = _binders(table, tuple(rows[0]), connection.dialect)
    values = [[bind(row[name]) if bind else row[name] for name, bind in binders] for row in rows]
    return orjson.dumps(values).decode()


def _packed(query: Select[Any]) -> Select[Any]:
    return select(func.json_group_array(func.json_array(*query.subquery().c)))


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
    return at.astimezone(UTC).isoformat(" ", "microseconds")[: -len("+00:00")]


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate or a number beyond 64 bits
        return json.dumps(value)
