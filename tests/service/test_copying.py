"""A site moves to another database, from a file to a server and back."""

from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.models import CampaignStatus, ChunkState
from mailer.service import copying
from mailer.tables import campaigns, chunks, counters, events, subscribers
from subscribers.errors import NewsletterError
from subscribers.models import Subscriber
from tests import databases
from tests.tracking.sample import Sample, add_reader, send_sample

PEOPLE = {"ada": True, "ben": False}


def address(kind: str, folder: Path) -> str:
    if kind == "file":
        return f"sqlite:///{folder}/{kind}.db"
    if not databases.SERVER:
        pytest.skip(f"needs a server: set {databases.VARIABLE}")
    return databases.new_url("", migrated=False)


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reader() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in Subscriber.metadata.sorted_tables
            if table not in copying.OWN
        }


def rich(database: Database, settings: Settings, now: datetime) -> Sample:
    """Values of every kind: JSON, days, times, bytes, truths, and texts of many scripts."""
    sample = send_sample(database, settings, now, PEOPLE)
    with database.ledger() as connection:
        connection.execute(update(campaigns).values(status=CampaignStatus.FINISHED, finished_at=now))
        connection.execute(update(chunks).values(state=ChunkState.ACCEPTED))
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == sample.readers["ada"])
            .values(
                name="Zoë\t日本\\N 🧬", attributes={"city": 'Z"ürich\n', "n": 1.5}, last_engaged_on=now.date()
            )
        )
        connection.execute(
            insert(events).values(
                dedupe_key="sg:1",
                kind="delivered",
                occurred_at=now,
                received_at=now,
                settled=False,
                detail={"reason": "250 ok"},
            )
        )
        add_reader(connection, sample, "last", False)
        # The highest id is nobody's any more; nobody else may get it.
        connection.execute(delete(events).where(events.c.delivery_id == sample.letters["last"]))
    return sample


@pytest.mark.parametrize(
    ("of", "to"), [("file", "file"), ("file", "server"), ("server", "file"), ("server", "server")]
)
def test_everything_arrives_as_it_was(
    of: str, to: str, tmp_path: Path, settings: Settings, now: datetime
) -> None:
    with closing(Database(address(of, tmp_path))) as source:
        source.upgrade()
        rich(source, settings, now)
        (tmp_path / "new").mkdir()
        url = address(to, tmp_path / "new")
        copied = copying.copy_to(source, url)
        with closing(Database(url)) as target:
            there = everything(target)
            assert there == everything(source)
            assert copied.rows == {name: len(rows) for name, rows in there.items()}
            assert copied.rows["subscriber"] == 3


@pytest.mark.parametrize("to", ["file", "server"])
def test_an_id_that_was_given_once_is_not_given_again(
    to: str, database: Database, tmp_path: Path, settings: Settings, now: datetime
) -> None:
    sample = rich(database, settings, now)
    last = sample.readers["last"]
    with database.ledger() as connection:
        connection.execute(delete(subscribers).where(subscribers.c.id == last))
    url = address(to, tmp_path / "new")
    copying.copy_to(database, url)
    with closing(Database(url)) as target:
        sample.database = target
        with target.ledger() as connection:
            add_reader(connection, sample, "next", False)
    assert sample.readers["next"] > last


@pytest.mark.parametrize("to", ["file", "server"])
def test_a_target_that_is_not_empty_is_refused(
    to: str, database: Database, tmp_path: Path, settings: Settings, now: datetime
) -> None:
    rich(database, settings, now)
    url = address(to, tmp_path)
    with closing(Database(url)) as target:
        target.upgrade()
        with target.ledger() as connection:
            connection.execute(insert(counters).values(name="something", value=1))
        with pytest.raises(NewsletterError, match="not empty"):
            copying.copy_to(database, url)
        with target.reader() as connection:
            assert connection.execute(select(subscribers)).first() is None


@pytest.mark.parametrize("to", ["file", "server"])
def test_tables_of_another_program_are_refused(to: str, database: Database, tmp_path: Path) -> None:
    url = address(to, tmp_path)
    with closing(Database(url)) as target, target.ledger() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(NewsletterError, match="not empty"):
        copying.copy_to(database, url)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (CampaignStatus.SENDING, ChunkState.WAITING),
        (CampaignStatus.PREPARING, ChunkState.WAITING),
        (CampaignStatus.PAUSED, ChunkState.CLAIMED),
        (CampaignStatus.CANCELLED, ChunkState.SUBMITTING),
    ],
)
def test_a_campaign_in_mid_send_is_refused(
    status: CampaignStatus,
    state: ChunkState,
    database: Database,
    tmp_path: Path,
    settings: Settings,
    now: datetime,
) -> None:
    rich(database, settings, now)
    with database.ledger() as connection:
        connection.execute(update(campaigns).values(status=status))
        connection.execute(update(chunks).values(state=state))
    url = address("file", tmp_path)
    with pytest.raises(NewsletterError, match="is being sent; nothing was copied"):
        copying.copy_to(database, url)
    with closing(Database(url)) as target:
        assert target.schema_version() is None


def test_a_site_is_not_copied_onto_itself(database: Database) -> None:
    with pytest.raises(NewsletterError, match="has already"):
        copying.copy_to(database, database.url)
