"""Sends that are broken off, doubled or asked for differently: one campaign, every letter once."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mailer import site as site_files
from mailer.cli import EXIT_STOPPED
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from subscribers import failpoints
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point
from tests.conftest import ROOT
from tests.delivery.test_refusals import refusing
from tests.delivery.test_wire import OK, Server, serving
from tests.journeys.conftest import Terminal

READERS = 30


def dying(site: Path, *words: str) -> subprocess.Popen[str]:
    """A `mailer` that dies by SIGKILL as soon as its people are staged, before an edition is rendered."""
    return subprocess.Popen(
        [sys.executable, "-m", "mailer", *words],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(ROOT), failpoints.POINT: f"{Point.PEOPLE_STAGED}:1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copies(sandbox: SandboxServer) -> Counter[str]:
    return Counter(row["email"] for row in sandbox.mailbox.rows("SELECT email FROM letter"))


@pytest.fixture
def ready(site: Path, sandbox: SandboxServer, terminal: Terminal) -> Path:
    """An issue and its readers, on a sandbox."""
    rows = [f"reader{number}@example.com,Reader {number},all\n" for number in range(READERS)]
    (site / "readers.csv").write_text("email,name,topics\n" + "".join(rows))
    assert terminal("subscribers", "import", "readers.csv", "--basis", "form").code == 0
    assert terminal("import", "examples/week-04.md").code == 0
    return site


def test_a_send_killed_while_it_prepares_is_finished_by_the_next_worker_at_once(
    ready: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    victim = dying(ready, "send", "week-04", "--yes")
    # Not awaited yet: a dead process that its parent has not buried is dead all the same.
    assert victim.stderr is not None
    victim.stderr.read()
    before = terminal("status", "1", "--json").document
    assert (before["status"], before["frozen"]) == ("preparing", 0)
    answer = terminal("worker", "--once", "--json")
    assert victim.wait() == -signal.SIGKILL
    victim.communicate()
    [done] = answer.document["campaigns"]
    assert (done["status"], done["frozen"], done["accepted"]) == ("finished", READERS, READERS)
    assert set(copies(sandbox).values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_send_that_is_told_to_stop_lets_its_calls_end_and_says_how_to_go_on(
    ready: Path, terminal: Terminal, number: signal.Signals
) -> None:
    site_files.set_keys(ready / "config.toml", {("sending", "chunk_size"): 5})
    begun, go_on = threading.Event(), threading.Event()

    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        while server.read(connection):
            begun.set()
            assert go_on.wait(60)
            connection.sendall(OK)

    with serving(answer) as server:
        site_files.set_keys(ready / "config.toml", {("sendgrid", "host"): server.url})
        sender = subprocess.Popen(
            [sys.executable, "-m", "mailer", "send", "week-04", "--yes", "--json"],
            cwd=ready,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.wait(60)
        sender.send_signal(number)
        assert sender.stderr is not None
        said = next(line for line in sender.stderr if "Stopping" in line)
        go_on.set()
        out, err = sender.communicate()
        assert said == "Stopping; calls in flight end first.\n"
        ledger = json.loads(out)
        assert (sender.returncode, ledger["status"]) == (EXIT_STOPPED, "sending")
        assert (ledger["accepted"], ledger["waiting"], ledger["held"]) == (5, READERS - 5, 0)
        assert "'mailer send week-04' or 'mailer worker'" in err
        assert terminal("worker", "--once").code == 0
    assert terminal("status", "1", "--json").document["accepted"] == READERS


def test_two_sends_at_the_same_moment_make_one_campaign_and_both_end_well(
    ready: Path, sandbox: SandboxServer
) -> None:
    together = threading.Barrier(2, timeout=60)

    def send() -> dict[str, Any]:
        with Mailer.open(ready / "config.toml") as mailer:
            plan = mailer.plan("week-04")
            together.wait()
            campaign = mailer.start(plan)
            together.wait()
            return mailer.run_campaign(campaign)

    with ThreadPoolExecutor(2) as both:
        ends = [end.result() for end in [both.submit(send), both.submit(send)]]
    assert ends[0] == ends[1]
    assert (ends[0]["campaign"], ends[0]["status"], ends[0]["accepted"]) == (1, "finished", READERS)
    with Mailer.open(ready / "config.toml") as mailer:
        assert mailer.campaigns() == [{**ends[0], "skipped": None}]
    assert len(copies(sandbox)) == READERS
    assert set(copies(sandbox).values()) == {1}


def test_the_second_of_two_sends_is_refused_when_it_is_for_others(
    ready: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    assert terminal("lists", "add", "press", "reader1@example.com").code == 0
    with Mailer.open(ready / "config.toml") as mailer:
        everyone, press = mailer.plan("week-04"), mailer.plan("week-04", lists=["press"])
        mailer.start(everyone)
        with pytest.raises(NewsletterError, match="it is for everyone, not for list press"):
            mailer.start(press)


@pytest.mark.parametrize(
    ("status", "field", "words"),
    [
        (400, None, "Bad Request"),
        (400, "content.1.value", "The content is no good."),
        (401, None, "Maximum credits exceeded"),
    ],
)
def test_a_refusal_of_everyone_ends_paused_with_one_and_costs_nobody(
    ready: Path,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    field: str | None,
    words: str,
) -> None:
    with refusing(lambda _: {"message": words, "field": field, "help": None}, status) as server:
        monkeypatch.setenv("MAILER_SENDGRID__HOST", server.url)
        answer = terminal("send", "week-04", "--yes", "--json")
    ledger = answer.document
    assert (answer.code, ledger["status"]) == (1, "paused")
    assert (ledger["waiting"], ledger["rejected"]) == (READERS, 0)
    assert words in ledger["pause_reason"]


@pytest.mark.parametrize("command", ["status", "stats", "pause", "resume", "cancel"])
@pytest.mark.parametrize("number", ["9" * 20, "0", "2147483648", "7"])
def test_a_number_that_no_campaign_has_is_not_found(
    site: Path, terminal: Terminal, command: str, number: str
) -> None:
    options = ["--yes"] if command == "cancel" else []
    answer = terminal(command, number, "--json", *options)
    assert answer.code == 1
    assert answer.document["error"]["message"] == f"there is no campaign {number}."


def test_an_unfinished_campaign_is_not_gone_on_with_for_another_audience(
    ready: Path, sandbox: SandboxServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal("lists", "add", "press", "reader1@example.com").code == 0
    monkeypatch.setenv("MAILER_SENDGRID__API_KEY", "none-of-SendGrids")
    assert terminal("send", "week-04", "--yes").code == 1
    monkeypatch.delenv("MAILER_SENDGRID__API_KEY")
    for option in ("--list", "--exclude-list"):
        refused = terminal("send", "week-04", option, "press", "--yes", "--json")
        error: dict[str, Any] = refused.document["error"]
        assert refused.code == 1
        assert "campaign 1" in error["message"]
        assert "mailer send" in error["cure"]
        assert "mailer cancel 1" in error["cure"]
    assert terminal("status", "1", "--json").document["status"] == "paused"
    assert terminal("send", "week-04", "--yes", "--json").document["accepted"] == READERS


def test_a_test_letter_as_a_subscriber_greets_with_their_name(
    ready: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    words = ("test", "week-04", "--to", "me@example.com", "--as", "reader3@example.com")
    assert terminal(*words).code == 0
    with urllib.request.urlopen(f"{sandbox.url}/sandbox/messages") as answer:
        [letter] = json.load(answer)["messages"]
    assert "Reader 3" in letter["text"]
