"""The way out to SendGrid, and what it is needed for at no call's time: fences that end, doubts that end.

Every step may be taken by any process at any moment; a database that is not this folder's takes none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from mailer.delivery import fences, reconcile, seeds, silence
from mailer.delivery.care import care
from mailer.delivery.needs import Sending
from mailer.delivery.owners import new_owner
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.timing import CLOCK_SLACK
from mailer.service import identity
from mailer.service.rooms import Rooms


@contextmanager
def opened(rooms: Rooms) -> Iterator[Sending]:
    """What sending needs, around SendGrid. Raises NewsletterError without a usable key."""
    transport = SendGrid.of(rooms.settings)
    try:
        yield Sending(
            rooms.database,
            rooms.settings,
            rooms.tokens,
            rooms.doors,
            transport,
            rooms.now,
            instance=rooms.home.instance,
        )
    finally:
        transport.close()


def deadline_of(rooms: Rooms) -> timedelta:
    """How long a call may last."""
    return timedelta(seconds=rooms.settings.sendgrid.deadline_seconds)


def _longest_lease(rooms: Rooms) -> timedelta:
    return timedelta(seconds=rooms.settings.sending.lease_seconds) + CLOCK_SLACK


def tend(rooms: Rooms, now: datetime) -> None:
    """Settle doubts that events or silence have ended, and care for a fence whose time has come."""
    with rooms.database.reader() as connection:  # weighing takes its time: not while others wait to write
        if identity.stranger(connection, rooms.home) is not None:
            return
        ripe = silence.ripe(connection, rooms.settings, now)
    with rooms.database.ledger() as connection:
        if identity.stranger(connection, rooms.home) is not None:
            return
        reconcile.settle_seen(connection)  # first: what was heard of meanwhile does not go again
        silence.resend(connection, ripe)
        seeds.settle(connection, now, _longest_lease(rooms))
        dates = [fences.next_care(connection, now, deadline_of(rooms))]
        if rooms.settings.sending.seed_list:
            dates.append(seeds.next_due(connection))
    if any(at is not None and at <= now for at in dates):
        with opened(rooms) as ready:
            care(ready, new_owner())
