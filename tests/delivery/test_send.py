"""A chunk from waiting to its call: who gets it, who no longer does, and that nobody else has it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mailer.delivery import body, campaigns, send
from mailer.delivery.send import Worked, run_once
from mailer.tables import attempts, chunks, deliveries, subscribers
from subscribers import roster, suppression
from subscribers.models import SuppressionReason
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import filled, ledger, work


def test_the_attempt_is_on_the_disk_before_the_call_and_names_itself_in_every_letter(site: Site) -> None:
    campaign_id = filled(site, 2)
    seen: list[Any] = []

    def look() -> None:
        with site.database.reader() as connection:
            seen.extend(
                connection.execute(
                    select(attempts.c.id, attempts.c.outcome, chunks.c.state).join(
                        chunks, chunks.c.id == attempts.c.chunk_id
                    )
                ).all()
            )

    provider = Provider(before=look)
    work(site, provider)
    [(attempt_id, outcome, state)] = seen
    assert (outcome, state) == (None, "submitting")
    assert {person["custom_args"]["nl_a"] for person in provider.calls[0]["personalizations"]} == {attempt_id}
    assert ledger(site, campaign_id)[0] == "finished"


def test_who_left_after_the_freeze_is_withheld_with_the_reason(site: Site) -> None:
    campaign_id = filled(site, 6)
    with site.database.ledger() as connection:
        ids = connection.execute(select(subscribers.c.id).order_by(subscribers.c.id)).scalars().all()
        roster.unsubscribe(connection, ids[0], now=site.clock.now, source="test", agent=None)
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == ids[1])
            .values(paused_until=site.clock.now + timedelta(days=3))
        )
        key_hash = connection.execute(
            select(subscribers.c.key_hash).where(subscribers.c.id == ids[2])
        ).scalar_one()
        suppression.suppress(
            connection, key_hash=key_hash, reason=SuppressionReason.COMPLAINT, now=site.clock.now
        )
        connection.execute(
            update(deliveries)
            .where(deliveries.c.subscriber_id == ids[3])
            .values(email="", subscriber_id=None)
        )
    provider = Provider()
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 2, 0, 4, 0)
    assert sorted(provider.taken) == ["reader5@example.org", "reader6@example.org"]
    with site.database.reader() as connection:
        reasons = connection.execute(select(deliveries.c.reason).where(deliveries.c.reason.is_not(None)))
        assert sorted(reasons.scalars()) == ["erased", "paused", "suppressed", "unsubscribed"]


def test_an_address_that_changed_hands_gets_one_letter(site: Site) -> None:
    campaign_id = filled(site, 4)
    with site.database.ledger() as connection:
        connection.execute(
            update(deliveries).where(deliveries.c.id.in_([1, 2, 3])).values(email="One@example.org")
        )
        connection.execute(update(subscribers).where(subscribers.c.id == 1).values(status="unsubscribed"))
    provider = Provider()
    work(site, provider)
    assert sorted(provider.taken) == ["One@example.org", "reader4@example.org"]
    assert ledger(site, campaign_id) == ("finished", 0, 2, 0, 2, 0)


def test_a_chunk_of_which_nobody_is_left_makes_no_call(site: Site) -> None:
    campaign_id = filled(site, 2)
    with site.database.ledger() as connection:
        connection.execute(update(subscribers).values(status="unsubscribed"))
    provider = Provider()
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 2, 0)
    assert provider.calls == []


def test_only_to_holds_at_the_claim_as_well(site: Site) -> None:
    campaign_id = filled(site, 2)
    sending = site.settings.sending.model_copy(update={"only_to": ("reader1@example.org",)})
    site.settings = site.settings.model_copy(update={"sending": sending})
    provider = Provider()
    work(site, provider)
    assert provider.taken == ["reader1@example.org"]
    assert ledger(site, campaign_id) == ("finished", 0, 1, 0, 1, 0)


def test_consent_is_read_when_the_letter_is_made(site: Site) -> None:
    filled(site, 2)
    with site.database.ledger() as connection:
        connection.execute(update(subscribers).where(subscribers.c.id == 2).values(track_consent=True))
    work(site, Provider())
    with site.database.reader() as connection:
        assert connection.execute(
            select(deliveries.c.measured).order_by(deliveries.c.id)
        ).scalars().all() == [False, True]


def test_the_first_call_goes_alone_until_it_was_good(site: Site) -> None:
    filled(site, 6, chunk_size=2)
    others: list[Worked] = []
    provider = Provider()

    def second_thread() -> None:
        if len(provider.calls) == 1:
            others.append(run_once(site.send_by(Provider()), "b").worked)

    provider.before = second_thread
    sending = site.send_by(provider)
    run_once(sending, "a")
    assert others == [Worked.IDLE]
    provider.before = lambda: others.append(run_once(site.send_by(Provider()), "b").worked)
    run_once(sending, "a")
    assert others[-1] is Worked.CALLED


def test_two_workers_never_have_one_chunk(site: Site) -> None:
    campaign_id = filled(site, 8, chunk_size=2)
    inner = Provider()
    outer = Provider()

    def other_worker() -> None:
        run_once(site.send_by(inner), "b")

    outer.before = other_worker
    work(site, outer)
    assert sorted(outer.taken + inner.taken) == sorted(
        f"reader{number}@example.org" for number in range(1, 9)
    )
    assert ledger(site, campaign_id)[0] == "finished"


def test_a_pause_between_claim_and_call_sends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_id = filled(site, 2)

    def pause_meanwhile(*arguments: Any, **named: Any) -> Any:
        with site.database.ledger() as connection:
            campaigns.pause(connection, campaign_id)
        return body.build(*arguments, **named)

    monkeypatch.setattr(send, "build", pause_meanwhile)
    provider = Provider()
    run_once(site.send_by(provider), "a")
    assert provider.calls == []
    assert ledger(site, campaign_id) == ("paused", 2, 0, 0, 0, 0)
