"""Alembic's door: runs the migrations on the engine that `mailer.database` hands in."""

from alembic import context
from sqlmodel import SQLModel

# All fill the one metadata.
import mailer.house_models
import mailer.models  # noqa: F401
import subscribers.models  # noqa: F401

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
