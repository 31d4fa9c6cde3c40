"""Bad days at the provider, and what came of a campaign on each of them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.kill import campaign
from tests.kill.campaign import Fault
from tests.kill.world import Verdict, world

READERS = 900
# A day whose calls end by our own deadline must not last.
IMPATIENT = {("sendgrid", "deadline_seconds"): 1}


@dataclass(frozen=True, slots=True)
class BadDay:
    """What goes wrong in its course, and how many workers send at the same time."""

    name: str
    workers: int
    faults: tuple[Fault, ...]
    is_slow: bool = False


BAD_DAYS = (
    BadDay(
        "errors after and before",
        1,
        (
            Fault("server_error"),
            Fault("server_error_after"),
            Fault("no_message_id"),
            Fault("rate_limited", {"seconds": 1}),
        ),
    ),
    BadDay(
        "cuts",
        2,
        (Fault("reset_before"), Fault("reset_early"), Fault("reset_after"), Fault("close_before")),
    ),
    BadDay(
        "silence",
        2,
        (
            Fault("timeout_before"),
            Fault("timeout_after"),
            Fault("slow_drip"),
            Fault("outage", {"seconds": 0.2}),
        ),
        is_slow=True,
    ),
    BadDay(
        "refusals",
        1,
        (
            Fault("unauthorized"),
            Fault("too_large"),
            Fault("bad_request"),
            Fault("bad_personalization"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Lived:
    """One campaign from the import to the last decision."""

    deaths: Counter[str]  # by point
    pairs: frozenset[tuple[str, str]]  # (point, misbehaviour)
    met: frozenset[str]  # misbehaviours in the provider's own log
    before_events: Verdict
    after_events: Verdict
    decided: Verdict


def live(root: Path, day: BadDay, readers: int = READERS) -> Lived:
    """Raises AssertionError as soon as the provider's log shows a letter lost or doubled."""
    root.mkdir()
    with world(root, readers, keys=IMPATIENT if day.is_slow else None) as here:
        campaign.walk(here, day.faults, day.workers)
        before = here.require_clean()
        campaign.settle(here)
        after = here.require_clean()
        campaign.decide(here)
        decided = here.require_clean()
        log = here.sandbox.mailbox.rows("SELECT DISTINCT misbehaviour FROM call")
        met = frozenset(row["misbehaviour"] for row in log)
        return Lived(here.deaths, frozenset(here.pairs), met, before, after, decided)
