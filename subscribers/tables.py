"""The people's tables as SQLAlchemy Core sees them; queries here are set-wise, never ORM sessions."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from subscribers.models import Subscriber

_tables = Subscriber.metadata.tables

subscriber: Table = _tables["subscriber"]
attribute: Table = _tables["attribute"]
attribute_holder: Table = _tables["attribute_holder"]
topic: Table = _tables["topic"]
topic_choice: Table = _tables["topic_choice"]
mailing_list: Table = _tables["list"]
list_member: Table = _tables["list_member"]
consent: Table = _tables["consent"]
suppression: Table = _tables["suppression"]
leaver: Table = _tables["leaver"]
segment: Table = _tables["segment"]

# An INSERT that knows ON CONFLICT. PostgreSQL's form compiles to the same words on SQLite, so that
# this floor need not know which of the two it stands on.
upsert = postgresql.insert

# Rows of one IN (…) list: far below the 32,766 variables of a SQLite statement.
IN_LIST_ROWS = 1_000
