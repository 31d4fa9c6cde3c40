"""Numbers are kept as long as counting them cost, and no longer."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from mailer.database import Database
from mailer.insight import counts
from mailer.tables import campaign_counts, campaigns
from subscribers.errors import NotFound
from tests.insight.world import World


@pytest.fixture
def sent(database: Database, now: datetime) -> World:
    with database.ledger() as connection:
        world = World(connection, now)
        world.start_campaign()
        world.letter("ada")
        connection.execute(update(campaigns).values(started_at=now))
    return world


def open_by_a_person(database: Database, world: World) -> None:
    with database.ledger() as connection:
        world.connection = connection
        world.hit("ada", "open", "human")


def pretend_counting_took(database: Database, seconds: float) -> None:
    with database.ledger() as connection:
        connection.execute(update(campaign_counts).values(seconds=seconds))


def test_what_is_dear_to_count_is_kept_for_a_while(database: Database, sent: World, now: datetime) -> None:
    first = counts.latest(database, sent.campaign, now=now)
    pretend_counting_took(database, 2.0)
    open_by_a_person(database, sent)
    good_for = timedelta(seconds=2.0 * counts.GOOD_FOR_TIMES_THE_COST)
    kept = counts.latest(database, sent.campaign, now=now + good_for)
    assert kept == first
    anew = counts.latest(database, sent.campaign, now=now + good_for + timedelta(seconds=1))
    assert (anew.stats.opened.human, kept.stats.opened.human) == (1, 0)
    assert anew.at == now + good_for + timedelta(seconds=1)


def test_kept_numbers_are_the_counted_ones(database: Database, sent: World, now: datetime) -> None:
    open_by_a_person(database, sent)
    counted = counts.count(database, sent.campaign, now=now)
    pretend_counting_took(database, 60.0)
    assert counts.latest(database, sent.campaign, now=now) == counted


def test_a_clock_that_went_back_keeps_nothing(database: Database, sent: World, now: datetime) -> None:
    counts.count(database, sent.campaign, now=now)
    pretend_counting_took(database, 60.0)
    earlier = now - timedelta(hours=1)
    assert counts.latest(database, sent.campaign, now=earlier).at == earlier


def test_the_clock_counts_campaigns_of_the_last_days(database: Database, sent: World, now: datetime) -> None:
    assert counts.refresh(database, now=now) == [sent.campaign]
    pretend_counting_took(database, 60.0)
    assert counts.refresh(database, now=now) == []
    assert counts.refresh(database, now=now + counts.WATCHED_FOR + timedelta(days=1)) == []
    with database.reader() as connection:
        assert connection.execute(select(campaign_counts.c.counted_at)).scalar_one() == now


def test_a_campaign_that_nobody_made_has_no_numbers(database: Database, now: datetime) -> None:
    with pytest.raises(NotFound):
        counts.latest(database, 7, now=now)
