"""Pause, resume, cancel and finish: what they stop, and what they leave alone."""

from collections.abc import Callable

import pytest

from mailer.delivery import campaigns
from mailer.delivery.transport import (
    Answer,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
)
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
        assert [state.campaign for state in campaigns.list_all(connection)] == [second, first]
