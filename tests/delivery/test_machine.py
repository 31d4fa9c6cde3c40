"""Any order of sends, answers, deaths, events, decisions and departures: the account always holds.

The provider keeps its own log, and it is that log, never our tables, by which loss and doubling are
judged. (I1 to I12 are named in the rules below by what they say.)
"""

import atexit
import contextlib
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select, update

from mailer.config import load_settings
from mailer.database import Database
from mailer.delivery import campaigns, reconcile
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadRecipients,
    BadSomewhere,
    Busy,
    NotSent,
    Stopped,
    TooLarge,
    Uncertain,
)
from mailer.tables import attempts, chunks, deliveries, skips, subscribers
from subscribers.errors import NewsletterError
from tests import databases
from tests.conftest import ROOT
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider, addresses_of

READERS = 9
CHUNK = 3
# What a call may end in, and whether the provider took it.
ENDINGS = st.sampled_from(
    [
        "accepted",
        "accepted",
        "accepted",
        "lost answer",
        "lost request",
        "killed before",
        "killed after",
        "not sent",
        "busy",
        "stopped",
        "too large",
        "bad reader",
        "bad somewhere",
    ]
)


class Killed(BaseException):
    """The worker is gone."""


def open_site(root: Path) -> Site:
    found = load_settings(root / "config.toml")
    found = found.model_copy(update={"sending": found.sending.model_copy(update={"chunk_size": CHUNK})})
    database = Database(found.database_url)
    database.upgrade()
    return Site(database, found, datetime(2026, 4, 10, 5, 30, tzinfo=UTC))


def lay_out(root: Path) -> None:
    (root / "config.toml").write_text((ROOT / "config.toml").read_text())
    url = databases.new_url("data/mailer.db")
    if databases.SERVER:
        databases.keep(url)
    (root / "secrets.toml").write_text(
        f'[web]\nsecrets = ["s"]\n[database]\nurl = "{url}"\nsuppression_key = "k"\n'
    )


def copied(root: Path, to: Path) -> Path:
    """The same site once more, with a database of its own."""
    shutil.copytree(root, to)
    if databases.SERVER:
        secrets = to / "secrets.toml"
        url = load_settings(to / "config.toml").database_url
        secrets.write_text(secrets.read_text().replace(url, databases.copy_of(url)))
    return to


