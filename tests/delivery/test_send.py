"""A chunk from waiting to its answer: every answer, every doubt, every way back."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mailer.delivery import body, campaigns, reconcile, send
from mailer.delivery.owners import is_gone, new_owner
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadBody,
    BadRecipients,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
    TooLarge,
    Uncertain,
)
from mailer.tables import attempts, chunks, deliveries, events, subscribers
from subscribers import roster, suppression
from subscribers.errors import NewsletterError
from subscribers.models import SuppressionReason
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider

DOUBT = Uncertain("the connection was cut")


def work(site: Site, provider: Provider, campaign_id: int | None = None, limit: int = 200) -> int:
    """Run until nothing may go now; the number of runs."""
    sending = site.send_by(provider)
    owner = new_owner()
    for number in range(limit):
        if run_once(sending, owner, campaign_id).worked is Worked.IDLE:
            return number
    raise AssertionError(f"still at work after {limit} runs")


def ledger(site: Site, campaign_id: int) -> tuple[str, int, int, int, int, int]:
    state = site.status(campaign_id)
    parts = (state.waiting, state.accepted, state.rejected, state.withheld, state.held)
    assert state.frozen == sum(parts)
    counted = dict.fromkeys(("waiting", "accepted", "rejected", "withheld", "held"), 0)
    with site.database.reader() as connection:
        counted |= {
            row[0]: row[1]
            for row in connection.execute(
                select(deliveries.c.handover, func.count())
                .where(deliveries.c.campaign_id == campaign_id)
                .group_by(deliveries.c.handover)
            )
        }
    assert tuple(counted.values()) == parts, "the letters and their chunks tell two stories"
    return (state.status, *parts)


def filled(site: Site, number: int, *, chunk_size: int = 1000, topics: tuple[str, ...] | None = None) -> int:
    site.add_many(number, topics)
    sending = site.settings.sending.model_copy(update={"chunk_size": chunk_size})
    site.settings = site.settings.model_copy(update={"sending": sending})
    return site.freeze()


def bad(*emails: str, names: bool) -> Callable[[list[str], int], Answer]:
    """Refuses calls with these addresses, naming their places or saying nothing of use."""

    def answer(addresses: list[str], number: int) -> Answer:
        places = tuple(place for place, email in enumerate(addresses) if email in emails)
        if not places:
            return Accepted(f"message-{number}")
        return BadRecipients(places[:1], "personalizations: bad") if names else BadSomewhere("bad request")

    return answer


def once(first: Answer, *then: Answer) -> Callable[[list[str], int], Answer]:
    script = [first, *then]
    return lambda _addresses, number: script[number - 1] if number <= len(script) else Accepted(f"m{number}")


def test_accepted_is_accepted_and_the_campaign_ends(site: Site) -> None:
    campaign_id = filled(site, 5, chunk_size=2)
    provider = Provider()
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 5, 0, 0, 0)
    assert sorted(provider.taken) == sorted(set(provider.taken))
    assert len(provider.calls) == 3


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


def test_doubt_is_held_and_never_sent_again_by_itself(site: Site) -> None:
    campaign_id = filled(site, 6, chunk_size=2)
    provider = Provider(once(Accepted("m"), DOUBT))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 4, 0, 0, 2)
    site.clock.now += timedelta(days=30)
    work(site, provider)
    assert len(provider.calls) == 3


def test_an_outage_does_not_hold_a_whole_list(site: Site) -> None:
    campaign_id = filled(site, 40, chunk_size=2)
    work(site, Provider(lambda *_: DOUBT))
    status, waiting, _, _, _, held = ledger(site, campaign_id)
    assert (status, waiting, held) == ("paused", 20, 20)


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


# -- somebody dies, or comes late ----------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone at this moment."""


def died(site: Site, answer: Answer | None = None) -> Provider:
    """A worker that was killed in the middle of its call."""

    def kill() -> None:
        raise Killed

    provider = Provider(before=kill)
    with pytest.raises(Killed):
        run_once(site.send_by(provider), "host:boot:1/999999999/aaaa/bbbb")
    return provider


def test_a_call_whose_owner_died_is_held_when_its_lease_is_over(site: Site) -> None:
    campaign_id = filled(site, 2)
    died(site)
    provider = Provider()
    work(site, provider)
    assert ledger(site, campaign_id) == ("sending", 2, 0, 0, 0, 0)
    site.clock.now += timedelta(seconds=site.settings.sending.lease_seconds)
    work(site, provider)
    assert provider.calls == []
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 0, 2)


def test_a_claim_whose_owner_died_goes_on_without_a_doubt(site: Site) -> None:
    campaign_id = filled(site, 2)
    with site.database.ledger() as connection:
        connection.execute(update(chunks).values(state="claimed", owner="x", lease_until=site.clock.now))
    work(site, Provider())
    assert ledger(site, campaign_id) == ("finished", 0, 2, 0, 0, 0)


def test_a_dead_process_of_this_machine_is_known_before_its_lease_is_over(site: Site) -> None:
    code = "from mailer.delivery.owners import new_owner; print(new_owner())"
    owner = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert is_gone(owner)
    assert not is_gone(new_owner())
    assert not is_gone(None)
    assert not is_gone("another-host:1:2/1/a/b")
    campaign_id = filled(site, 2)
    with site.database.ledger() as connection:
        connection.execute(
            update(chunks).values(
                state="claimed", owner=owner, lease_until=site.clock.now + timedelta(days=1)
            )
        )
    work(site, Provider())
    assert ledger(site, campaign_id) == ("finished", 0, 2, 0, 0, 0)


def late(site: Site, answer: Answer, meanwhile: Callable[[], None] = lambda: None) -> Provider:
    """A worker whose answer comes after its lease, when another has already called it a doubt."""

    def wait() -> None:
        site.clock.now += timedelta(seconds=site.settings.sending.lease_seconds + 1)
        other = Provider()
        work(site, other)
        assert other.calls == []
        meanwhile()

    provider = Provider(lambda *_: answer, before=wait)
    run_once(site.send_by(provider), "a")
    return provider


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (Accepted("m"), ("finished", 0, 2, 0, 0, 0)),
        (DOUBT, ("finished", 0, 0, 0, 0, 2)),
        (NotSent("refused"), ("sending", 2, 0, 0, 0, 0)),
        (Busy(1, "429"), ("sending", 2, 0, 0, 0, 0)),
        (BadBody("subject"), ("sending", 2, 0, 0, 0, 0)),
    ],
)
def test_an_answer_after_the_lease_counts_for_what_it_proves(
    site: Site, answer: Answer, after: tuple[Any, ...]
) -> None:
    campaign_id = filled(site, 2)
    late(site, answer)
    assert ledger(site, campaign_id) == after


def test_an_answer_after_a_persons_decision_changes_nothing(site: Site) -> None:
    campaign_id = filled(site, 2)

    def drop() -> None:
        with site.database.ledger() as connection:
            reconcile.resolve(connection, campaign_id, "drop", site.clock.now)

    late(site, Accepted("m"), drop)
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 2, 0)


# -- pause, resume, cancel -------------------------------------------------------------------------------


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


def test_campaigns_are_listed_newest_first(site: Site) -> None:
    first = filled(site, 1)
    work(site, Provider())
    second = site.freeze()
    with site.database.reader() as connection:
        assert [state.campaign for state in campaigns.list_all(connection)] == [second, first]
