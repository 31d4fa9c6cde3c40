"""Kill processes by the thousand, by chance and by list, on both databases, and write down what came of it.

`make soak`, or `make soak ARGS="--kills 200 --on sqlite"` for a short one. Every run is judged by the
provider's own log; the first letter lost or doubled ends it. Writes docs/soak.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mailer.delivery import standing
from mailer.models import CampaignStatus, Handover
from mailer.sandbox.faults import Kind
from mailer.sandbox.options import SandboxOptions
from tests import databases, postgres
from tests.conftest import ROOT
from tests.kill import fenced
from tests.kill.campaign import IMPORT, WORKER
from tests.kill.days import BAD_DAYS, BadDay, live
from tests.kill.processes import KILLED
from tests.kill.world import Verdict, World, world

REPORT = ROOT / "docs" / "soak.md"
KILLS = 1000
READERS = 300
RUNS_AT_ONCE = 2
Run = tuple[int, Verdict, Verdict]  # kills, before the events, after them
# Of all points that a process comes to, and of all calls for each kind of misbehaviour.
DEATHS, FAULTS = 0.06, 0.01
FAULTY = (
    Kind.SERVER_ERROR,
    Kind.SERVER_ERROR_AFTER,
    Kind.RESET_BEFORE,
    Kind.RESET_EARLY,
    Kind.RESET_AFTER,
    Kind.CLOSE_BEFORE,
    Kind.TIMEOUT_BEFORE,
    Kind.TIMEOUT_AFTER,
    Kind.SLOW_DRIP,
    Kind.NO_MESSAGE_ID,
    Kind.RATE_LIMITED,
    Kind.UNAUTHORIZED,
    Kind.TOO_LARGE,
    Kind.BAD_REQUEST,
)
BY_LIST, BY_CHANCE, BEHIND_FENCES = "by list", "by chance", "behind fences"
HEAD = """# What came of killing it

`make soak` kills the real processes (SIGKILL) while they import, freeze, send, take answers and events, and
while the sandbox misbehaves as SendGrid may; the sandbox's own file then says who got what. *By list*: at
every point, under every misbehaviour. *By chance*: at any point, drawn from a seed. *Behind fences*:
campaigns with a time, taken back and handed over again. Held letters are those whose answer nobody saw:
first before the events, then when events had come, which leaves those that really did not go.

