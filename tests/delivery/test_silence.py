"""What a silence says of held letters, and what `[sending] on_uncertain` makes of it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from mailer.delivery import reconcile, silence
from mailer.delivery.transport import Accepted
from mailer.tables import deliveries, events
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, ledger, once, work
from tests.delivery.test_fences import fenced, until
from tests.delivery.test_timing import with_sending

MINUTE = timedelta(minutes=1)


def in_doubt(site: Site, policy: str = "hold") -> tuple[int, Provider]:
    """Three calls of two letters, the second of which had no answer and was not taken."""
    with_sending(site, chunk_size=2, on_uncertain=policy)
    site.add_many(6)
    campaign_id = site.freeze()
    provider = Provider(once(Accepted("m1"), DOUBT))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 4, 0, 0, 2)
    return campaign_id, provider


def heard(site: Site, *chunk_ids: int, after: timedelta = MINUTE) -> None:
    """Events of all letters of these chunks, received so long after now."""
    at = site.clock.now + after
    with site.database.ledger() as connection:
        letters = connection.execute(
            select(deliveries.c.id, deliveries.c.campaign_id).where(deliveries.c.chunk_id.in_(chunk_ids))
        ).all()
        for letter in letters:
            connection.execute(
                insert(events).values(
                    dedupe_key=f"sg:{letter.id}",
                    campaign_id=letter.campaign_id,
                    delivery_id=letter.id,
                    kind="delivered",
                    occurred_at=at,
                    received_at=at,
                    settled=True,
                    detail={},
                )
            )
        connection.execute(
            update(deliveries)
            .where(deliveries.c.chunk_id.in_(chunk_ids))
            .values(fate="delivered", fate_at=at)
        )


def resend(site: Site) -> int:
    with site.database.ledger() as connection:
        return silence.resend(connection, silence.ripe(connection, site.settings, site.clock.now))


def words(site: Site, campaign_id: int) -> str:
    with site.database.reader() as connection:
        [evidence] = silence.evidence(connection, campaign_id, site.clock.now)
    return evidence.in_words


def test_the_evidence_is_told_in_words(site: Site) -> None:
    campaign_id, _ = in_doubt(site)
    site.clock.now += 45 * MINUTE
    assert words(site, campaign_id) == (
        "no event for these 2 in 45 min, and none of any other letter since: "
        "events may not arrive, so this says nothing"
    )
    site.clock.now -= 45 * MINUTE
    heard(site, 1, 3)
    site.clock.now += 20 * MINUTE
    assert words(site, campaign_id) == (
        "no event for these 2 in 20 min while 4 others reported; too early to tell before 30 min"
    )
    site.clock.now += 25 * MINUTE
    assert words(site, campaign_id) == (
        "no event for these 2 in 45 min while 4 others reported: almost surely not accepted"
    )


def test_slow_events_of_the_others_call_for_more_patience(site: Site) -> None:
    campaign_id, _ = in_doubt(site, "resend-when-silent")
    heard(site, 1, 3, after=20 * MINUTE)
    site.clock.now += 59 * MINUTE
    assert "too early to tell before 60 min" in words(site, campaign_id)
    assert resend(site) == 0
    site.clock.now += MINUTE
    assert resend(site) == 1


@pytest.mark.parametrize(
    ("policy", "others", "again"),
    [
        ("hold", True, 0),
        ("resend-when-silent", True, 1),
        ("resend-when-silent", False, 0),
        ("resend", False, 1),
    ],
)
def test_a_policy_says_what_becomes_of_silence(site: Site, policy: str, others: bool, again: int) -> None:
    campaign_id, provider = in_doubt(site, policy)
    if others:
        heard(site, 1, 3)
    site.clock.now += 29 * MINUTE
    assert resend(site) == 0
    site.clock.now += MINUTE
    assert resend(site) == again
    work(site, provider)
    assert ledger(site, campaign_id)[2:] == ((6, 0, 0, 0) if again else (4, 0, 0, 2))
    assert len(set(provider.taken)) == len(provider.taken)


def test_what_is_in_doubt_a_second_time_waits_for_a_person(site: Site) -> None:
    campaign_id, provider = in_doubt(site, "resend")
    provider.answer = lambda *_: DOUBT
    site.clock.now += 30 * MINUTE
    assert resend(site) == 1
    work(site, provider)
    site.clock.now += timedelta(days=1)
    assert resend(site) == 0
    assert ledger(site, campaign_id) == ("finished", 0, 4, 0, 0, 2)


def test_a_letter_that_was_heard_of_is_not_sent_again(site: Site) -> None:
    campaign_id, _ = in_doubt(site, "resend")
    heard(site, 2)
    site.clock.now += 40 * MINUTE
    with site.database.ledger() as connection:
        reconcile.settle_seen(connection)
        assert silence.ripe(connection, site.settings, site.clock.now) == {}
        assert silence.resend(connection, {campaign_id: [2]}) == 0  # it was ripe a moment ago
    assert ledger(site, campaign_id)[2] == 6


def test_a_doubt_behind_a_fence_is_silent_from_its_time_on(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    site.clock.now += 17 * MINUTE  # too late to be cancelled
    until(site, Provider(once(DOUBT)), site.clock.now)
    assert words(site, campaign_id) == "these 2 wait at SendGrid for their time, if they were taken"


def test_again_is_refused_while_the_fence_is_being_cancelled(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    until(site, Provider(once(DOUBT)), site.clock.now)
    decisions: list[Any] = ["again", "drop"]
    with site.database.ledger() as connection, pytest.raises(NewsletterError, match="taken back"):
        reconcile.resolve(connection, campaign_id, decisions[0], site.clock.now)


def test_silence_says_nothing_while_calls_that_were_taken_are_as_silent(site: Site) -> None:
    with_sending(site, chunk_size=1, on_uncertain="resend-when-silent")
    site.add_many(12)
    campaign_id = site.freeze()
    work(site, Provider(once(*[Accepted(f"m{number}") for number in range(5)], DOUBT)))
    heard(site, 1)
    site.clock.now += 45 * MINUTE
    assert words(site, campaign_id) == (
        "no event for these 1 in 45 min while 1 other reported, but 10 of the 11 calls before it that were "
        "surely taken are as silent: events are late or missing, so this says nothing"
    )
    assert resend(site) == 0
    heard(site, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, after=-40 * MINUTE)
    assert "11 others reported: almost surely not accepted" in words(site, campaign_id)
    assert resend(site) == 1


def test_young_doubts_cost_no_weighing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    in_doubt(site, "resend")
    weighed: list[int] = []

    def taken(_connection: Connection, campaign_id: int) -> list[Any]:
        weighed.append(campaign_id)
        return []

    monkeypatch.setattr(silence, "_taken", taken)
    site.clock.now += 29 * MINUTE
    assert resend(site) == 0
    assert weighed == []
    site.clock.now += MINUTE
    assert resend(site) == 1
    assert len(weighed) == 1
