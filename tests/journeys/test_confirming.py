"""What a person at a terminal is asked and told: a no is no error, a staging copy is red."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.journeys.conftest import Terminal

RED = "\x1b[1;31m"


def typed_at_a_terminal(site: Path, *words: str, answer: str = "") -> tuple[int, str]:
    """The exit code, and all that a terminal showed, of a command and what was answered to it."""
    ours, its = pty.openpty()
    try:
        command = subprocess.Popen(
            [sys.executable, "-m", "mailer", *words],
            cwd=site,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=its,
            stdout=its,
            stderr=its,
        )
    finally:
        os.close(its)
    os.write(ours, answer.encode())
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that the other side has closed
        assert shown
    os.close(ours)
    return command.wait(), shown.decode()


@pytest.fixture
def ready(site: Path, terminal: Terminal) -> Path:
    terminal("import", "examples/week-04.md")
    terminal("subscribers", "add", "ada@example.org", "--basis", "by hand")
    return site


def test_a_no_ends_calmly_with_two_and_does_nothing(ready: Path, terminal: Terminal) -> None:
    code, shown = typed_at_a_terminal(ready, "send", "week-04", answer="n\n")
    assert code == 2
    assert "Nothing was done." in shown
    assert "error" not in shown
    assert terminal("campaigns", "--json").document == {"campaigns": []}


@pytest.mark.parametrize("command", ["status", "campaigns"])
def test_a_staging_copy_says_in_red_that_it_mails_nobody_else(
    ready: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    assert "only_to" not in typed_at_a_terminal(ready, command)[1]
    monkeypatch.setenv("MAILER_SENDING__ONLY_TO", '["@example.org"]')
    code, shown = typed_at_a_terminal(ready, command)
    assert code == 0
    assert f"{RED}[sending] only_to is set: nobody but @example.org is mailed." in shown
