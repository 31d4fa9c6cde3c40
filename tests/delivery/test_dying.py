"""Whoever works on a chunk dies, or comes late: nothing is lost, and nothing is sent twice."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from mailer.delivery import reconcile
from mailer.delivery.owners import is_gone, new_owner
from mailer.delivery.send import run_once
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadBody,
    Busy,
    NotSent,
)
from mailer.tables import chunks
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import DOUBT, filled, ledger, work


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
