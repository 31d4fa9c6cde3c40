"""README and quickstart, typed as they stand: every shell command that needs no network, in order."""

import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mailer.demo.play import free_ports
from tests.conftest import ROOT
from tests.journeys.conftest import Terminal

PAGES = ("README.md", "docs/quickstart.md")
# They fetch packages; what they do is tested elsewhere (test_install, test_demo, and by these tests).
FETCHES = ("make demo", "make test", "pip install .")
# They stay, and what comes after them is typed into another terminal.
STAYS = {"mailer sandbox": "sandbox", "mailer serve": "web"}
START_SECONDS = 120.0


def commands_of(page: str) -> list[str]:
    """The commands of a page's bash blocks, one by one, without the comments beside them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [part.removesuffix("&").strip() for line in lines for part in line.split(" && ") if part]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs_as_written(
    page: str, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = _newcomers_terminal(tmp_path, monkeypatch)
    ran = []
    with ExitStack() as running:
        for command in commands_of(page):
            program, *words = shlex.split(command)
            if command in STAYS:
                running.enter_context(_stays(command, ports[STAYS[command]]))
            elif program == "cd":
                monkeypatch.chdir(words[0])
            elif command not in FETCHES:
                assert program == "mailer", command
                monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
                answer = terminal(*words)
                assert answer.code == 0, f"{command}\n{answer.out}\n{answer.err}"
            ran.append(" ".join([program, *words[:1]]))
    assert {"mailer init", "mailer sandbox", "mailer import", "mailer send"} <= set(ran)


def _newcomers_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """An empty folder and no settings, but ports of its own: the usual ones may be taken."""
    for variable in [name for name in os.environ if name.startswith("MAILER_")]:
        monkeypatch.delenv(variable)
    web, admin, sandbox = free_ports(3)
    monkeypatch.setenv("MAILER_WEB__PORT", str(web))
    monkeypatch.setenv("MAILER_WEB__ADMIN_PORT", str(admin))
    monkeypatch.setenv("MAILER_WEB__BASE_URL", f"http://127.0.0.1:{web}")
    monkeypatch.setenv("MAILER_SANDBOX__PORT", str(sandbox))
    monkeypatch.setenv("MAILER_SENDGRID__HOST", f"http://127.0.0.1:{sandbox}")
    # What rich takes for a terminal is asked before it sends.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.chdir(folder)
    return {"web": web, "sandbox": sandbox}


@contextmanager
def _stays(command: str, port: int) -> Iterator[None]:
    """A terminal of its own, from the moment it answers until Ctrl-C ends it."""
    _, *words = shlex.split(command)
    process = subprocess.Popen(
        [sys.executable, "-m", "mailer", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        while not _answers(port):
            assert process.poll() is None, f"{command} ended: {process.communicate()[1]!r}"
            threading.Event().wait(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        timer.cancel()
    assert process.returncode == 0, f"{command}: {said!r}"


def _answers(port: int) -> bool:
    with socket.socket() as line:
        line.settimeout(1)
        return line.connect_ex(("127.0.0.1", port)) == 0
