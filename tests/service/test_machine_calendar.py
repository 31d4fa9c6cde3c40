"""Any order of drafts, approvals, pauses, ticks and wrong clocks: each time comes once, and each letter.

The weekly rule and campaigns planned by hand share the calendar; the provider's log counts the letters.
"""

import contextlib
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select

from mailer.config import load_settings
from mailer.database import Database
from mailer.delivery import campaigns, standing
from mailer.tables import occurrences
from subscribers.errors import NewsletterError
from tests.delivery.steps import work
from tests.delivery.test_machine import lay_out
from tests.service.planned_site import PlannedSite

# Wednesday noon in Paris.
NOON = datetime(2026, 4, 8, 10, 0, tzinfo=UTC)
STATES = {"pending", "running", "done", "missed", "skipped"}
ISSUES_MOST = 4
STEPS = [
    timedelta(minutes=1),
    timedelta(minutes=50),
    timedelta(hours=7),
    timedelta(days=1),
    timedelta(days=6),
]
JUMPS = [timedelta(hours=1), timedelta(days=1), timedelta(days=3653)]


class Calendar(RuleBasedStateMachine):
    """Three readers, some issues, Fridays at 07:30."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        lay_out(Path(self.folder))
        found = load_settings(Path(self.folder) / "config.toml")
        self.database = Database(found.database_url)
        self.database.upgrade()
        self.site = PlannedSite(self.database, found, NOON)
        self.site.configure("schedule", weekly="fri 07:30")
        self.site.start()
        self.issues = 1

    def teardown(self) -> None:
        self.comes_to_an_end()
        self.database.close()
        shutil.rmtree(self.folder)

    # -- what may happen -----------------------------------------------------------------------------

    @precondition(lambda self: self.issues < ISSUES_MOST)
    @rule()
    def an_issue_is_written(self) -> None:
        self.issues += 1
        self.site.add_issue(f"week-0{self.issues}")

    @rule(number=st.integers(1, ISSUES_MOST))
    def an_issue_is_approved(self, number: int) -> None:
        with contextlib.suppress(NewsletterError):
            self.site.approve(f"week-0{number}")

    @rule(number=st.integers(1, ISSUES_MOST), days=st.integers(0, 8), hour=st.integers(0, 23))
    def an_issue_is_planned(self, number: int, days: int, hour: int) -> None:
        at = self.site.clock.now + timedelta(days=days)
        with contextlib.suppress(NewsletterError):
            self.site.plan(f"{at:%Y-%m-%d} {hour:02}:30", slug=f"week-0{number}")

    @rule(what=st.sampled_from(["pause", "resume", "cancel"]), campaign=st.integers(1, 4))
    def a_person_presses(self, what: str, campaign: int) -> None:
        does: dict[str, Any] = {
            "pause": campaigns.pause,
            "resume": campaigns.resume,
            "cancel": campaigns.cancel,
        }
        extra = [] if what == "pause" else [self.site.clock.now]
        with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
            does[what](connection, campaign, *extra)

    @rule(step=st.sampled_from(STEPS))
    def time_passes(self, step: timedelta) -> None:
        self.site.clock.now += step

    @rule(ticks=st.integers(1, 3))
    def clocks_tick(self, ticks: int) -> None:
        for _ in range(ticks):
            self.site.tick()

    @rule()
    def workers_work(self) -> None:
        work(self.site.site, self.site.provider)

    @rule()
    def a_process_starts(self) -> None:
        self.site.start()

    @rule(jump=st.sampled_from(JUMPS), is_back=st.booleans())
    def a_clock_is_wrong_for_a_while(self, jump: timedelta, is_back: bool) -> None:
        by = -jump if is_back else jump
        self.site.clock.now += by
        self.site.tick()
        work(self.site.site, self.site.provider)
        self.site.clock.now -= by

    # -- what always holds ---------------------------------------------------------------------------

    @invariant()
    def nobody_gets_an_issue_twice(self) -> None:
        # The table of deliveries is unique by issue and reader; here the provider's own log says it.
        with self.database.reader() as connection:
            sent = {state.issue for state in standing.every(connection) if state.accepted}
        copies = Counter(self.site.provider.gone)
        assert all(number <= len(sent) for number in copies.values()), (copies, sent)

    @invariant()
    def a_time_has_one_occurrence_in_a_known_state(self) -> None:
        with self.database.reader() as connection:
            rows = connection.execute(
                select(occurrences.c.schedule_id, occurrences.c.civil, func.count()).group_by(
                    occurrences.c.schedule_id, occurrences.c.civil
                )
            ).all()
            states = set(connection.execute(select(occurrences.c.state)).scalars())
        assert all(number == 1 for _, _, number in rows)
        assert states <= STATES

    # -- the end -------------------------------------------------------------------------------------

    def comes_to_an_end(self) -> None:
        """With a right clock and ticks nothing stays due for ever, and what was sent is accounted."""
        self.site.clock.now = max(self.site.clock.now, NOON)
        for _ in range(40):
            self.site.clock.now += timedelta(hours=8)
            self.site.tick()
            work(self.site.site, self.site.provider)
        with self.database.reader() as connection:
            waits = connection.execute(
                select(occurrences.c.civil).where(
                    occurrences.c.state == "pending",
                    occurrences.c.at < self.site.clock.now - timedelta(hours=8),
                )
            ).all()
            every = standing.every(connection)
        paused = [state for state in every if state.status == "paused"]
        assert waits == [] or paused, waits
        assert sum(state.accepted for state in every) == len(self.site.provider.gone)


Calendar.TestCase.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCalendar = Calendar.TestCase
