"""A site as `mailer init` lays it out, a sandbox beside it, and a judge who reads the sandbox's own file."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from mailer import site as site_files
from mailer.delivery import standing
from mailer.delivery.standing import CampaignState
from mailer.models import CampaignStatus, ChunkState, Handover
from mailer.sandbox import readers as audience
from mailer.sandbox.options import QUIET, SandboxOptions
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from mailer.tables import chunks, deliveries, subscribers
from subscribers import failpoints
from subscribers.failpoints import Point
from tests import databases
from tests.kill.processes import KILLED, LATER, Program

CHUNK = 5
# Letters that count: those of a cancelled batch are thrown away at their time.
LETTERS = """
SELECT letter.email FROM letter JOIN request ON request.id = letter.request_id
LEFT JOIN batch ON batch.id = request.batch_id WHERE coalesce(batch.status, '') <> 'cancel'
"""
EVENTS_SECONDS = 30.0
# Alembic, and the variables of this process, are shared by its threads.
_laying_out = threading.Lock()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Letters by what became of them; `lost`, `doubled` and `astray` are what must never be."""

    wanted: int
    arrived: int
    lost: int
    doubled: int
    astray: int  # to somebody who had left, or of whom the ledger says that nothing went
    held: int
    rejected: int


@dataclass
class World:
    """One site and its provider."""

    folder: Path
    sandbox: SandboxServer
    mailer: Mailer  # to look, and to press what a person presses
    readers: frozenset[str]
    left: set[str] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)
    later: timedelta = timedelta()  # by how much the clocks of its processes are ahead
    pairs: set[tuple[str, str]] = field(default_factory=set)  # (point, misbehaviour)

    def start(
        self, *words: str, point: Point | None = None, count: int = 1, act: str = "kill", seed: str = ""
    ) -> Program:
        """Begin a command in a process of its own, which is struck at that point, or by chance."""
        variables = {LATER: str(self.later.total_seconds()), failpoints.SEED: seed}
        if point:
            variables[failpoints.POINT] = f"{point}:{count}:{act}"
        return Program(self.folder, words, variables)

    def run(self, *words: str, seconds: float = 60.0) -> str:
        """A command to its end, which must be a good one; what it said."""
        program = self.start(*words)
        code = program.wait(seconds)
        assert code == 0, f"mailer {' '.join(words)} ended with {code}:\n{program.words}"
        return program.words

    def dies(self, *words: str, point: Point, seconds: float = 60.0) -> bool:
        """Whether a command that was to die at a point did; else it has come to its end."""
        return self.has_died(self.start(*words, point=point), point, seconds)

    def has_died(self, program: Program, point: Point, seconds: float = 60.0) -> bool:
        code = program.wait(seconds)
        assert code in (0, KILLED), f"it ended with {code}:\n{program.words}"
        if code == KILLED:
            self.deaths[point] += 1
        return code == KILLED

    def fault(self, kind: str, **parameters: float) -> None:
        self.sandbox.faults.add(kind, **parameters)

    # -- what a person sees and does ---------------------------------------------------------------

    @property
    def state(self) -> CampaignState:
        with self.mailer.database.reader() as connection:
            return standing.status(connection, 1)

    def resume_if_paused(self) -> None:
        if self.state.status == CampaignStatus.PAUSED:
            self.mailer.resume(1)

    def empty_next_chunk(self) -> None:
        """Let everybody leave who would get the next letters."""
        with self.mailer.database.ledger() as connection:
            chunk = connection.execute(
                select(chunks.c.id).where(chunks.c.state == ChunkState.WAITING).order_by(chunks.c.id).limit(1)
            ).scalar_one()
            theirs = select(deliveries.c.subscriber_id, deliveries.c.email).where(
                deliveries.c.chunk_id == chunk, deliveries.c.handover == Handover.WAITING
            )
            found = connection.execute(theirs).all()
            connection.execute(
                update(subscribers)
                .where(subscribers.c.id.in_([row.subscriber_id for row in found]))
                .values(status="unsubscribed")
            )
        self.left |= {row.email for row in found}

    def post_events(self) -> None:
        """Have the provider tell what became of every letter, until somebody has taken it."""
        url = f"{self.mailer.settings.web.base_url}/webhooks/sendgrid"
        report = audience.play(self.sandbox, webhook_url=url, rates=QUIET, deadline=EVENTS_SECONDS)
        assert report.posted.waiting == 0, "nobody took the events"

    # -- the judge ---------------------------------------------------------------------------------

    def copies(self) -> Counter[str]:
        """Letters by address, from the provider's own file."""
        return Counter(row["email"] for row in self.sandbox.mailbox.rows(LETTERS))

    def addresses(self, handover: Handover) -> set[str]:
        """Those of whom the ledger says this."""
        with self.mailer.database.reader() as connection:
            found = connection.execute(select(deliveries.c.email).where(deliveries.c.handover == handover))
            return set(found.scalars())

    def judge(self) -> Verdict:
        copies = self.copies()
        held, rejected = self.addresses(Handover.HELD), self.addresses(Handover.REJECTED)
        withheld = self.addresses(Handover.WITHHELD)
        wanted = self.readers - self.left
        return Verdict(
            wanted=len(wanted),
            arrived=len(copies),
            lost=len(wanted - copies.keys() - held - rejected - withheld),
            doubled=sum(number > 1 for number in copies.values()),
            astray=len(copies.keys() & (rejected | withheld)) + len(copies.keys() - self.readers),
            held=len(held),
            rejected=len(rejected),
        )

    def require_clean(self) -> Verdict:
        """The verdict, which must be: nothing lost, nothing doubled, every doubt shown."""
        verdict, state = self.judge(), self.state
        assert (verdict.lost, verdict.doubled, verdict.astray) == (0, 0, 0), verdict
        assert (state.held, state.rejected) == (verdict.held, verdict.rejected)
        assert state.frozen == state.accepted + state.held + state.rejected + state.withheld + state.waiting
        return verdict


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def people(number: int) -> list[str]:
    return [f"reader{place}@example.com" for place in range(number)]


