"""Alembic's door: runs the migrations on the engine that `mailer.database` hands in, all or none.

A migration may make a table anew, and must not lose a row of any by it: the rows are counted before and
after, and references are looked through, within the one transaction.
"""

from alembic import context
from sqlalchemy import Connection, func, inspect, select, table
from sqlmodel import SQLModel

# All fill the one metadata.
import mailer.event_models
import mailer.house_models
import mailer.models  # noqa: F401
import subscribers.models  # noqa: F401
from mailer import dialect


def rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        name: connection.execute(select(func.count()).select_from(table(name))).scalar_one()
        for name in inspect(connection).get_table_names()
    }


engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    before = rows(connection)
    with context.begin_transaction():
        context.run_migrations()
    after = rows(connection)
    lost = [name for name in before if name in after and after[name] < before[name]]
    if lost or not dialect.references_hold(connection):
        raise RuntimeError(f"the migration would lose rows of {', '.join(lost) or 'something'}")
    connection.commit()
