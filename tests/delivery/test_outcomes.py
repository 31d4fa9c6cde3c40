"""What each answer makes of a chunk, its letters and its campaign."""

from datetime import timedelta

import pytest

from mailer.delivery import campaigns
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import (
    Accepted,
    BadBody,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
    TooLarge,
)
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import bad, filled, ledger, once, work


def test_accepted_is_accepted_and_the_campaign_ends(site: Site) -> None:
    campaign_id = filled(site, 5, chunk_size=2)
    provider = Provider()
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 5, 0, 0, 0)
    assert sorted(provider.taken) == sorted(set(provider.taken))
    assert len(provider.calls) == 3


def test_a_named_reader_is_rejected_and_the_rest_go_again(site: Site) -> None:
    campaign_id = filled(site, 5)
    provider = Provider(bad("reader2@example.org", "reader4@example.org", names=True))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 3, 2, 0, 0)
    assert len(provider.calls) == 3
    assert sorted(provider.taken) == ["reader1@example.org", "reader3@example.org", "reader5@example.org"]


def test_one_bad_reader_in_a_thousand_is_found_in_21_requests(site: Site) -> None:
    campaign_id = filled(site, 1000)
    provider = Provider(bad("reader700@example.org", names=False))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 999, 1, 0, 0)
    assert len(provider.calls) <= 21
    assert len(provider.taken) == len(set(provider.taken)) == 999


@pytest.mark.parametrize("names", [True, False])
def test_five_bad_readers_in_a_chunk_are_rejected_and_the_sixth_pauses(site: Site, names: bool) -> None:
    campaign_id = filled(site, 64)
    wrong = [f"reader{number}@example.org" for number in (3, 13, 23, 33, 43, 53)]
    work(site, Provider(bad(*wrong[:5], names=names)), limit=400)
    assert ledger(site, campaign_id) == ("finished", 0, 59, 5, 0, 0)


@pytest.mark.parametrize("names", [True, False])
def test_more_than_five_bad_readers_pause_and_whoever_resumes_decides(site: Site, names: bool) -> None:
    campaign_id = filled(site, 64)
    wrong = [f"reader{number}@example.org" for number in (3, 13, 23, 33, 43, 53)]
    provider = Provider(bad(*wrong, names=names))
    work(site, provider, limit=400)
    status, _, _, rejected, _, _ = ledger(site, campaign_id)
    assert (status, rejected) == ("paused", 5)
    assert "refused" in (site.status(campaign_id).pause_reason or "")
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign_id, site.clock.now)
    work(site, provider, limit=400)
    assert ledger(site, campaign_id) == ("finished", 0, 58, 6, 0, 0)
    assert len(provider.taken) == len(set(provider.taken))


def test_a_fault_of_the_letter_pauses_after_one_request(site: Site) -> None:
    campaign_id = filled(site, 10, chunk_size=2)
    provider = Provider(lambda *_: BadBody("subject: is missing"))
    work(site, provider)
    assert len(provider.calls) == 1
    assert ledger(site, campaign_id) == ("paused", 10, 0, 0, 0, 0)
    assert "subject: is missing" in (site.status(campaign_id).pause_reason or "")


def test_what_is_refused_without_a_reason_is_not_sought_reader_by_reader_for_ever(site: Site) -> None:
    campaign_id = filled(site, 1000)
    provider = Provider(lambda *_: BadSomewhere("Bad Request"))
    work(site, provider)
    assert len(provider.calls) <= 13
    assert ledger(site, campaign_id) == ("paused", 1000, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "answer", [Stopped("the key was refused (401)", "Mend it.", 401), Stopped("moved (301)", "Mend.", 301)]
)
def test_what_a_person_must_mend_pauses_and_loses_nothing(site: Site, answer: Stopped) -> None:
    campaign_id = filled(site, 10, chunk_size=2)
    provider = Provider(once(answer))
    work(site, provider)
    assert len(provider.calls) == 1
    state = site.status(campaign_id)
    assert (state.status, state.waiting) == ("paused", 10)
    assert state.pause_reason == f"{answer.reason}. {answer.cure}"
    with site.database.ledger() as connection:
        assert campaigns.resume(connection, campaign_id, site.clock.now)
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 10, 0, 0, 0)


def test_too_large_is_halved(site: Site) -> None:
    campaign_id = filled(site, 10)
    provider = Provider(
        lambda addresses, number: TooLarge("413") if len(addresses) > 3 else Accepted(f"m{number}")
    )
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 10, 0, 0, 0)
    assert sorted(provider.taken) == sorted(set(provider.taken))


def test_a_letter_too_large_for_one_reader_pauses(site: Site) -> None:
    campaign_id = filled(site, 2)
    work(site, Provider(lambda *_: TooLarge("413")))
    assert ledger(site, campaign_id) == ("paused", 2, 0, 0, 0, 0)


def test_too_many_requests_hold_back_every_chunk_until_the_reset(site: Site) -> None:
    campaign_id = filled(site, 6, chunk_size=2)
    provider = Provider(once(Busy(30, "429")))
    sending = site.send_by(provider)
    assert run_once(sending, "a").worked is Worked.CALLED
    step = run_once(sending, "a")
    assert (step.worked, step.wake_at) == (Worked.IDLE, site.clock.now + timedelta(seconds=30))
    site.clock.now += timedelta(seconds=30)
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 6, 0, 0, 0)


def test_proof_of_not_sent_backs_off_and_pauses_in_the_end(site: Site) -> None:
    campaign_id = filled(site, 4, chunk_size=2)
    provider = Provider(lambda *_: NotSent("the connection was refused"))
    waits = []
    sending = site.send_by(provider)
    while site.status(campaign_id).status == "sending":
        step = run_once(sending, "a")
        if step.wake_at is not None:
            waits.append((step.wake_at - site.clock.now).total_seconds())
            site.clock.now = step.wake_at
    assert waits == sorted(waits)
    assert len(provider.calls) == 5
    assert ledger(site, campaign_id) == ("paused", 4, 0, 0, 0, 0)
    assert "Nothing was sent" in (site.status(campaign_id).pause_reason or "")
