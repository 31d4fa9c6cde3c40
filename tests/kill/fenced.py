"""A campaign with a time, handed over behind fences, in which every step of a fence kills its process.

The clocks of its processes are ahead of ours, so that an hour takes seconds; the provider's is not.
"""

import signal
from datetime import UTC, datetime, timedelta

from mailer.models import CampaignStatus, ChunkState
from subscribers.failpoints import Point
from tests.kill.campaign import CALLING, IMPORT, WORKER
from tests.kill.looking import chunks_in, until
from tests.kill.world import World

DEADLINE_SECONDS = 5
KEYS = {("sendgrid", "deadline_seconds"): DEADLINE_SECONDS, ("sending", "fence_slots"): 2}
PLANNING = (Point.TICKING, Point.TICKED)
OPENING = (Point.BATCH_MADE, Point.FENCE_OPENED)
CANCELLING = (Point.CANCEL_BEGUN, Point.CANCEL_ANSWERED, Point.WITHDRAWING)
UNDER_WAY = (ChunkState.WAITING, ChunkState.CLAIMED, ChunkState.SUBMITTING)
# Long enough for the call's own time and what is waited after it.
QUIET = timedelta(seconds=DEADLINE_SECONDS + 70)


def walk(here: World) -> None:
    """From the plan to the last letter."""
    here.run(*IMPORT)
    here.run("import", "examples/week-04.md")
    at = (datetime.now(UTC) + timedelta(minutes=64)).replace(second=0, microsecond=0)
    here.run("send", "week-04", "--at", f"{at:%Y-%m-%d %H:%M}", "--zone", "UTC", "--yes")
    here.later = at - timedelta(minutes=44) - datetime.now(UTC)
    for point in (*PLANNING, *OPENING):
        assert here.dies(*WORKER, point=point), f"never came to '{point}'"
    for point in CALLING:
        assert here.dies(*WORKER, point=point), f"never came to '{point}'"
    here.fault("reset_after")
    _hand_over(here)
    here.later += QUIET
    for point in CANCELLING:
        assert here.dies(*WORKER, point=point), f"never came to '{point}'"
    here.later += QUIET
    _hand_over(here, ChunkState.UNCERTAIN)
    here.later = at + timedelta(seconds=1) - datetime.now(UTC)
    here.run(*WORKER)
    assert here.state.status == CampaignStatus.FINISHED


def _hand_over(here: World, *more: ChunkState) -> None:
    """Let a worker hand over whatever may go before its time, until no chunk is in these states either."""
    worker = here.start("worker")
    until(lambda: not chunks_in(here, *UNDER_WAY, *more))
    worker.send(signal.SIGTERM)
    assert worker.wait() in (0, -signal.SIGTERM)  # it may not have come to listening for it
