"""Any order of calls, deaths, lost cancels, lost ids, clocks and an undo: a campaign with a time goes once.

The provider's own log is the judge: what stands behind an id that was not cancelled goes at its time.
"""

import atexit
import contextlib
import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select

from mailer.delivery import campaigns, fences
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BatchUnknown,
    Busy,
    NoBatch,
    NotSent,
    Uncertain,
)
from mailer.models import CampaignStatus, FenceState
from mailer.tables import deliveries
from mailer.tables import fences as fence_rows
from subscribers.errors import NewsletterError
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.test_fences import AT, fenced
from tests.delivery.test_machine import Killed, copied, lay_out, open_site
from tests.delivery.test_timing import with_sending

READERS = 8
CHUNK = 2
SLOTS = 2
IDS_MOST = 10
# What the calls of one worker end in, and whether the provider took them.
ENDINGS = st.sampled_from(
    ["accepted"] * 3 + ["lost answer", "lost request", "killed before", "killed after", "not sent", "busy"]
)
# What the calls for ids and cancels end in.
CARES = st.sampled_from(
    ["well"] * 3 + ["no id", "never an id", "lost cancel", "lost cancel that was taken", "killed"]
)


def open_fenced(root: Path) -> Site:
    site = open_site(root)
    with_sending(site, chunk_size=CHUNK, fence_slots=SLOTS)
    return site


@cache
def planned_site() -> Path:
    """A campaign frozen for a time half an hour ahead, made once and copied for each run."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    lay_out(root)
    site = open_site(root)
    assert fenced(site, READERS, chunk_size=CHUNK, slots=SLOTS) == 1
    site.database.close()
    return root


class Fences(RuleBasedStateMachine):
    """One campaign of eight readers in chunks of two, behind two fences at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.site = open_fenced(copied(planned_site(), Path(self.folder.name) / "site"))
        self.database = self.site.database
        self.ending, self.care = "accepted", "well"
        self.provider = Provider(self.answer, instead=self.instead)
        self.workers = 0
        self.begun = self.site.clock.now

    def teardown(self) -> None:
        self.comes_to_an_end()
        self.database.close()
        self.folder.cleanup()

    # -- the provider --------------------------------------------------------------------------------

    def answer(self, addresses: list[str], number: int) -> Answer:
        self.provider.takes_in_doubt = self.ending == "lost answer"
        if self.ending == "killed after":
            batch = self.provider.calls[-1].get("batch_id")
            self.provider.behind += [(address, batch) for address in addresses]
        if self.ending.startswith("killed"):
            raise Killed
        endings: dict[str, Answer] = {
            "lost answer": Uncertain("the connection was cut"),
            "lost request": Uncertain("the connection was cut"),
            "not sent": NotSent("the connection was refused"),
            "busy": Busy(5, "429"),
        }
        return endings.get(self.ending, Accepted(f"message-{number}"))

    def instead(self, what: str, _number: int) -> NoBatch | BatchUnknown | None:
        self.provider.takes_in_doubt = self.care == "lost cancel that was taken"
        if what == "new":
            return NoBatch("503", self.care == "never an id") if self.care.endswith("an id") else None
        if self.care == "killed":
            raise Killed
        return BatchUnknown("the connection was cut") if self.care.startswith("lost") else None

    # -- what may happen -----------------------------------------------------------------------------

    @rule(ending=ENDINGS, care=CARES)
    def a_worker_works(self, ending: str, care: str) -> None:
        self.work(ending, care)

    def work(self, ending: str = "accepted", care: str = "well") -> Worked | None:
        self.workers += 1
        self.ending, self.care = ending, care
        with contextlib.suppress(Killed):
            return run_once(self.site.send_by(self.provider), f"worker {self.workers}").worked
        return None

    @rule(seconds=st.sampled_from([1, 30, 130, 200, 400, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.site.clock.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([60, 3600]))
    def a_clock_is_put_back(self, seconds: int) -> None:
        self.site.clock.now -= timedelta(seconds=seconds)

    @rule()
    def its_time_comes(self) -> None:
        self.site.clock.now = max(self.site.clock.now, AT)

    @rule(what=st.sampled_from([campaigns.pause, campaigns.resume, campaigns.resume]))
    def a_person_pauses_or_resumes(self, what: Any) -> None:
        extra = [] if what is campaigns.pause else [self.site.clock.now]
        with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
            what(connection, 1, *extra)

    @precondition(lambda self: self.workers > 3)
    @rule()
    def a_person_takes_it_back(self) -> None:
        now, deadline = self.site.clock.now, self.site.send_by(self.provider).deadline
        with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
            campaigns.cancel(connection, 1, now)
            fences.withdraw(connection, 1, now, deadline)

    # -- what always holds ---------------------------------------------------------------------------

    @invariant()
    def nobody_gets_it_twice_when_its_time_comes(self) -> None:
        copies = Counter(self.provider.gone)
        assert all(number == 1 for number in copies.values()), copies

    @invariant()
    def no_more_ids_are_live_or_cancelled_than_may_be(self) -> None:
        with self.database.reader() as connection:
            ids = connection.execute(select(func.count()).select_from(fence_rows)).scalar_one()
        assert ids <= IDS_MOST

    @invariant()
    def the_equation_holds_and_letters_follow_their_chunks(self) -> None:
        state = self.site.status(1)
        parts = {
            name: getattr(state, name) for name in ("waiting", "accepted", "rejected", "withheld", "held")
        }
        assert state.frozen == READERS == sum(parts.values())
        assert self.letters() == {name: number for name, number in parts.items() if number}

    def letters(self) -> dict[str, int]:
        with self.database.reader() as connection:
            rows = connection.execute(
                select(deliveries.c.handover, func.count()).group_by(deliveries.c.handover)
            )
            return {row[0]: row[1] for row in rows}

    # -- the end -------------------------------------------------------------------------------------

    def comes_to_an_end(self) -> None:
        """Honest answers, and time, end it in bounded steps; nothing is lost or taken back in vain."""
        self.site.clock.now = max(self.site.clock.now, self.begun)
        for _ in range(300):
            with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
                campaigns.resume(connection, 1, self.site.clock.now)
            if self.work() is Worked.IDLE:
                is_over = self.site.status(1).status in (CampaignStatus.FINISHED, CampaignStatus.CANCELLED)
                if is_over and self.site.clock.now > AT + timedelta(hours=1):
                    break
                self.site.clock.now += timedelta(seconds=100)
        self.nobody_gets_it_twice_when_its_time_comes()
        copies = Counter(self.provider.gone)
        with self.database.reader() as connection:
            found = connection.execute(select(deliveries.c.email, deliveries.c.handover)).all()
            open_ones = connection.execute(
                select(fence_rows.c.id).where(
                    fence_rows.c.state.in_((FenceState.OPEN, FenceState.CANCELLING))
                )
            ).all()
        assert open_ones == []
        for email, handover in found:
            assert handover != "waiting"
            if handover == "accepted":
                assert copies[email] == 1, f"{email} is lost"
            elif handover == "withheld":
                assert copies[email] == 0, f"{email} was taken back and goes all the same"


Fences.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestFences = Fences.TestCase
