"""Workers in two folders on one server's database, as on two machines: they hear of work, and one may die."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer import site as site_files
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from tests import databases
from tests.journeys.conftest import Terminal

if not databases.SERVER:
    pytest.skip("several machines share a PostgreSQL database: 'make test-postgres'", allow_module_level=True)

READERS = 40
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 60


@pytest.fixture
def machines(site: Path, sandbox: SandboxServer, terminal: Terminal, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of one site: its readers and an issue, small chunks, workers that take jobs."""
    rows = [f"reader{number}@example.com,Reader {number},all\n" for number in range(READERS)]
    (site / "readers.csv").write_text("email,name,topics\n" + "".join(rows))
    assert terminal("subscribers", "import", "readers.csv", "--basis", "form").code == 0
    assert terminal("import", "examples/week-04.md").code == 0
    site_files.set_keys(
        site / "config.toml",
        {("sending", "engine"): "procrastinate", ("sending", "chunk_size"): 1, ("sending", "threads"): 2},
    )
    other = tmp_path / "machine-2"
    other.mkdir()
    for name in ("config.toml", "secrets.toml"):
        (other / name).write_bytes((site / name).read_bytes())
    assert terminal("adopt", "--join", "--yes", "--config", other / "config.toml").code == 0
    return site, other


@pytest.fixture
def workers(machines: tuple[Path, Path]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """A `mailer worker` in each folder, awake."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "mailer", "worker"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its log: a line for every call
        )
        for folder in machines
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Working")
    yield running
    for process in running:
        process.terminate()
        process.communicate(timeout=30)


def wait_for_letters(sandbox: SandboxServer, number: int) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if len(copies(sandbox)) >= number:
            return
        pause.wait(LOOK_SECONDS)
    raise AssertionError(f"{len(copies(sandbox))} letters came, not {number}")


def copies(sandbox: SandboxServer) -> Counter[str]:
    return Counter(row["email"] for row in sandbox.mailbox.rows("SELECT email FROM letter"))


def start(folder: Path) -> int:
    """What a web process does: it freezes, and sends nothing itself."""
    with Mailer.open(folder / "config.toml") as mailer:
        return mailer.start(mailer.plan("week-04"))


def finished(folder: Path, campaign: int) -> dict[str, object]:
    """Where the campaign stands when nothing is left to do."""
    pause = threading.Event()
    with Mailer.open(folder / "config.toml") as mailer:
        for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
            if (status := mailer.status(campaign))["status"] != "sending":
                return status
            pause.wait(LOOK_SECONDS)
    raise AssertionError(f"not finished: {status}")


def test_workers_elsewhere_hear_of_a_campaign_and_send_it_once(
    machines: tuple[Path, Path], workers: list["subprocess.Popen[bytes]"], sandbox: SandboxServer
) -> None:
    status = finished(machines[0], start(machines[0]))
    assert (status["status"], status["accepted"], status["held"]) == ("finished", READERS, 0)
    assert set(copies(sandbox).values()) == {1}
    assert len(copies(sandbox)) == READERS


def test_when_one_machine_dies_the_other_goes_on(
    machines: tuple[Path, Path], workers: list["subprocess.Popen[bytes]"], sandbox: SandboxServer
) -> None:
    sandbox.faults.add("latency", times=READERS, seconds=0.2)
    campaign = start(machines[0])
    wait_for_letters(sandbox, 4)
    workers[1].send_signal(signal.SIGKILL)
    status = finished(machines[0], campaign)
    assert status["status"] == "finished"
    assert status["accepted"] + status["held"] == READERS  # type: ignore[operator]
    assert status["held"] <= 2  # type: ignore[operator] # the calls that the dead one had in flight
    sent = copies(sandbox)
    assert set(sent.values()) == {1}
    assert len(sent) >= status["accepted"]  # type: ignore[operator]
