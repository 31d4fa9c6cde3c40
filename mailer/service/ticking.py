"""One tick of the clock: the list of what is looked after again and again, wherever a process runs.

Every step is safe in any number of processes at once and may be left out for a while: that costs
punctuality only. A step that fails is logged, and the others have their turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from mailer.delivery import freeze
from mailer.service import due, identity, keeping, outgoing
from mailer.service.rooms import Rooms
from mailer.trouble import passing_trouble

# A planned campaign is frozen minutes ahead of its time, so that this is soon enough for all.
TICK_SECONDS = 15.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    run: Callable[[Rooms, datetime], object]


def take_up(rooms: Rooms, _now: datetime) -> None:
    """Freeze what a process that is gone began to prepare, where the database is at home."""
    with rooms.database.reader() as connection:
        if identity.stranger(connection, rooms.home) is not None:
            return
    freeze.take_up(
        rooms.database,
        settings=rooms.settings,
        leaves=rooms.leaves,
        clock=rooms.now,
        on_frozen=rooms.hand_out,
    )


def keep(rooms: Rooms, _now: datetime) -> None:
    """Say that the clock runs, and write down who left."""
    keeping.tick(rooms.database, rooms.home, rooms.now)


def hand_out(rooms: Rooms, _now: datetime) -> None:
    """See that whatever may go has a job that says so: time has passed, or a job was lost."""
    if rooms.jobs is not None:
        with rooms.database.ledger() as connection:
            rooms.hand_out(connection)


# In the order in which they are taken.
STEPS = (
    # First: it notices a database that sends nothing until it is adopted.
    Step("keep the site", keep),
    Step("take up broken-off freezes", take_up),
    Step("begin what is due", due.look),
    Step("end fences and doubts", outgoing.tend),
    Step("hand out jobs", hand_out),
)


def tick(rooms: Rooms, now: datetime) -> None:
    """Take every step once."""
    for step in STEPS:
        try:
            step.run(rooms, now)
        except Exception as error:  # a full disk, a locked database: the next tick tries again
            trouble = passing_trouble(error)
            if trouble is not None:
                log.warning("step failed; the next tick tries again", step=step.name, trouble=trouble)
            else:
                log.exception("step failed", step=step.name, error=type(error).__name__)


def at_start(rooms: Rooms) -> None:
    """What a process that ticks does once, before its first tick."""
    due.at_start(rooms)