@contextmanager
def world(
    root: Path,
    readers: int,
    *,
    keys: Mapping[tuple[str, str], str | int] | None = None,
    options: SandboxOptions | None = None,
) -> Iterator[World]:
    """A site with an issue and a file of readers, nobody imported yet."""
    folder = root / "weekly"
    with _laying_out:
        Mailer.init(folder)
    port = free_port()
    with SandboxServer(options, database_path=root / "sandbox.db") as sandbox:
        key = {("sendgrid", "webhook_public_key"): sandbox.public_key}
        site_files.set_keys(folder / "secrets.toml", key)
        site_files.set_keys(
            folder / "config.toml",
            {
                ("sendgrid", "host"): sandbox.url,
                ("sending", "chunk_size"): CHUNK,
                ("sending", "threads"): 2,
                ("web", "base_url"): f"http://127.0.0.1:{port}",
                ("web", "port"): port,
                ("web", "admin_port"): free_port(),
                **(keys or {}),
            },
        )
        if databases.SERVER:
            with _laying_out:
                url = databases.new_url("unused")
                databases.keep(url)  # a test may end while this goes on
            site_files.set_keys(folder / "config.toml", {("database", "url"): url})
        rows = [f"{address},Reader,all\n" for address in people(readers)]
        (folder / "readers.csv").write_text("email,name,topics\n" + "".join(rows))
        with _laying_out, site_files.without_variables():
            mailer = Mailer.open(folder / "config.toml")
        try:
            yield World(folder, sandbox, mailer, frozenset(people(readers)))
        finally:
            mailer.close()


def import_readers(here: World) -> None:
    here.run("subscribers", "import", "readers.csv", "--basis", "signed up")


def words_to_send() -> Sequence[str]:
    return ("send", "week-04", "--yes")
