"""What nobody saw the answer of: held, proved by events, settled by people."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mailer.delivery import campaigns, reconcile
from mailer.delivery.send import run_once
from mailer.delivery.transport import (
    Accepted,
)
from mailer.tables import attempts, deliveries, events
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, filled, ledger, once, work


def test_doubt_is_held_and_never_sent_again_by_itself(site: Site) -> None:
    campaign_id = filled(site, 6, chunk_size=2)
    provider = Provider(once(Accepted("m"), DOUBT))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 4, 0, 0, 2)
    site.clock.now += timedelta(days=30)
    work(site, provider)
    assert len(provider.calls) == 3


@pytest.mark.parametrize("by", ["attempt", "letter"])
def test_any_event_however_late_proves_that_a_doubtful_call_went(site: Site, by: str) -> None:
    campaign_id = filled(site, 3)
    work(site, Provider(once(DOUBT)))
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 0, 3)
    site.clock.now += timedelta(days=60)
    with site.database.ledger() as connection:
        attempt_id = connection.execute(select(attempts.c.id)).scalar_one()
        letter = connection.execute(select(func.min(deliveries.c.id))).scalar_one()
        assert (
            reconcile.witness(connection, *([[attempt_id], []] if by == "attempt" else [[], [letter]])) == 1
        )
        assert reconcile.witness(connection, [attempt_id], [letter]) == 0
    assert ledger(site, campaign_id) == ("finished", 0, 3, 0, 0, 0)


def test_an_event_of_something_else_proves_nothing(site: Site) -> None:
    campaign_id = filled(site, 3)
    work(site, Provider(once(DOUBT)))
    with site.database.ledger() as connection:
        assert reconcile.witness(connection, ["0" * 32], [10**9]) == 0
    assert ledger(site, campaign_id)[-1] == 3


@pytest.mark.parametrize("how", ["fate", "event"])
def test_an_event_that_overtook_the_answer_settles_the_doubt_at_once(site: Site, how: str) -> None:
    campaign_id = filled(site, 3)

    def arrive() -> None:
        with site.database.tracking() as connection:
            letter = connection.execute(select(func.min(deliveries.c.id))).scalar_one()
            if how == "fate":
                connection.execute(
                    update(deliveries).where(deliveries.c.id == letter).values(fate="processed")
                )
            else:
                connection.execute(
                    events.insert().values(
                        dedupe_key="w:1",
                        delivery_id=letter,
                        kind="open",
                        occurred_at=site.clock.now,
                        received_at=site.clock.now,
                        settled=True,
                        detail={},
                    )
                )

    work(site, Provider(once(DOUBT), before=arrive))
    assert ledger(site, campaign_id) == ("finished", 0, 3, 0, 0, 0)


def test_the_clock_settles_what_events_have_shown(site: Site) -> None:
    campaign_id = filled(site, 3)
    work(site, Provider(once(DOUBT)))
    with site.database.ledger() as connection:
        assert reconcile.settle_seen(connection) == 0
        connection.execute(update(deliveries).values(fate="delivered"))
        assert reconcile.settle_seen(connection) == 1
    assert ledger(site, campaign_id)[2] == 3


@pytest.mark.parametrize(
    ("decision", "after"),
    [
        ("sent", ("finished", 0, 3, 0, 0, 0)),
        ("again", ("sending", 3, 0, 0, 0, 0)),
        ("drop", ("finished", 0, 0, 0, 3, 0)),
    ],
)
def test_a_person_settles_a_doubt(site: Site, decision: Any, after: tuple[Any, ...]) -> None:
    campaign_id = filled(site, 3)
    provider = Provider(once(DOUBT))
    work(site, provider)
    with site.database.ledger() as connection:
        [doubt] = reconcile.doubts(connection, campaign_id)
        assert (doubt.letters, doubt.detail) == (3, "the connection was cut")
        assert reconcile.resolve(connection, campaign_id, decision, site.clock.now) == 3
        assert reconcile.doubts(connection, campaign_id) == []
    assert ledger(site, campaign_id) == after
    work(site, provider)
    assert len(provider.calls) == (2 if decision == "again" else 1)
    assert ledger(site, campaign_id)[0] == "finished"


def test_a_dropped_doubt_keeps_its_place_in_the_issue(site: Site) -> None:
    campaign_id = filled(site, 2)
    work(site, Provider(once(DOUBT)))
    with site.database.ledger() as connection:
        reconcile.resolve(connection, campaign_id, "drop", site.clock.now)
    again = site.freeze()
    assert site.status(again).skipped == {"already_sent": 2}


def test_an_event_takes_back_what_a_person_wanted_sent_again(site: Site) -> None:
    campaign_id = filled(site, 3)
    provider = Provider(once(DOUBT), takes_in_doubt=True)
    work(site, provider)
    with site.database.ledger() as connection:
        attempt_id = connection.execute(select(attempts.c.id)).scalar_one()
        reconcile.resolve(connection, campaign_id, "again", site.clock.now)
        assert reconcile.witness(connection, [attempt_id], []) == 1
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 3, 0, 0, 0)
    assert len(provider.taken) == 3


def test_nothing_of_a_cancelled_campaign_is_sent_again(site: Site) -> None:
    campaign_id = filled(site, 4, chunk_size=2)
    run_once(site.send_by(Provider(once(DOUBT))), "a")
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
        with pytest.raises(NewsletterError, match="cancelled"):
            reconcile.resolve(connection, campaign_id, "again", site.clock.now)
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 2, 2)
