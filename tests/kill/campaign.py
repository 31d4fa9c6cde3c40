"""One campaign on one bad day: every process dies at the next point, and a supervisor starts another.

The points are walked in an order in which each is sure to be reached: those of a call by one or two
workers at once, then those of special turns, which need what a death before has left behind.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mailer.models import CampaignStatus, Handover
from subscribers.failpoints import Point
from tests.kill.world import World

IMPORT = ("subscribers", "import", "readers.csv", "--basis", "signed up")
WORKER = ("worker", "--once")
IMPORTING = (Point.IMPORT_READ, Point.IMPORTING, Point.IMPORT_PORTION, Point.IMPORTED)
FREEZING = (
    Point.PEOPLE_STAGED,
    Point.LINKS_MADE,
    Point.EDITIONS_PREPARED,
    Point.FREEZING,
    Point.FREEZE_ENDING,
    Point.FROZEN,
)
# Whoever makes a call comes to all of these.
CALLING = (
    Point.CLAIMING,
    Point.CLAIMED,
    Point.BEGINNING,
    Point.BEGUN,
    Point.CALLED,
    Point.RECORDING,
    Point.RECORD_ENDING,
    Point.RECORDED,
)
# Who finds what a death, or the provider, has left behind, comes to these as well.
TURNS = (Point.HOLDING, Point.EXPIRING, Point.DIVIDING, Point.SETTLING_EMPTY)
# How often a worker that ended without dying is started again: its campaign was paused.
TRIES = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """What the first call of every process meets."""

    kind: str
    parameters: dict[str, float] = field(default_factory=dict)


def walk(here: World, faults: Sequence[Fault], workers: int) -> None:
    """From the file of readers to the last letter, with a death at every point under each misbehaviour."""
    for point in IMPORTING:
        assert here.dies(*IMPORT, point=point), f"never came to '{point}'"
    here.run(*IMPORT)
    here.run("import", "examples/week-04.md")
    assert here.dies("send", "week-04", "--yes", point=Point.CAMPAIGN_MADE)
    for point in FREEZING:
        assert here.dies(*WORKER, point=point), f"never came to '{point}'"
    for fault in faults:
        _walk_calls(here, fault, workers)
        _walk_turns(here, fault)
    _finish(here, faults[-1])


def _walk_calls(here: World, fault: Fault, workers: int) -> None:
    def walk_lane(lane: Sequence[Point]) -> None:
        for point in lane:
            _die(here, point, fault)

    here.sandbox.faults.clear()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(walk_lane, [CALLING[number::workers] for number in range(workers)]))


_asking = threading.Lock()


def _die(here: World, point: Point, fault: Fault | None, before: Callable[[], None] | None = None) -> None:
    """Start workers until one has died at the point; the first call of the first one meets the fault."""
    for number in range(TRIES):
        if before is not None:
            before()
        with _asking:
            if fault is not None and number == 0 and not here.sandbox.faults.waiting():
                here.fault(fault.kind, **fault.parameters)
        if here.dies(*WORKER, point=point):
            here.pairs.add((point, fault.kind if fault is not None else ""))
            return
        here.resume_if_paused()
        assert here.state.status == CampaignStatus.SENDING, f"no letters left on the way to '{point}'"
    raise AssertionError(f"never came to '{point}'")


def _walk_turns(here: World, fault: Fault) -> None:
    here.sandbox.faults.clear()
    # Taken, and nobody saw the answer: held until an event comes.
    _die(here, Point.CALLED, None)
    _die(here, Point.HOLDING, fault)
    _die(here, Point.BEGUN, fault)
    _die(here, Point.EXPIRING, fault)
    here.sandbox.faults.clear()
    _die(here, Point.DIVIDING, fault, before=lambda: here.fault("too_large"))
    here.sandbox.faults.clear()
    _die(here, Point.SETTLING_EMPTY, fault, before=here.empty_next_chunk)


def _finish(here: World, fault: Fault) -> None:
    here.sandbox.faults.clear()
    _die(here, Point.FINISHING, fault)
    for _ in range(TRIES):
        here.run(*WORKER)
        if here.state.status == CampaignStatus.FINISHED:
            break
        here.resume_if_paused()
    assert here.state.status == CampaignStatus.FINISHED
    assert here.state.waiting == 0


def settle(here: World) -> None:
    """Events come, and end every doubt about what had gone; the process that takes them dies too."""
    gone = here.addresses(Handover.HELD) & here.copies().keys()
    assert gone, "nothing that is held has gone"
    server = here.start("serve", point=Point.ACCEPTING_SEEN)
    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(here.post_events)
        assert here.has_died(server, Point.ACCEPTING_SEEN)
        server = here.start("serve")
        try:
            posting.result()
        finally:
            server.stop()
    assert not here.addresses(Handover.HELD) & here.copies().keys(), "an event did not end its doubt"


def decide(here: World) -> None:
    """A person drops what is still held; their command dies first."""
    words = ("resolve", "1", "--drop", "--yes")
    assert here.addresses(Handover.HELD)
    assert here.dies(*words, point=Point.RESOLVING)
    here.run(*words)
    assert not here.addresses(Handover.HELD)
