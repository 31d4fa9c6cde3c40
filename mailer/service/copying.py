"""`mailer copy-to`: everything of a site's database into another one, an empty one, whole or not at all.

One snapshot of the source is read in small portions and written in one transaction, tables in the order of
their references. What only the running site may have (its identity, its heartbeat, the notes on their way
into leavers.log) stays behind, so that nothing is sent from the copy until it is adopted.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, func, inspect, make_url, select

from mailer import bulk, dialect
from mailer.config import Settings
from mailer.config_tables import database_address
from mailer.database import Database, require_known
from mailer.models import CampaignStatus, ChunkState
from mailer.tables import campaigns, chunks, editions, heartbeats, identities, leavers, revisions
from subscribers.errors import NewsletterError
from subscribers.models import Subscriber

# What belongs to a running site and not to a copy of it.
OWN = (identities, heartbeats, leavers)
# Rows read and written at a time; those that hold whole letters are up to 200 kB each.
PORTION_ROWS = 2_000
WIDE_PORTION_ROWS = 50
_WIDE = (editions.name, revisions.name)


@dataclass(frozen=True, slots=True)
class Copied:
    """Where to (without its password), and how many rows of what were copied and counted again."""

    url: str
    schema: str
    rows: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def address_of(settings: Settings, url: str) -> str:
    """The target that was named, as this site means it. Raises NewsletterError."""
    try:
        return settings.absolute(database_address(url))
    except ValueError as error:
        raise NewsletterError(
            f"URL {error}.",
            field="URL",
            cure="For example postgresql+psycopg://mailer@127.0.0.1/mailer.",
        ) from None


def copy_to(source: Database, url: str) -> Copied:
    """Copy everything into the empty database of `url`. Raises NewsletterError; nothing is there then."""
    with closing(Database(url)) as target:
        if make_url(url) == make_url(source.url):
            raise NewsletterError(
                "this is the database that the site has already.",
                field="URL",
                cure="Name another, empty one.",
            )
        require_empty(target)
        with source.reader() as snapshot:
            require_calm(snapshot)
            target.upgrade()
            rows = fill(snapshot, target)
        return Copied(make_url(url).render_as_string(), target.newest_version(), rows)


def require_empty(target: Database) -> None:
    """Refuse a database in which anything stands."""
    version = target.schema_version()
    require_known(version)
    with target.reader() as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        ours = [table for table in _tables() if table.name in names]
        is_strange = version is None and bool(names)
        if is_strange or any(connection.execute(select(table).limit(1)).first() for table in ours):
            raise NewsletterError(
                "the target is not empty; nothing was changed.",
                field="URL",
                cure="Name an empty database, for example one that 'createdb' has just made.",
            )


def require_calm(connection: Connection) -> None:
    """Refuse while letters are leaving: what leaves during the copy would leave again from it."""
    busy = connection.execute(
        select(campaigns.c.id)
        .where(campaigns.c.status.in_((CampaignStatus.SENDING, CampaignStatus.PREPARING)))
        .order_by(campaigns.c.id)
    ).scalars()
    in_hand = connection.execute(
        select(chunks.c.campaign_id).where(chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)))
    ).scalars()
    for campaign_id in (*busy, *in_hand):
        raise NewsletterError(
            f"campaign {campaign_id} is being sent; nothing was copied.",
            cure=f"Wait for its end, or 'mailer pause {campaign_id}' and let its calls end. "
            "Then stop 'serve' and 'worker', and copy.",
        )


def fill(snapshot: Connection, target: Database) -> dict[str, int]:
    """Write all of a snapshot into a migrated, empty database; the rows of each table, counted there."""
    expected = {str(table.name): _count(snapshot, table) for table in _tables()}
    last_ids = dialect.last_ids(snapshot, _tables())
    with target.staging() as connection:
        with connection.begin():
            for table in _tables():
                for portion in _portions(snapshot, table):
                    bulk.load_rows(connection, table, portion)
            dialect.set_last_ids(connection, last_ids)
            found = {str(table.name): _count(connection, table) for table in _tables()}
            if found != expected:
                wrong = next(name for name, number in expected.items() if found[name] != number)
                raise NewsletterError(
                    f"{found[wrong]:,} of {expected[wrong]:,} rows of '{wrong}' arrived; nothing was kept.",
                    cure="Try again; should it happen again, check the disk of the target.",
                )
        with connection.begin():
            dialect.analyze(connection)
    return found


def _tables() -> list[Table]:
    return [table for table in Subscriber.metadata.sorted_tables if table not in OWN]


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _portions(snapshot: Connection, table: Table) -> Iterator[list[Row[Any]]]:
    """Its rows in the order of their key, so that neighbours stay neighbours."""
    size = WIDE_PORTION_ROWS if table.name in _WIDE else PORTION_ROWS
    query = select(table).order_by(*table.primary_key.columns)
    with _streamed(snapshot, query, size) as result:
        for portion in result.partitions(size):
            yield list(portion)


@contextmanager
def _streamed(snapshot: Connection, query: Any, size: int) -> Iterator[Any]:
    result = snapshot.execute(query, execution_options={"yield_per": size})
    try:
        yield result
    finally:
        result.close()
