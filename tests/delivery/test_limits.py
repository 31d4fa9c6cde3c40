"""How fast letters go: limits a minute, an hour and a day, and one call at a time while no answer comes."""

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from mailer.delivery import campaigns
from mailer.delivery.owners import new_owner
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import Accepted, Answer, NotSent
from mailer.tables import attempts, chunks
from mailer.tables import campaigns as campaign_rows
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, ledger, work
from tests.delivery.test_timing import with_sending


def frozen(site: Site, readers: int) -> int:
    site.add_many(readers)
    return site.freeze()


def until_idle(site: Site, provider: Provider) -> datetime | None:
    """Work until nothing may go; when something may."""
    sending = site.send_by(provider)
    while (step := run_once(sending, new_owner())).worked is not Worked.IDLE:
        continue
    return step.wake_at


def test_no_minute_takes_more_than_its_limit(site: Site) -> None:
    with_sending(site, per_minute=10, chunk_size=4)
    campaign_id = frozen(site, 24)
    provider = Provider()
    begun = site.clock.now
    seconds: list[float] = []
    provider.before = lambda: seconds.append((site.clock.now - begun).total_seconds())
    while site.status(campaign_id).status == "sending":
        wake_at = until_idle(site, provider)
        site.clock.now = max(site.clock.now + timedelta(seconds=1), wake_at or site.clock.now)
    for second in seconds:
        assert sum(second - 60 < other <= second for other in seconds) <= 2
    assert seconds == [0, 0, 60, 60, 120, 120]
    assert len(provider.taken) == 24


def test_chunks_are_cut_so_that_one_fits_the_smallest_limit(site: Site) -> None:
    with_sending(site, per_minute=300, per_hour=7, warm_up=(5, 100), warm_up_from="2026-04-10")
    frozen(site, 12)
    with site.database.reader() as connection:
        assert connection.execute(select(chunks.c.recipients)).scalars().all() == [5, 5, 2]


def test_a_new_sender_warms_up_day_by_day_of_its_own_zone(site: Site) -> None:
    with_sending(site, warm_up=(4, 8), warm_up_from="2026-04-10", chunk_size=4)
    campaign_id = frozen(site, 20)
    provider = Provider()
    midnight = datetime(2026, 4, 10, 22, 0, tzinfo=UTC)  # in Paris
    assert until_idle(site, provider) == midnight
    assert len(provider.taken) == 4
    site.clock.now = midnight
    assert until_idle(site, provider) == midnight + timedelta(days=1)
    assert len(provider.taken) == 12
    site.clock.now = midnight + timedelta(days=1)
    until_idle(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 20)


def test_a_limit_that_was_lowered_after_the_freeze_silences_nothing(site: Site) -> None:
    with_sending(site, chunk_size=6)
    campaign_id = frozen(site, 12)
    with_sending(site, per_minute=2)
    provider = Provider()
    assert until_idle(site, provider) == site.clock.now + timedelta(minutes=1)
    site.clock.now += timedelta(minutes=1)
    until_idle(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 12)


def test_calls_of_a_clock_far_ahead_use_up_no_limit(site: Site) -> None:
    with_sending(site, per_hour=4, chunk_size=4)
    campaign_id = frozen(site, 8)
    provider = Provider()
    right = site.clock.now
    site.clock.now += timedelta(days=3650)
    until_idle(site, provider)
    site.clock.now = right + timedelta(minutes=1)
    until_idle(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 8)


def test_all_workers_share_a_limit(site: Site) -> None:
    with_sending(site, per_minute=20, chunk_size=2)
    campaign_id = frozen(site, 60)
    provider = Provider()
    run_once(site.send_by(provider), "first")

    def worker() -> None:
        until_idle(site, provider)

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(provider.taken) == 20
    with site.database.reader() as connection:
        assert sum(connection.execute(select(attempts.c.recipients)).scalars()) == 20
    assert site.status(campaign_id).waiting == 40


def test_what_never_left_uses_up_no_limit(site: Site) -> None:
    with_sending(site, per_minute=4, chunk_size=4)
    campaign_id = frozen(site, 4)
    provider = Provider(lambda _addresses, number: NotSent("refused") if number == 1 else Accepted("m"))
    until_idle(site, provider)
    site.clock.now += timedelta(seconds=2)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 4)


# -- the circuit breaker ----------------------------------------------------------------------------


def test_an_outage_does_not_hold_a_whole_list(site: Site) -> None:
    with_sending(site, chunk_size=2)
    campaign_id = frozen(site, 40)
    provider = Provider(lambda *_: DOUBT)
    waits: list[float] = []
    while site.status(campaign_id).status == "sending":
        wake_at = until_idle(site, provider)
        if wake_at is not None:
            waits.append((wake_at - site.clock.now).total_seconds())
            site.clock.now = wake_at
    status, waiting, _, _, _, held = ledger(site, campaign_id)
    assert (status, waiting, held) == ("paused", 20, 20)
    assert waits == [1, 2, 4, 8, 16, 32, 60]


def test_any_answer_ends_the_count(site: Site) -> None:
    with_sending(site, chunk_size=1, max_failures=4)
    campaign_id = frozen(site, 30)

    def answer(_addresses: list[str], number: int) -> Answer:
        return Accepted(f"m{number}") if number % 4 == 0 else DOUBT

    provider = Provider(answer)
    for _ in range(100):
        wake_at = until_idle(site, provider)
        if wake_at is None:
            break
        site.clock.now = wake_at
    status, waiting, accepted, _, _, held = ledger(site, campaign_id)
    assert (status, waiting, accepted, held) == ("finished", 0, 7, 23)


def test_one_call_at_a_time_while_no_answer_comes(site: Site) -> None:
    with_sending(site, chunk_size=1)
    frozen(site, 10)
    provider = Provider(lambda _addresses, number: Accepted("m") if number == 1 else DOUBT)
    until_idle(site, provider)
    with site.database.ledger() as connection:
        assert connection.execute(select(campaign_rows.c.failures)).scalar_one() == 3
        connection.execute(update(campaign_rows).values(not_before=None))
    others: list[Worked] = []
    provider.before = lambda: others.append(run_once(site.send_by(Provider()), "b").worked)
    run_once(site.send_by(provider), "a")
    assert others == [Worked.IDLE]


def test_resume_begins_the_count_anew(site: Site) -> None:
    with_sending(site, chunk_size=1, max_failures=1)
    campaign_id = frozen(site, 4)
    work(site, Provider(lambda *_: DOUBT))
    assert ledger(site, campaign_id) == ("paused", 3, 0, 0, 0, 1)
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign_id, site.clock.now)
    work(site, Provider())
    assert ledger(site, campaign_id) == ("finished", 0, 3, 0, 0, 1)
