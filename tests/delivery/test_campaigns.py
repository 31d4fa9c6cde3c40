"""Pause, resume, cancel and finish: what they stop, and what they leave alone."""

import threading
from collections.abc import Callable

import pytest

from mailer.database import Database
from mailer.delivery import campaigns, freeze, preflight, standing
from mailer.delivery.campaigns import UnfinishedCampaign
from mailer.delivery.transport import (
    Answer,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
)
from mailer.models import CampaignStatus
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import filled, ledger, work


def test_pause_stops_before_the_next_call_and_resume_goes_on(site: Site) -> None:
    campaign_id = filled(site, 6, chunk_size=2)
    provider = Provider()

    def pause() -> None:
        with site.database.ledger() as connection:
            campaigns.pause(connection, campaign_id)

    provider.before = pause
    work(site, provider)
    assert ledger(site, campaign_id) == ("paused", 4, 2, 0, 0, 0)
    assert site.status(campaign_id).pause_reason == campaigns.BY_HAND
    with site.database.ledger() as connection:
        assert not campaigns.pause(connection, campaign_id)
        assert campaigns.resume(connection, campaign_id, site.clock.now)
        assert not campaigns.resume(connection, campaign_id, site.clock.now)
    provider.before = lambda: None
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 6, 0, 0, 0)


def test_cancel_withholds_what_has_not_left_and_lets_the_call_in_flight_end(site: Site) -> None:
    campaign_id = filled(site, 6, chunk_size=2)
    provider = Provider()

    def cancel() -> None:
        with site.database.ledger() as connection:
            campaigns.cancel(connection, campaign_id, site.clock.now)

    provider.before = cancel
    work(site, provider)
    assert ledger(site, campaign_id) == ("cancelled", 0, 2, 0, 4, 0)


@pytest.mark.parametrize(
    "answer", [NotSent("refused"), Busy(1, "429"), BadSomewhere("?"), Stopped("401", "x", 401)]
)
def test_what_comes_back_to_a_cancelled_campaign_is_withheld(site: Site, answer: Answer) -> None:
    campaign_id = filled(site, 4, chunk_size=2)

    def cancel() -> None:
        with site.database.ledger() as connection:
            campaigns.cancel(connection, campaign_id, site.clock.now)

    work(site, Provider(lambda *_: answer, before=cancel))
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 4, 0)


@pytest.mark.parametrize("verb", [campaigns.resume, campaigns.cancel])
def test_what_is_over_stays_over(site: Site, verb: Callable[..., bool]) -> None:
    campaign_id = filled(site, 1)
    work(site, Provider())
    with site.database.ledger() as connection, pytest.raises(NewsletterError, match="finished"):
        verb(connection, campaign_id, site.clock.now)


def test_campaigns_are_listed_newest_first(site: Site) -> None:
    first = filled(site, 1)
    work(site, Provider())
    second = site.freeze()
    with site.database.reader() as connection:
        assert [state.campaign for state in standing.every(connection)] == [second, first]
        assert [state.campaign for state in standing.every(connection, limit=1)] == [second]
        assert standing.every(connection, statuses=[CampaignStatus.SENDING]) == []


def test_who_got_nothing_is_counted_for_one_campaign_alone(site: Site) -> None:
    filled(site, 1)
    work(site, Provider())
    second = site.freeze()
    assert site.status(second).skipped == {"already_sent": 1}
    with site.database.reader() as connection:
        assert [state.skipped for state in standing.every(connection)] == [None, None]


def test_campaigns_with_work_are_found_without_counting_letters(site: Site) -> None:
    first = filled(site, 2)
    with site.database.reader() as connection:
        assert standing.with_work(connection) == [first]
    work(site, Provider())
    with site.database.reader() as connection:
        assert standing.with_work(connection) == []


def test_a_campaign_starts_once_however_often_it_is_asked_for_in_parallel(site: Site) -> None:
    site.add_many(20)
    at_once = 6
    ready = threading.Barrier(at_once)
    frozen: list[bool] = []
    numbers: set[int] = set()

    def start() -> None:
        database = Database(site.database.url)
        ready.wait()
        try:
            with database.ledger() as connection:
                number = campaigns.create(
                    connection,
                    issue_id=site.issue.issue_id or 0,
                    revision_id=site.issue.revision_id or 0,
                    audience={},
                    sender=preflight.sender_of(site.settings),
                    now=site.clock.now,
                )
        except UnfinishedCampaign as other:
            number = other.campaign
        numbers.add(number)
        frozen.append(
            freeze.freeze(database, number, settings=site.settings, leaves=site.leaves, clock=site.clock)
        )
        database.close()

    askers = [threading.Thread(target=start) for _ in range(at_once)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    [campaign_id] = numbers
    assert sorted(frozen) == [False] * (at_once - 1) + [True]
    provider = Provider()
    work(site, provider)
    assert sorted(provider.taken) == sorted({f"reader{number}@example.org" for number in range(1, 21)})
    assert site.status(campaign_id).accepted == 20
