"""Whoever writes is the only one who does, on either database."""

import threading
from datetime import datetime

from sqlalchemy import insert, select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import letters_of
from mailer.tables import counters, deliveries
from subscribers import roster
from tests.tracking.sample import send_sample

WRITERS = 4
TURNS = 25
# Long enough for a writer that does not wait to be through.
HEAD_START_SECONDS = 0.3


def test_what_a_writer_has_read_stays_true_until_it_commits(database: Database) -> None:
    def count() -> None:
        own = Database(database.url)
        for _ in range(TURNS):
            with own.ledger() as connection:
                before = connection.execute(select(counters.c.value)).scalar_one()
                connection.execute(update(counters).values(value=before + 1))
        own.close()

    with database.ledger() as connection:
        connection.execute(insert(counters).values(name="turns", value=0))
    writers = [threading.Thread(target=count) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with database.reader() as connection:
        assert connection.execute(select(counters.c.value)).scalar_one() == WRITERS * TURNS


def test_a_reader_sees_one_moment(database: Database) -> None:
    with database.reader() as connection:
        assert connection.execute(select(counters.c.value)).all() == []
        with database.ledger() as writing:
            writing.execute(insert(counters).values(name="later", value=1))
        assert connection.execute(select(counters.c.value)).all() == []


def test_who_is_erased_during_a_freeze_is_in_no_letter_of_it(
    database: Database, settings: Settings, now: datetime
) -> None:
    sample = send_sample(database, settings, now, {"ada": True})
    ada = sample.readers["ada"]

    def erase() -> None:
        with database.ledger() as connection:
            roster.erase(connection, ada, [letters_of.blank], now=now)

    erasing = threading.Thread(target=erase)
    with database.staging() as connection, connection.begin():
        connection.execute(
            insert(deliveries).values(
                campaign_id=2,
                issue_id=2,
                subscriber_id=ada,
                edition_id=sample.edition,
                chunk_id=sample.chunk,
                email="ada@example.com",
            )
        )
        erasing.start()
        erasing.join(HEAD_START_SECONDS)
        letters_of.blank_erased(connection, 2)
    erasing.join()
    with database.reader() as connection:
        assert set(connection.execute(select(deliveries.c.email)).scalars()) == {""}
