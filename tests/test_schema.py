"""The migrations and the models tell of the same tables."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, create_engine, inspect
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from mailer import event_models, house_models, models, tables
from mailer.database import Database
from tests import databases


def _rules(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every table's columns, indexes and checks, without the order in which they stand."""
    schema = inspect(connection)
    return {
        table: {
            "columns": {column["name"]: column["nullable"] for column in schema.get_columns(table)},
            "checks": {str(rule["name"]): rule["sqltext"] for rule in schema.get_check_constraints(table)},
            "indexes": {
                str(index["name"]): (
                    index["column_names"],
                    index["unique"],
                    str(index["dialect_options"].get(f"{connection.engine.name}_where")),
                )
                for index in schema.get_indexes(table)
            },
            "keys": sorted(
                (key["constrained_columns"], key["referred_table"]) for key in schema.get_foreign_keys(table)
            ),
        }
        for table in sorted(SQLModel.metadata.tables)
    }


def test_the_migrations_end_at_the_models(database: Database) -> None:
    with database.reader() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        migrated = _rules(connection)
    of_models = create_engine(databases.new_url(":memory:", migrated=False), poolclass=NullPool)
    with of_models.connect() as connection:
        SQLModel.metadata.create_all(connection)
        assert migrated == _rules(connection)


def test_the_catalogue_names_every_table() -> None:
    named = {table.name for table in vars(tables).values() if isinstance(table, Table)}
    ours = {
        of.__tablename__
        for module in (event_models, house_models, models)
        for of in vars(module).values()
        if getattr(of, "__module__", "") == module.__name__ and hasattr(of, "__tablename__")
    }
    assert ours
    assert ours <= named
