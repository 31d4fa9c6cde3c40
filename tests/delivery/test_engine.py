"""Threads: every chunk once, a stop that lets calls end, an error that does not pass unseen."""

import threading
from datetime import UTC, datetime

import pytest

from mailer.delivery.engine import Engine, run_all, run_campaign
from mailer.delivery.standing import CampaignState
from mailer.delivery.transport import Accepted, Busy, Stopped
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider


def small_chunks(site: Site, readers: int) -> int:
    site.add_many(readers)
    sending = site.settings.sending.model_copy(update={"chunk_size": 5})
    site.settings = site.settings.model_copy(update={"sending": sending})
    return site.freeze()


def now() -> datetime:
    return datetime.now(UTC)


def test_many_threads_hand_every_reader_over_once_and_tell_how_far_they_are(site: Site) -> None:
    campaign_id = small_chunks(site, 100)
    provider = Provider()
    told: list[CampaignState] = []
    state = run_campaign(site.send_by(provider, clock=now), campaign_id, threads=6, on_progress=told.append)
    assert (state.status, state.accepted) == ("finished", 100)
    assert len(provider.taken) == len(set(provider.taken)) == 100
    assert told[-1] == state


def test_the_others_wait_for_the_first_answer(site: Site) -> None:
    campaign_id = small_chunks(site, 50)
    provider = Provider(lambda *_: Stopped("the key was refused (401)", "Mend it.", 401))
    state = run_campaign(site.send_by(provider, clock=now), campaign_id, threads=6)
    assert (state.status, state.waiting) == ("paused", 50)
    assert len(provider.calls) == 1


def test_a_campaign_waits_out_a_limit_of_rate(site: Site) -> None:
    campaign_id = small_chunks(site, 10)
    provider = Provider(lambda _, number: Busy(0.2, "429") if number == 1 else Accepted(f"m{number}"))
    assert run_campaign(site.send_by(provider, clock=now), campaign_id, threads=2).accepted == 10


def test_a_stop_lets_the_calls_in_flight_end(site: Site) -> None:
    campaign_id = small_chunks(site, 30)
    begun, go_on = threading.Event(), threading.Event()
    provider = Provider()

    def hold() -> None:
        begun.set()
        go_on.wait(10)

    provider.before = hold
    engine = Engine(site.send_by(provider, clock=now), threads=1)
    engine.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=engine.stop)
    stopping.start()
    go_on.set()
    stopping.join()
    state = site.status(campaign_id)
    assert state.accepted == len(provider.taken) > 0
    assert (state.status, state.held) == ("sending", 0)
    run_all(site.send_by(Provider(), clock=now), threads=2)
    assert site.status(campaign_id).accepted == 30


def test_what_breaks_a_thread_is_raised(site: Site) -> None:
    campaign_id = small_chunks(site, 10)

    def break_down() -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        run_campaign(site.send_by(Provider(before=break_down), clock=now), campaign_id, threads=1)


def test_a_campaign_that_is_stopped_claims_nothing_more_and_lets_its_calls_end(site: Site) -> None:
    campaign_id = small_chunks(site, 30)
    stopped = threading.Event()
    provider = Provider(before=stopped.set)
    state = run_campaign(site.send_by(provider, clock=now), campaign_id, threads=1, stopped=stopped)
    assert (state.status, state.accepted, state.waiting, state.held) == ("sending", 5, 25, 0)
    assert len(provider.calls) == 1
    assert run_campaign(site.send_by(Provider(), clock=now), campaign_id).accepted == 30
