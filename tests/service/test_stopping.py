"""Cancel is an undo: what SendGrid keeps for its time is taken back, and the rest is told exactly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mailer.delivery import campaigns
from mailer.delivery.send import run_once
from mailer.sandbox.options import QUIET
from mailer.sandbox.readers import play
from mailer.sandbox.server import SandboxServer
from mailer.service import outgoing, stopping
from mailer.tables import fences, identities
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.test_timing import planned, with_sending
from tests.service.conftest import rooms_of

READERS = 5


def ahead(site: Site) -> int:
    """A campaign in half an hour of this machine's clock, in chunks of one, planned a day before."""
    site.clock.now = datetime.now(UTC)
    with_sending(site, chunk_size=1, fence_slots=2)
    site.add_many(READERS)
    at = (site.clock.now + timedelta(minutes=31)).astimezone(site.settings.zone)
    return planned(site, f"{at:%Y-%m-%d %H:%M}", ahead=timedelta(days=1))


def hand_over(site: Site, calls: int) -> None:
    with outgoing.opened(rooms_of(site)) as ready:
        while calls:
            calls -= run_once(ready, "worker").worked == "called"


def gone(sandbox: SandboxServer) -> int:
    """Letters that SendGrid let go when their time came."""
    sandbox.state.change({"clock_ahead_seconds": 3600, "rates": QUIET.model_dump()})
    play(sandbox)
    return len(sandbox.state.mailbox.rows("SELECT id FROM letter WHERE fate = 'delivered'"))


def test_cancel_takes_everything_back_and_waits_for_the_word(site: Site, sandbox: SandboxServer) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    rooms = rooms_of(site)
    before = stopping.status(rooms, campaign_id)
    assert (before["accepted"], before["revocable"], before["beyond_reach"]) == (3, 3, 0)
    told: list[dict[str, Any]] = []
    after = stopping.cancel(rooms, campaign_id, told.append)
    assert told
    assert {name: after[name] for name in ("status", "waiting", "accepted", "withheld")} == {
        "status": "cancelled",
        "waiting": 0,
        "accepted": 0,
        "withheld": READERS,
    }
    assert (after["revocable"], after["beyond_reach"]) == (0, 0)
    assert gone(sandbox) == 0


def test_the_clock_goes_on_with_a_cancel_that_was_broken_off(site: Site, sandbox: SandboxServer) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign_id, site.clock.now)
    rooms = rooms_of(site)
    for _ in range(3):
        outgoing.tend(rooms, site.clock.now)
    with site.database.reader() as connection:
        assert set(connection.execute(select(fences.c.state)).scalars()) == {"cancelled"}
    assert stopping.status(rooms, campaign_id)["withheld"] == READERS
    assert gone(sandbox) == 0


@pytest.mark.parametrize("stop", [stopping.pause, stopping.cancel])
def test_in_the_last_minutes_it_tells_what_is_beyond_reach(
    site: Site, sandbox: SandboxServer, stop: Any
) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    site.clock.now += timedelta(minutes=20)
    after = stop(rooms_of(site), campaign_id)
    assert (after["accepted"], after["revocable"], after["beyond_reach"]) == (3, 0, 3)
    assert gone(sandbox) == 3


def test_a_copy_takes_no_letters_of_the_site_back(site: Site, sandbox: SandboxServer) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    with site.database.ledger() as connection:
        connection.execute(update(identities).values(instance="another"))
    rooms = rooms_of(site)
    with pytest.raises(NewsletterError, match="not known to belong to this folder"):
        stopping.cancel(rooms, campaign_id, patient(3))
    after = stopping.status(rooms, campaign_id)
    assert (after["status"], after["accepted"]) == ("sending", 3)
    assert gone(sandbox) == 3


def patient(looks: int) -> Callable[[dict[str, Any]], None]:
    """Somebody who looks on so often, and then says that it never ends."""
    left = iter(range(looks))

    def told(_status: dict[str, Any]) -> None:
        assert next(left, None) is not None, "it does not end"

    return told


def test_cancel_waits_no_longer_than_sendgrid_cancels(site: Site, sandbox: SandboxServer) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    looks = patient(3)

    def told(status: dict[str, Any]) -> None:
        looks(status)
        site.clock.now = datetime.now(UTC) + timedelta(minutes=21)

    after = stopping.cancel(rooms_of(site), campaign_id, told)
    assert (after["status"], after["accepted"], after["withheld"]) == ("cancelled", 3, 2)
    assert gone(sandbox) == 3


def test_cancel_ends_where_the_database_is_adopted_elsewhere_meanwhile(
    site: Site, sandbox: SandboxServer
) -> None:
    campaign_id = ahead(site)
    hand_over(site, 3)
    looks = patient(3)

    def told(status: dict[str, Any]) -> None:
        looks(status)
        with site.database.ledger() as connection:
            connection.execute(update(identities).values(instance="another"))

    assert stopping.cancel(rooms_of(site), campaign_id, told)["status"] == "cancelled"