@cache
def frozen_site() -> Path:
    """A campaign just frozen, made once and copied for each run."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    lay_out(root)
    site = open_site(root)
    for topics in (None, ("car-t",), ("myeloma",)):
        site.add_many(READERS // 3, topics)
    assert site.freeze() == 1
    site.database.close()
    return root


class Ledger(RuleBasedStateMachine):
    """One campaign of nine readers in chunks of three."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.site = open_site(copied(frozen_site(), Path(self.folder.name) / "site"))
        self.database = self.site.database
        self.campaign_id = 1
        self.copies: Counter[str] = Counter()  # the provider's log: letters taken by address
        self.calls: dict[str, list[str]] = {}  # attempt -> addresses, taken or not
        self.took: set[str] = set()  # attempts taken
        self.again: Counter[str] = Counter()  # what a person had sent again, by address
        self.left: set[str] = set()  # who may not be written to any more
        self.workers = 0
        self.is_broken: str | None = None

    def teardown(self) -> None:
        self.comes_to_an_end()
        self.database.close()
        self.folder.cleanup()
        if databases.SERVER:
            databases.drop(self.database.url)

    # -- what may happen ---------------------------------------------------------------------------

    @rule(ending=ENDINGS, place=st.integers(0, CHUNK - 1))
    def a_worker_works(self, ending: str, place: int) -> None:
        self.work(ending, place)

    def work(self, ending: str, place: int = 0) -> Worked | None:
        self.workers += 1
        provider = Machine(self, ending, place)
        with contextlib.suppress(Killed):
            return run_once(self.site.send_by(provider), f"worker {self.workers}").worked
        return None

    @rule(ending=st.sampled_from(["killed before", "killed after"]), is_lease_over=st.booleans())
    def a_worker_dies(self, ending: str, is_lease_over: bool) -> None:
        self.work(ending)
        if is_lease_over:
            self.site.clock.now += timedelta(seconds=self.site.settings.sending.lease_seconds)

    @rule(seconds=st.sampled_from([1, 30, 200, 5000]))
    def time_passes(self, seconds: int) -> None:
        self.site.clock.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.took)
    @rule(pick=st.randoms(use_true_random=False), by_attempt=st.booleans())
    def an_event_arrives(self, pick: Any, by_attempt: bool) -> None:
        attempt_id = pick.choice(sorted(self.took))
        with self.database.tracking() as connection:
            letters = connection.execute(
                select(deliveries.c.id).where(deliveries.c.email.in_(self.calls[attempt_id]))
            ).scalars()
            reconcile.witness(
                connection, [attempt_id] if by_attempt else [], [] if by_attempt else list(letters)[:1]
            )

    @rule(decision=st.sampled_from(["sent", "again", "drop"]))
    def a_person_decides(self, decision: Any) -> None:
        with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
            held = (
                connection.execute(select(deliveries.c.email).where(deliveries.c.handover == "held"))
                .scalars()
                .all()
            )
            reconcile.resolve(connection, self.campaign_id, decision, self.site.clock.now)
            if decision == "again":
                self.again.update(held)

    @rule(what=st.sampled_from([campaigns.pause, campaigns.resume, campaigns.resume, campaigns.resume]))
    def a_person_pauses_or_resumes(self, what: Any) -> None:
        extra = [] if what is campaigns.pause else [self.site.clock.now]
        with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
            what(connection, self.campaign_id, *extra)

    @rule(number=st.integers(1, READERS))
    def a_reader_leaves(self, number: int) -> None:
        with self.database.ledger() as connection:
            connection.execute(
                update(subscribers).where(subscribers.c.id == number).values(status="unsubscribed")
            )
        self.left.add(f"reader{number}@example.org")

    # -- what always holds -------------------------------------------------------------------------

    @invariant()
    def nobody_is_written_to_twice_unless_a_person_said_so(self) -> None:
        for email, copies in self.copies.items():
            assert copies <= 1 + self.again[email], email
        assert self.is_broken is None, self.is_broken

    @invariant()
    def the_equation_holds_and_letters_follow_their_chunks(self) -> None:
        state = self.site.status(self.campaign_id)
        parts = {
            name: getattr(state, name) for name in ("waiting", "accepted", "rejected", "withheld", "held")
        }
        assert state.frozen == READERS == sum(parts.values())
        with self.database.reader() as connection:
            counted = connection.execute(
                select(deliveries.c.handover, func.count()).group_by(deliveries.c.handover)
            ).all()
            assert {row[0]: row[1] for row in counted} == {
                name: number for name, number in parts.items() if number
            }
            of_chunks = connection.execute(
                select(chunks.c.id, chunks.c.recipients, func.count(deliveries.c.id))
                .outerjoin(deliveries, deliveries.c.chunk_id == chunks.c.id)
                .group_by(chunks.c.id, chunks.c.recipients)
            ).all()
            assert all(size == letters for _, size, letters in of_chunks)
            assert connection.execute(select(func.count()).select_from(skips)).scalar_one() == 0

    @invariant()
    def a_chunk_has_one_open_call_at_most(self) -> None:
        with self.database.reader() as connection:
            open_calls = connection.execute(
                select(attempts.c.chunk_id, func.count())
                .where(attempts.c.outcome.is_(None))
                .group_by(attempts.c.chunk_id)
            ).all()
            assert all(number == 1 for _, number in open_calls)

    @invariant()
    def what_is_accepted_has_its_evidence(self) -> None:
        with self.database.reader() as connection:
            accepted = (
                connection.execute(select(chunks.c.id).where(chunks.c.state == "accepted")).scalars().all()
            )
            for chunk_id in accepted:
                calls = connection.execute(select(attempts).where(attempts.c.chunk_id == chunk_id)).all()
                assert any(
                    (call.outcome == "accepted" and call.message_id)
                    or reconcile.SEEN in call.detail
                    or reconcile.SAID in call.detail
                    for call in calls
                )

    # -- the end -----------------------------------------------------------------------------------

    def comes_to_an_end(self) -> None:
        """From anywhere, honest answers bring it to an end in bounded steps; nothing is unaccounted."""
        for _ in range(200):
            with contextlib.suppress(NewsletterError), self.database.ledger() as connection:
                campaigns.resume(connection, self.campaign_id, self.site.clock.now)
            if self.work("accepted") is Worked.IDLE:
                self.site.clock.now += timedelta(seconds=1000)
                if self.site.status(self.campaign_id).status == "finished":
                    break
        state = self.site.status(self.campaign_id)
        assert (state.status, state.waiting) == ("finished", 0)
        with self.database.reader() as connection:
            letters = connection.execute(select(deliveries.c.email, deliveries.c.handover)).all()
        for email, handover in letters:
            if handover == "accepted":
                # A person's "sent" may be wrong; without one, accepted means taken.
                assert self.copies[email] or self.said_sent(email), f"{email} is lost"
            elif handover == "rejected":
                assert self.copies[email] <= self.again[email]
        self.nobody_is_written_to_twice_unless_a_person_said_so()

    def said_sent(self, email: str) -> bool:
        with self.database.reader() as connection:
            details = connection.execute(
                select(attempts.c.detail)
                .join(deliveries, deliveries.c.chunk_id == attempts.c.chunk_id)
                .where(deliveries.c.email == email)
            ).scalars()
            return any(reconcile.SAID in detail for detail in details)


class Machine(Provider):
    """One call of one worker, ending as it was told."""

    def __init__(self, ledger: Ledger, ending: str, place: int) -> None:
        super().__init__(answer=self.end)
        self.ledger = ledger
        self.ending = ending
        self.place = place

    def end(self, addresses: list[str], number: int) -> Answer:
        ledger = self.ledger
        [attempt_id] = {person["custom_args"]["nl_a"] for person in self.calls[-1]["personalizations"]}
        ledger.calls[attempt_id] = addresses_of(self.calls[-1])
        with ledger.database.reader() as connection:
            row = connection.execute(
                select(attempts.c.outcome).where(attempts.c.id == attempt_id)
            ).one_or_none()
        if row is None:
            ledger.is_broken = "a call was made without an attempt on the disk"
        if ledger.left & set(addresses):
            ledger.is_broken = "somebody who had left was written to"
        if self.ending in ("accepted", "lost answer", "killed after"):
            ledger.copies.update(addresses)
            ledger.took.add(attempt_id)
        if self.ending.startswith("killed"):
            raise Killed
        endings: dict[str, Answer] = {
            "accepted": Accepted(attempt_id),
            "lost answer": Uncertain("the connection was cut"),
            "lost request": Uncertain("the connection was cut"),
            "not sent": NotSent("the connection was refused"),
            "busy": Busy(20, "429"),
            "stopped": Stopped("the key was refused (401)", "Mend it.", 401),
            "too large": TooLarge("413"),
            "bad reader": BadRecipients((min(self.place, len(addresses) - 1),), "bad address"),
            "bad somewhere": BadSomewhere("Bad Request"),
        }
        return endings[self.ending]


Ledger.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLedger = Ledger.TestCase
