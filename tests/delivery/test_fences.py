"""Handed over ahead of its time, a lost answer costs nothing, and a whole campaign can be taken back."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from sqlalchemy import func, select, update

from mailer.delivery import campaigns, fences, reconcile, withdrawal
from mailer.delivery.care import care
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import Accepted, Answer, BatchCancelled, BatchUnknown, NoBatch, Uncertain
from mailer.links import Purpose
from mailer.tables import attempts, chunks, deliveries
from mailer.tables import fences as fence_rows
from mailer.tracking.webhook import ingest
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, ledger, once, work
from tests.delivery.test_timing import planned, with_sending

AT = datetime(2026, 4, 10, 6, 0, tzinfo=UTC)  # 30 minutes after the clock of these tests


def fenced(site: Site, readers: int, *, chunk_size: int = 1000, slots: int = 8) -> int:
    """A campaign at 06:00 UTC, frozen half an hour before, planned a day before."""
    with_sending(site, chunk_size=chunk_size, fence_slots=slots)
    site.add_many(readers)
    return planned(site, "2026-04-10 08:00", ahead=timedelta(days=1))


def everyone(readers: int) -> list[str]:
    return sorted(f"reader{number}@example.org" for number in range(1, readers + 1))


def until(site: Site, provider: Provider, at: datetime) -> None:
    """Let the time go on to `at`, working whenever something may be done."""
    sending = site.send_by(provider)
    for _ in range(500):
        step = run_once(sending, "worker")
        if step.worked is not Worked.IDLE:
            continue
        if step.wake_at is None or step.wake_at > at:
            site.clock.now = max(at, site.clock.now)
            return
        site.clock.now = max(step.wake_at, site.clock.now + timedelta(milliseconds=1))
    raise AssertionError("still at work")


def states(site: Site) -> list[str]:
    with site.database.reader() as connection:
        return list(connection.execute(select(fence_rows.c.state).order_by(fence_rows.c.id)).scalars())


def test_letters_are_handed_over_ahead_with_their_time_and_an_id(site: Site) -> None:
    campaign_id = fenced(site, 6, chunk_size=1, slots=4)
    provider = Provider()
    work(site, provider)
    assert {body["send_at"] for body in provider.calls} == {int(AT.timestamp())}
    assert {body["batch_id"] for body in provider.calls} == set(provider.batches)
    assert len(provider.batches) == 4
    assert ledger(site, campaign_id)[:3] == ("sending", 0, 6)  # it can still be taken back
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 6)
    assert set(states(site)) == {"spent"}
    assert "cancel" not in provider.asked


@pytest.mark.parametrize("was_taken", [False, True])
def test_a_lost_answer_is_cancelled_and_goes_again_without_evidence(site: Site, was_taken: bool) -> None:
    campaign_id = fenced(site, 6, chunk_size=2, slots=1)
    provider = Provider(once(Accepted("m1"), DOUBT), takes_in_doubt=was_taken)
    begun = site.clock.now
    until(site, provider, begun)
    assert ledger(site, campaign_id) == ("sending", 0, 4, 0, 0, 2)
    assert states(site) == ["cancelling", "open"]  # no chunk goes behind the first any more
    until(site, provider, begun + timedelta(seconds=119))
    assert "cancel" not in provider.asked  # the call may still be under way: its deadline, and a minute
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 6)
    assert provider.gone == everyone(6)
    assert states(site) == ["cancelled", "spent"]
    with site.database.reader() as connection:
        outcomes = connection.execute(select(attempts.c.outcome, func.count()).group_by(attempts.c.outcome))
        assert {row[0]: row[1] for row in outcomes} == {"withdrawn": 2, "accepted": 3}


def test_the_death_of_a_worker_behind_a_fence_is_a_lost_answer(site: Site) -> None:
    campaign_id = fenced(site, 4, chunk_size=2, slots=1)

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_once(site.send_by(Provider(before=kill)), "elsewhere:1:2/3/a/b")
    provider = Provider(batches={"batch-1": False})
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 4)
    assert provider.gone == everyone(4)


def test_the_answer_of_a_call_whose_fence_was_cancelled_changes_nothing(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    other = Provider(batches={"batch-1": False})

    def sleep() -> None:
        site.clock.now += timedelta(seconds=200)
        until(site, other, site.clock.now + timedelta(seconds=300))

    first = Provider(before=sleep)
    run_once(site.send_by(first), "a")
    until(site, other, AT)
    work(site, other)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 2)
    assert other.gone == everyone(2)
    with site.database.reader() as connection:
        found = connection.execute(select(attempts.c.outcome).order_by(attempts.c.started_at)).scalars()
        assert found.all() == ["withdrawn", "accepted"]


def test_a_cancel_that_had_no_answer_is_asked_about_and_asked_for_again(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    lost = lambda what, number: BatchUnknown("cut") if what in ("cancel", "status") and number < 4 else None  # noqa: E731
    provider = Provider(once(DOUBT), takes_in_doubt=True, instead=lost)
    until(site, provider, AT)
    work(site, provider)
    assert provider.asked.count("cancel") == 4
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 2)
    assert provider.gone == everyone(2)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_may_or_may_not_be_cancelled_is_held_whole(site: Site, is_cancelled: bool) -> None:
    campaign_id = fenced(site, 4, chunk_size=2, slots=1)

    def instead(what: str, _number: int) -> BatchUnknown | None:
        return BatchUnknown("cut") if what != "new" else None

    provider = Provider(once(Accepted("m"), DOUBT), takes_in_doubt=is_cancelled, instead=instead)
    until(site, provider, AT + timedelta(minutes=1))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 0, 4)
    with site.database.ledger() as connection:
        ids = connection.execute(select(attempts.c.id)).scalars().all()
        assert withdrawal.revoked(connection, ids) == frozenset(ids)
        connection.execute(update(deliveries).where(deliveries.c.chunk_id == 1).values(fate="delivered"))
        assert reconcile.settle_seen(connection) == 1
    assert ledger(site, campaign_id) == ("finished", 0, 2, 0, 0, 2)


def test_a_cancel_said_after_its_time_by_sendgrids_clock_is_not_believed(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)

    def instead(what: str, _number: int) -> BatchCancelled | None:
        return BatchCancelled(AT + timedelta(minutes=1)) if what == "cancel" else None

    provider = Provider(once(DOUBT), takes_in_doubt=True, instead=instead)
    until(site, provider, AT + timedelta(minutes=1))
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 0, 2)


def test_nothing_is_handed_over_ahead_in_the_last_twelve_minutes(site: Site) -> None:
    campaign_id = fenced(site, 4, chunk_size=2, slots=1)
    provider = Provider()
    run_once(site.send_by(provider), "a")
    site.clock.now = AT - timedelta(minutes=11)
    until(site, provider, AT - timedelta(seconds=1))
    assert len(provider.calls) == 1
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 4)
    assert "send_at" not in provider.calls[-1]
    assert provider.gone == everyone(4)


def test_an_answer_lost_too_late_is_held_for_evidence(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    site.clock.now = AT - timedelta(minutes=13)
    provider = Provider(once(DOUBT))
    until(site, provider, AT)
    work(site, provider)
    assert "cancel" not in provider.asked
    assert ledger(site, campaign_id) == ("finished", 0, 0, 0, 0, 2)


def test_never_more_than_ten_ids_and_what_finds_none_is_held(site: Site) -> None:
    campaign_id = fenced(site, 40, chunk_size=1, slots=8)
    numbers: set[int] = set()

    def answer(_addresses: list[str], number: int) -> Answer:
        if number in (10, 20, 30, 36, 41):
            numbers.add(number)
            return DOUBT
        return Accepted(f"m{number}")

    provider = Provider(answer, takes_in_doubt=True)
    until(site, provider, AT)
    work(site, provider)
    assert len(provider.batches) <= 10
    status, waiting, accepted, _, _, held = ledger(site, campaign_id)
    assert (status, waiting, accepted + held) == ("finished", 0, 40)
    assert 1 <= held <= 3
    assert provider.gone == everyone(40)
    assert numbers


def test_an_account_without_batch_ids_sends_at_the_time(site: Site) -> None:
    campaign_id = fenced(site, 2)
    provider = Provider(
        instead=lambda what, _number: NoBatch("403", is_final=True) if what == "new" else None
    )
    until(site, provider, AT - timedelta(seconds=1))
    assert provider.calls == []
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 2)


def test_an_id_that_could_not_be_had_is_asked_for_again(site: Site) -> None:
    fenced(site, 2)
    provider = Provider(instead=lambda what, number: NoBatch("cut") if number < 3 else None)
    until(site, provider, site.clock.now + timedelta(minutes=1))
    assert provider.asked == ["new"] * 3
    assert len(provider.calls) == 1


def test_cancel_takes_a_whole_campaign_back(site: Site) -> None:
    campaign_id = fenced(site, 8, chunk_size=1, slots=3)
    provider = Provider(once(Accepted("m"), DOUBT), takes_in_doubt=True)
    for _ in range(6):
        run_once(site.send_by(provider), "a")
    with site.database.ledger() as connection:
        found = fences.reach_of(connection, [campaign_id], site.clock.now)[campaign_id]
        assert found.beyond == 0
        assert found.revocable >= 4
        campaigns.cancel(connection, campaign_id, site.clock.now)
        fences.withdraw(connection, campaign_id, site.clock.now, timedelta(seconds=60))
    until(site, provider, AT + timedelta(minutes=1))
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 8, 0)
    assert provider.gone == []
    with site.database.reader() as connection:
        reasons = connection.execute(select(deliveries.c.reason).distinct()).scalars().all()
    assert reasons == ["cancelled"]
    again = site.freeze()  # and nobody has had the issue
    assert site.status(again).frozen == 8


def test_a_worker_takes_back_what_a_cancel_that_died_did_not(site: Site) -> None:
    campaign_id = fenced(site, 2, slots=1)
    provider = Provider()
    work(site, provider)
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
    work(site, provider)
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 2, 0)
    assert provider.gone == []


def test_cancel_too_late_leaves_what_is_beyond_reach_and_says_so(site: Site) -> None:
    campaign_id = fenced(site, 4, chunk_size=2, slots=1)
    provider = Provider()
    run_once(site.send_by(provider), "a")
    site.clock.now = AT - timedelta(minutes=11)
    with site.database.ledger() as connection:
        found = fences.reach_of(connection, [campaign_id], site.clock.now)[campaign_id]
        assert (found.revocable, found.beyond) == (0, 2)
        campaigns.cancel(connection, campaign_id, site.clock.now)
    until(site, provider, AT + timedelta(minutes=1))
    assert ledger(site, campaign_id) == ("cancelled", 0, 2, 0, 2, 0)
    assert provider.gone == everyone(4)[:2]


def told(site: Site, kind: str, delivery_id: int, attempt_id: str) -> None:
    """SendGrid tells of a letter."""
    sending = site.send_by(Provider())
    event = {
        "email": "reader@example.org",
        "event": kind,
        "timestamp": int(site.clock.now.timestamp()),
        "sg_event_id": f"{kind}-{delivery_id}-{attempt_id}",
        "nl_d": sending.tokens.sign(Purpose.EVENT, delivery_id),
        "nl_a": attempt_id,
    }
    ingest(
        site.database,
        orjson.dumps([event]),
        tokens=sending.tokens,
        settings=site.settings,
        now=site.clock.now,
    )


def calls_of(site: Site) -> list[str]:
    with site.database.reader() as connection:
        found = connection.execute(select(attempts.c.id).order_by(attempts.c.started_at, attempts.c.chunk_id))
        return list(found.scalars())


def test_a_receipt_of_a_call_that_was_taken_back_proves_nothing_of_the_next(site: Site) -> None:
    """Whenever it comes: before the cancel, while the letter waits, or while its next call is in doubt."""
    campaign_id = fenced(site, 3, slots=1)
    provider = Provider(once(Accepted("m1"), DOUBT))
    sending = site.send_by(provider)
    run_once(sending, "a")
    [first] = calls_of(site)
    told(site, "processed", 1, first)
    with site.database.ledger() as connection:
        assert (
            connection.execute(select(deliveries.c.fate).where(deliveries.c.id == 1)).scalar() == "processed"
        )
        # An answer of another chunk behind the same fence was lost.
        connection.execute(update(fence_rows).values(state="cancelling", cancel_from=site.clock.now))
    assert care(sending, "a")
    told(site, "processed", 2, first)
    assert ledger(site, campaign_id)[1] == 3
    site.clock.now = AT - timedelta(minutes=13)  # the next answer is lost too late for another cancel
    run_once(sending, "a")
    told(site, "processed", 3, first)
    with site.database.ledger() as connection:
        assert reconcile.settle_seen(connection) == 0
    assert ledger(site, campaign_id) == ("sending", 0, 0, 0, 0, 3)
    told(site, "processed", 3, calls_of(site)[1])
    assert ledger(site, campaign_id)[2] == 3


def test_the_readers_of_a_campaign_taken_back_in_vain_get_no_second_one(site: Site) -> None:
    campaign_id = fenced(site, 4, chunk_size=2, slots=1)
    sending = site.send_by(Provider())
    run_once(sending, "a")
    run_once(sending, "a")
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
    assert care(sending, "a")
    while care(sending, "a"):
        continue
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 4, 0)
    told(site, "delivered", 1, calls_of(site)[0])
    assert ledger(site, campaign_id) == ("cancelled", 0, 0, 0, 4, 0)
    with site.database.reader() as connection:
        assert withdrawal.letters_that_went_anyway(connection, [campaign_id]) == {campaign_id: 2}
    assert site.status(site.freeze()).skipped == {"already_sent": 4}


def test_a_letter_that_went_although_cancelled_is_shown_and_goes_no_second_time(site: Site) -> None:
    campaign_id = fenced(site, 6, chunk_size=2, slots=1)
    provider = Provider(once(Accepted("m1"), DOUBT))
    sending = site.send_by(provider)
    run_once(sending, "a")
    run_once(sending, "a")
    site.clock.now += timedelta(seconds=121)
    assert care(sending, "a")
    assert ledger(site, campaign_id) == ("sending", 6, 0, 0, 0, 0)
    with site.database.ledger() as connection:
        first = connection.execute(
            select(attempts.c.id).order_by(attempts.c.started_at, attempts.c.chunk_id).limit(1)
        ).scalar_one()
        connection.execute(update(deliveries).where(deliveries.c.id == 1).values(fate="delivered"))
        assert withdrawal.went_anyway(connection, [first], site.clock.now) == 1
        assert withdrawal.went_anyway(connection, [first], site.clock.now) == 0
        assert withdrawal.letters_that_went_anyway(connection, [campaign_id]) == {campaign_id: 2}
    assert ledger(site, campaign_id) == ("paused", 2, 2, 0, 0, 2)
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign_id, site.clock.now)
    until(site, provider, AT)
    work(site, provider)
    assert ledger(site, campaign_id) == ("finished", 0, 4, 0, 0, 2)


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=1), timedelta(days=3650)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_jumps_doubles_nothing(site: Site, jump: timedelta, sign: int) -> None:
    campaign_id = fenced(site, 6, chunk_size=2, slots=2)
    right = site.clock.now
    provider = Provider(once(Accepted("m1"), DOUBT), takes_in_doubt=True)
    run_once(site.send_by(provider), "a")
    run_once(site.send_by(provider), "a")
    site.clock.now = right + sign * jump
    for _ in range(20):
        run_once(site.send_by(provider), "b")
    site.clock.now = right + timedelta(seconds=10)
    until(site, provider, AT)
    work(site, provider)
    status, waiting, accepted, _, _, held = ledger(site, campaign_id)
    assert (status, waiting, accepted + held) == ("finished", 0, 6)
    assert provider.gone == everyone(6)


def test_a_fence_of_a_chunk_in_doubt_tells_its_state(site: Site) -> None:
    fenced(site, 2, slots=1)
    work(site, Provider(lambda *_: Uncertain("cut")), limit=400)
    with site.database.reader() as connection:
        assert connection.execute(select(chunks.c.fence_id)).scalar_one() is not None
