"""A few people get every edition first, and nobody else before they have had time to look."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from mailer.delivery import campaigns, freeze, seeds
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import Answer, Busy, NotSent, Uncertain
from mailer.editions.compose import compose
from mailer.insight import troubles
from mailer.tables import deliveries, list_members, seed_letters, subscribers
from mailer.tables import lists as list_rows
from subscribers import lists
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider, addresses_of
from tests.delivery.steps import bad, ledger, once, work
from tests.delivery.test_fences import AT, fenced, until
from tests.delivery.test_timing import with_sending

LEAD = timedelta(minutes=15)


def with_seeds(site: Site, *emails: str, **values: Any) -> None:
    with_sending(site, seed_list="Editors", **values)
    people = [site.add(("car-t",), email=email, status="active") for email in emails]
    with site.database.ledger() as connection:
        lists.create(connection, "Editors", now=site.clock.now)
        for person in people:
            connection.execute(
                insert(list_members).values(
                    list_id=lists.get(connection, "Editors").id,
                    subscriber_id=person,
                    added_at=site.clock.now,
                )
            )


def states(site: Site) -> list[str]:
    with site.database.reader() as connection:
        return list(connection.execute(select(seed_letters.c.state)).scalars())


def test_seeds_get_every_edition_at_once_and_all_others_a_quarter_of_an_hour_later(site: Site) -> None:
    with_seeds(site, "one@example.com", "two@example.com")
    site.add_many(3)
    site.add_many(2, ("myeloma",))
    campaign_id = site.freeze()
    begun = site.clock.now
    provider = Provider()
    until(site, provider, begun)
    assert [addresses_of(body) for body in provider.calls] == [["one@example.com", "two@example.com"]] * 3
    first = provider.calls[0]
    assert not first["subject"].startswith("[TEST]")
    assert "custom_args" not in first["personalizations"][0]
    assert ledger(site, campaign_id)[:3] == ("sending", 7, 0)
    until(site, provider, begun + LEAD - timedelta(seconds=1))
    assert len(provider.calls) == 3
    until(site, provider, begun + LEAD)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 7)
    assert states(site) == ["accepted"] * 3


def test_a_grace_comes_before_the_seeds(site: Site) -> None:
    with_seeds(site, "one@example.com", grace="5m")
    campaign_id = site.freeze()
    begun = site.clock.now
    provider = Provider()
    until(site, provider, begun + timedelta(minutes=4))
    assert provider.calls == []
    until(site, provider, begun + timedelta(minutes=5))
    assert len(provider.calls) == 1
    until(site, provider, begun + timedelta(minutes=20))
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 1)


def test_seeds_of_a_planned_campaign_look_a_quarter_of_an_hour_before_it(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = fenced(site, 2)
    provider = Provider()
    until(site, provider, AT - LEAD - timedelta(seconds=1))
    assert [addresses_of(body) for body in provider.calls if "send_at" not in body] == []
    until(site, provider, AT - LEAD)
    assert len([body for body in provider.calls if "send_at" not in body]) == 2
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[0] == "finished"


def test_an_unknown_seed_list_is_refused_before_anything_is_frozen(site: Site) -> None:
    with_sending(site, seed_list="Nobody")
    site.add(None)
    campaign_id = site.create()
    with pytest.raises(NewsletterError, match="there is no list 'Nobody'"):
        freeze.freeze(
            site.database, campaign_id, settings=site.settings, leaves=site.leaves, clock=site.clock
        )
    assert site.status(campaign_id).frozen == 0


def test_seeds_who_left_get_nothing(site: Site) -> None:
    with_seeds(site, "one@example.com", "two@example.com")
    site.freeze()
    with site.database.ledger() as connection:
        connection.execute(
            update(subscribers).where(subscribers.c.email == "one@example.com").values(status="unsubscribed")
        )
    provider = Provider()
    until(site, provider, site.clock.now)
    assert provider.taken == ["two@example.com"]


def test_a_seed_letter_is_handed_over_once_whatever_dies(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = site.freeze()

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_once(site.send_by(Provider(before=kill)), "a")
    provider = Provider()
    until(site, provider, site.clock.now + LEAD)
    work(site, provider)
    assert len(provider.calls) == 1  # the campaign's own
    assert ledger(site, campaign_id)[0] == "finished"


@pytest.mark.parametrize(("answer", "calls"), [(NotSent("refused"), 2), (Uncertain("cut"), 1)])
def test_only_proof_lets_a_seed_letter_go_again(site: Site, answer: Answer, calls: int) -> None:
    with_seeds(site, "one@example.com")
    site.freeze()
    provider = Provider(once(answer))
    until(site, provider, site.clock.now + timedelta(minutes=1))
    assert len(provider.calls) == calls


def test_a_campaign_stopped_by_a_seed_sends_nothing(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = site.freeze()
    provider = Provider()
    until(site, provider, site.clock.now)
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
    site.clock.now += LEAD
    assert run_once(site.send_by(provider), "a").worked is Worked.IDLE
    assert len(provider.calls) == 1
    with site.database.reader() as connection:
        assert connection.execute(select(deliveries.c.handover)).scalars().all() == ["withheld"]


def names_no_list(site: Site) -> None:
    with site.database.ledger() as connection:
        connection.execute(delete(list_members))
        connection.execute(delete(list_rows))


def takes_too_many(site: Site) -> None:
    with site.database.ledger() as connection:
        [list_id] = connection.execute(select(list_rows.c.id)).scalars()
        readers = connection.execute(
            select(subscribers.c.id).where(subscribers.c.email.like("reader%"))
        ).scalars()
        added = [{"list_id": list_id, "subscriber_id": person} for person in readers]
        connection.execute(insert(list_members).values(added_at=site.clock.now), added)


@pytest.mark.parametrize(
    ("change", "said"),
    [(names_no_list, "there is no list 'Editors'"), (takes_too_many, "1 at most look before all others")],
)
def test_a_seed_list_that_can_no_longer_be_used_holds_nobody_up(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: Callable[[Site], None], said: str
) -> None:
    with_seeds(site, "one@example.com")
    site.add_many(2)
    campaign_id = site.freeze()
    monkeypatch.setattr(seeds, "PEOPLE_MAX", 1)
    change(site)
    provider = Provider()
    until(site, provider, site.clock.now)
    assert (states(site), provider.calls) == (["refused"] * 2, [])
    with site.database.reader() as connection:
        [trouble] = troubles.all_of(connection, site.settings, site.clock.now)
    assert trouble.kind == "seeds"
    assert said in trouble.said
    until(site, provider, site.clock.now + LEAD)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 3)
    with site.database.reader() as connection:
        assert troubles.all_of(connection, site.settings, site.clock.now) == []


def test_nobody_waits_to_write_while_a_seed_letter_is_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_seeds(site, "one@example.com")
    site.freeze()
    made: list[Any] = []

    def composed(*arguments: Any) -> Any:
        with site.database.ledger() as connection:  # another's, at this moment
            made.append(connection.execute(select(seed_letters.c.state)).scalar_one())
        return compose(*arguments)

    monkeypatch.setattr(seeds, "compose", composed)
    until(site, Provider(), site.clock.now)
    assert made == ["claimed"]
    assert states(site) == ["accepted"]


def told(site: Site) -> list[str]:
    with site.database.reader() as connection:
        return [each.said for each in troubles.all_of(connection, site.settings, site.clock.now)]


def test_the_others_wait_for_seeds_that_were_put_off(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = site.freeze()
    begun = site.clock.now
    provider = Provider(once(Busy(900.0, "too many requests"), Busy(120.0, "too many requests")))
    until(site, provider, begun + LEAD - timedelta(seconds=1))
    assert len(provider.calls) == 1
    assert "too many requests" in told(site)[0]
    until(site, provider, begun + LEAD)
    assert (len(provider.calls), states(site)) == (2, ["waiting"])
    until(site, provider, begun + LEAD + timedelta(minutes=2))
    assert (states(site), told(site)) == (["accepted"], [])
    until(site, provider, begun + 2 * LEAD + timedelta(minutes=1, seconds=59))
    assert ledger(site, campaign_id)[:3] == ("sending", 1, 0)
    until(site, provider, begun + 2 * LEAD + timedelta(minutes=2))
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 1)


def test_a_pause_takes_nothing_from_the_time_to_look(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = site.freeze()
    with site.database.ledger() as connection:
        campaigns.pause(connection, campaign_id)
    site.clock.now += 2 * LEAD
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign_id, site.clock.now)
    provider = Provider()
    resumed = site.clock.now
    until(site, provider, resumed + LEAD - timedelta(seconds=1))
    assert len(provider.calls) == 1
    until(site, provider, resumed + LEAD)
    assert len(provider.calls) == 2


def test_a_bad_address_costs_the_other_seeds_nothing(site: Site) -> None:
    with_seeds(site, "one@example.com", "bad@example.com", "two@example.com")
    site.freeze()
    provider = Provider(bad("bad@example.com", names=True))
    until(site, provider, site.clock.now)
    assert provider.taken == ["one@example.com", "two@example.com"]
    assert "SendGrid refused 1 of 3 addresses" in told(site)[0]


def test_a_doubt_and_a_dead_caller_are_told(site: Site) -> None:
    with_seeds(site, "one@example.com")
    campaign_id = site.freeze()
    with site.database.ledger() as connection:
        connection.execute(update(seed_letters).values(state="claimed", claimed_at=site.clock.now))
    site.clock.now += timedelta(hours=1)
    with site.database.ledger() as connection:
        seeds.settle(connection, site.clock.now, timedelta(minutes=5))
    assert states(site) == ["uncertain"]
    assert "whoever made the call is gone" in told(site)[0]
    with site.database.ledger() as connection:
        connection.execute(update(seed_letters).values(state="waiting"))
        campaigns.cancel(connection, campaign_id, site.clock.now)
        seeds.settle(connection, site.clock.now, timedelta(minutes=5))
    assert states(site) == ["refused"]
