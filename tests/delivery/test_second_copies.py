"""The end of what SendGrid kept: taken back, gone although cancelled, or over while the campaign pauses."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mailer.delivery import campaigns, reconcile, withdrawal
from mailer.delivery.care import care
from mailer.delivery.fences import withdraw
from mailer.delivery.send import run_once
from mailer.delivery.transport import Accepted
from mailer.tables import attempts, deliveries
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, ledger, once, work
from tests.delivery.test_fences import AT, everyone, fenced, states, until


def handed_over_again(site: Site) -> tuple[int, Provider, str]:
    """All six behind a second fence, after the first was cancelled; and the first call behind that."""
    campaign_id = fenced(site, 6, chunk_size=2, slots=1)
    provider = Provider(once(Accepted("m1"), DOUBT))
    sending = site.send_by(provider)
    run_once(sending, "a")
    run_once(sending, "a")
    site.clock.now += timedelta(seconds=121)
    assert care(sending, "a")
    work(site, provider)
    assert states(site) == ["cancelled", "open"]
    assert ledger(site, campaign_id)[:3] == ("sending", 0, 6)
    with site.database.reader() as connection:
        first = connection.execute(select(attempts.c.id).where(attempts.c.message_id == "m1")).scalar_one()
    return campaign_id, provider, first


def it_went(site: Site, attempt_id: str) -> None:
    with site.database.ledger() as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == 1).values(fate="delivered"))
        assert withdrawal.went_anyway(connection, [attempt_id], site.clock.now) == 1


def test_the_second_copy_is_taken_back_and_held(site: Site) -> None:
    campaign_id, provider, first = handed_over_again(site)
    it_went(site, first)
    assert "is being taken back and then held" in (site.status(campaign_id).pause_reason or "")
    until(site, provider, AT)
    assert provider.gone == []
    assert ledger(site, campaign_id) == ("paused", 0, 2, 0, 0, 4)


def test_a_second_copy_beyond_reach_is_owned_up_to(site: Site) -> None:
    campaign_id, provider, first = handed_over_again(site)
    site.clock.now = AT - timedelta(minutes=11)
    it_went(site, first)
    assert "4 may go twice: it is too late" in (site.status(campaign_id).pause_reason or "")
    until(site, provider, AT)
    assert provider.gone == everyone(6)


@pytest.mark.parametrize("decision", ["sent", "again", "drop"])
def test_no_statement_names_all_chunks_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, decision: Any
) -> None:
    campaign_id = fenced(site, 6, chunk_size=1, slots=1)
    work(site, Provider())
    # A bound, not a part of ours: 5,000 chunks would say the same in a minute.
    monkeypatch.setattr(reconcile, "IDS_A_STATEMENT", 2)
    with site.database.ledger() as connection:
        withdraw(connection, campaign_id, site.clock.now, timedelta(seconds=60))
        withdrawal.give_up(connection, 1, site.clock.now)
    assert ledger(site, campaign_id) == ("sending", 0, 0, 0, 0, 6)
    with site.database.ledger() as connection:
        assert reconcile.resolve(connection, campaign_id, decision, site.clock.now) == 6
    settled = {"sent": (0, 6, 0, 0, 0), "again": (6, 0, 0, 0, 0), "drop": (0, 0, 0, 6, 0)}[decision]
    assert ledger(site, campaign_id)[1:] == settled


def test_what_is_taken_back_with_its_campaign_is_withheld_at_once(site: Site) -> None:
    campaign_id = fenced(site, 6, chunk_size=1, slots=1)
    work(site, Provider())
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
        withdraw(connection, campaign_id, site.clock.now, timedelta(seconds=60))
        seen: list[str] = []
        assert withdrawal.cancelled(connection, 1, site.clock.now)
        seen += connection.execute(select(deliveries.c.reason)).scalars()
    assert seen == ["cancelled"] * 6
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 6, 0)


def test_a_paused_campaign_of_which_everything_went_is_over_at_its_time(site: Site) -> None:
    campaign_id = fenced(site, 6, slots=1)
    provider = Provider()
    work(site, provider)
    with site.database.ledger() as connection:
        campaigns.pause(connection, campaign_id)
    until(site, provider, AT - timedelta(seconds=1))
    assert site.status(campaign_id).status == "paused"  # it can still be taken back
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 6, 0, 0, 0)
    assert site.status(campaign_id).pause_reason is None
