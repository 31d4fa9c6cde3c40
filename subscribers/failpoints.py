"""Places where a process can be made to die, so that a test can show that dying there costs nothing.

Nothing happens at any of them unless the environment says so when the process starts:

NEWSLETTER_FAILPOINT="before the call:3"        kills this process (SIGKILL) the third time it comes there
NEWSLETTER_FAILPOINT="before the call:3:stop"   stops it (SIGSTOP) instead, until somebody sends SIGCONT
NEWSLETTER_FAILPOINTS_SEED="7:0.02"             kills it at any point by this chance, drawn from this seed
NEWSLETTER_FAILPOINT_LOG="file"                 adds the name of the point to this file just before

On the ground floor, since an import of people has points as well as a campaign.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum

from subscribers.errors import NewsletterError

POINT = "NEWSLETTER_FAILPOINT"
SEED = "NEWSLETTER_FAILPOINTS_SEED"
LOG = "NEWSLETTER_FAILPOINT_LOG"


class Point(StrEnum):
    """Every place there is; tests/kill shows that each stands in the code once and is reached."""

    # The calendar.
    TICKING = "in the look at the calendar"
    TICKED = "after the look at the calendar"
    # A campaign and its freeze.
    CAMPAIGN_MADE = "after the campaign is made"
    PEOPLE_STAGED = "after people are staged"
    LINKS_MADE = "after links are made"
    EDITIONS_PREPARED = "after editions are prepared"
    FREEZING = "in the freeze"
    FREEZE_ENDING = "at the end of the freeze"
    FROZEN = "after the freeze"
    # A chunk from the claim to its answer.
    CLAIMING = "in the claim"
    CLAIMED = "after the claim"
    BEGINNING = "in the attempt"
    BEGUN = "before the call"
    CALLED = "after the call"
    RECORDING = "in the record"
    DIVIDING = "in the division"
    RECORD_ENDING = "at the end of the record"
    RECORDED = "after the record"
    SETTLING_EMPTY = "in the end of an empty chunk"
    # Batch ids, and their end.
    BATCH_MADE = "after a batch id is made"
    FENCE_OPENED = "after a fence is opened"
    CANCEL_BEGUN = "before the cancel"
    CANCEL_ANSWERED = "after the cancel"
    WITHDRAWING = "in the withdrawal"
    # Doubts, and what ends them.
    EXPIRING = "in the expiry"
    HOLDING = "in the hold"
    ACCEPTING_SEEN = "in the witness"
    RESOLVING = "in the resolving"
    FINISHING = "in the finish"
    # People.
    IMPORT_READ = "after the import is read"
    IMPORTING = "in a portion of the import"
    IMPORT_PORTION = "after a portion of the import"
    IMPORTED = "after the import"


_Strike = Callable[[str], None]
_watch: Callable[[str], None] | None = None


def reach(point: Point) -> None:
    """Come to a point; does nothing in any process that was not told to die."""
    if _watch is not None:
        _watch(point)


def arm(environment: Mapping[str, str]) -> None:
    """Do what these variables say from here on. Raises NewsletterError when they say nothing known."""
    global _watch
    _watch = None
    log = environment.get(LOG)
    if named := environment.get(POINT):
        _watch = _at(named, log)
    elif drawn := environment.get(SEED):
        _watch = _by_chance(drawn, log)


def _at(named: str, log: str | None) -> _Strike:
    name, _, rest = named.partition(":")
    count, _, act = rest.partition(":")
    if name not in set(Point) or not (count or "1").isdigit() or act not in ("", "kill", "stop"):
        raise NewsletterError(
            f"'{named}' is no failpoint.", field=POINT, cure=f"Name one of: {', '.join(Point)}."
        )
    lock = threading.Lock()
    left = int(count or 1)

    def watch(point: str) -> None:
        nonlocal left
        if point != name:
            return
        with lock:
            left -= 1
            is_time = left == 0
        if is_time:
            _strike(point, signal.SIGSTOP if act == "stop" else signal.SIGKILL, log)

    return watch


def _by_chance(drawn: str, log: str | None) -> _Strike:
    seed, _, chance = drawn.partition(":")
    try:
        numbers, share = random.Random(seed), float(chance)  # noqa: S311 - repeatable, not secret
    except ValueError:
        raise NewsletterError(
            f"'{drawn}' is no seed and chance.", field=SEED, cure="For example 7:0.02."
        ) from None
    lock = threading.Lock()

    def watch(point: str) -> None:
        with lock:
            is_time = numbers.random() < share
        if is_time:
            _strike(point, signal.SIGKILL, log)

    return watch


def _strike(point: str, number: int, log: str | None) -> None:
    if log:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{point}\n".encode())
        os.close(descriptor)
    os.kill(os.getpid(), number)


arm(os.environ)