"""


@dataclass(frozen=True, slots=True)
class Row:
    """Runs of one kind on one database."""

    database: str
    kind: str
    runs: int = 0
    kills: int = 0
    letters: int = 0
    lost: int = 0
    doubled: int = 0
    held: int = 0
    still_held: int = 0
    seconds: float = 0.0

    def with_run(self, kills: int, before: Verdict, after: Verdict, seconds: float) -> "Row":
        return replace(
            self,
            runs=self.runs + 1,
            kills=self.kills + kills,
            letters=self.letters + before.wanted,
            lost=self.lost + before.lost + after.lost,
            doubled=self.doubled + before.doubled + after.doubled,
            held=self.held + before.held,
            still_held=self.still_held + after.held,
            seconds=self.seconds + seconds,
        )


def main(arguments: Sequence[str]) -> int:
    wanted = argparse.ArgumentParser(prog="make soak", description=__doc__)
    wanted.add_argument("--kills", type=int, default=KILLS, help="at least so many on each database")
    wanted.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long")
    wanted.add_argument("--seed", type=int, default=1, help="the first of the seeds")
    wanted.add_argument("--on", choices=("sqlite", "postgresql", "both"), default="both")
    wanted.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = wanted.parse_args(arguments)
    if options.here:
        for row in soak(options.kills, options.seconds, options.seed):
            print(json.dumps({name: getattr(row, name) for name in Row.__slots__}))  # noqa: T201
        return 0
    rows: list[Row] = []
    again = [f"--kills={options.kills}", f"--seconds={options.seconds}", f"--seed={options.seed}", "--here"]
    if options.on != "postgresql":
        rows += _elsewhere(again, None)
    if options.on != "sqlite":
        with _server() as url:
            if url is not None:
                rows += _elsewhere(again, url)
    REPORT.write_text(HEAD + table(rows), encoding="utf-8")
    print(table(rows))  # noqa: T201
    return 0


def _elsewhere(words: Sequence[str], url: str | None) -> list[Row]:
    """In a process of its own, which tests on this server."""
    environment = {name: value for name, value in os.environ.items() if name != databases.VARIABLE}
    if url is not None:
        environment[databases.VARIABLE] = url
    command = [sys.executable, "-m", "tests.kill.soak", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**json.loads(line)) for line in done.stdout.splitlines()]


@contextmanager
def _server() -> Iterator[str | None]:
    """A PostgreSQL server, as that of the tests."""
    if url := os.environ.get(databases.VARIABLE) or os.environ.get(postgres.SERVER_VARIABLE):
        yield url
        return
    binaries = postgres.find_binaries() or (postgres.install() and postgres.find_binaries())
    user = postgres.unprivileged()
    if not binaries or user is None:
        postgres.skip("no server can be started on this machine", "Install one: apt-get install postgresql")
        yield None
        return
    with postgres.cluster(Path(binaries), user) as url:
        yield url


def soak(kills: int, seconds: float, seed: int) -> list[Row]:
    """Runs of every kind, some at once, until enough processes have died."""
    name = "PostgreSQL" if databases.SERVER else "SQLite"
    rows = {kind: Row(name, kind) for kind in (BY_LIST, BY_CHANCE, BEHIND_FENCES)}
    ends_at = time.monotonic() + seconds
    numbers = count(seed)

    def work() -> None:
        while sum(row.kills for row in rows.values()) < kills and time.monotonic() < ends_at:
            kind, job = _job(next(numbers))
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                died, before, after = job(Path(folder))
            rows[kind] = rows[kind].with_run(died, before, after, time.monotonic() - began)

    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        for running in [pool.submit(work) for _ in range(RUNS_AT_ONCE)]:
            running.result()
    databases.after_all_tests()
    return [row for row in rows.values() if row.runs]


def _job(number: int) -> tuple[str, Callable[[Path], Run]]:
    """What to run with this number: mostly chance, now and then fences and a list."""
    if number % 6 == 0:
        return BEHIND_FENCES, behind_fences
    if number % 6 == 3:
        day = replace(BAD_DAYS[number // 6 % len(BAD_DAYS)], workers=1 + number // 24 % 2)
        return BY_LIST, lambda root: by_list(root, day)
    return BY_CHANCE, lambda root: by_chance(root, number)


def by_list(root: Path, day: BadDay) -> Run:
    lived = live(root / "day", day)
    return lived.deaths.total(), lived.before_events, lived.after_events


def behind_fences(root: Path) -> Run:
    with world(root, READERS // 2, keys=fenced.KEYS) as here:
        fenced.walk(here)
        verdict = here.require_clean()
        return here.deaths.total(), verdict, verdict


def by_chance(root: Path, seed: int) -> Run:
    """One campaign under chance misbehaviours, whose processes die by chance, by one worker or two."""
    options = SandboxOptions(misbehave=dict.fromkeys(FAULTY, FAULTS), seed=seed)
    with world(root, READERS, keys={("sendgrid", "deadline_seconds"): 1}, options=options) as here:
        fates = _Fates(here, seed)
        fates.until_done(*IMPORT)
        here.run("import", "examples/week-04.md")
        while not _has_campaign(here):
            fates.start("send", "week-04", "--yes")
        workers = 1 + seed % 2
        with ThreadPoolExecutor(workers) as pool:
            for lane in [pool.submit(_until_finished, here, fates) for _ in range(workers)]:
                lane.result()
        before = here.require_clean()
        server = here.start("serve")
        here.post_events()
        server.stop()
        after = here.require_clean()
        assert not here.addresses(Handover.HELD) & here.copies().keys(), "an event did not end its doubt"
        return here.deaths.total(), before, after


class _Fates:
    """Gives each process of a run a seed of its own, and counts who died."""

    def __init__(self, here: World, seed: int) -> None:
        self._here = here
        self._seed = seed
        self._numbers = count()

    def start(self, *words: str) -> bool:
        """Whether it came to its end."""
        program = self._here.start(*words, seed=f"{self._seed}.{next(self._numbers)}:{DEATHS}")
        code = program.wait()
        if code == KILLED:
            self._here.deaths["by chance"] += 1
        return code != KILLED

    def until_done(self, *words: str) -> None:
        while not self.start(*words):
            continue


def _has_campaign(here: World) -> bool:
    with here.mailer.database.reader() as connection:
        return bool(standing.every(connection))


def _until_finished(here: World, fates: _Fates) -> None:
    while here.state.status != CampaignStatus.FINISHED:
        here.resume_if_paused()
        fates.start(*WORKER)


def table(rows: Sequence[Row]) -> str:
    """The rows and their sums, as Markdown."""
    total = Row("", "**all**")
    for row in rows:
        total = replace(
            total, **{name: getattr(total, name) + getattr(row, name) for name in Row.__slots__[2:]}
        )
    lines = [
        "| database | killed | runs | kills | letters | lost | doubled | held | after events | seconds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in (*rows, total):
        numbers = (row.runs, row.kills, row.letters, row.lost, row.doubled, row.held, row.still_held)
        cells = " | ".join(f"{number:,}" for number in numbers)
        lines.append(f"| {row.database} | {row.kind} | {cells} | {row.seconds:,.0f} |")
    said = f"Run on {datetime.now(UTC):%Y-%m-%d}; the seconds are those of the runs, two at a time."
    return "\n".join(lines) + f"\n\n{said}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
