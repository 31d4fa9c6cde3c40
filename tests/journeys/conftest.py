"""A person at a terminal: a fresh site, and commands typed into it."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailer import site as site_files
from mailer.cli import main
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from tests import databases


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Terminal = Callable[..., Answer]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site as `mailer init` lays it out; the terminal stands in it."""
    for variable in list(os.environ):
        if variable.startswith("MAILER_"):
            monkeypatch.delenv(variable)
    folder = tmp_path / "weekly"
    Mailer.init(folder)
    databases.move_site(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Type a command, get its exit code, stdout and stderr."""

    def typed(*words: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mailer", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            main()
        out, err = capfd.readouterr()
        return Answer(int(leave.value.code or 0), out, err)

    return typed


@pytest.fixture
def sandbox(site: Path, tmp_path: Path) -> Iterator[SandboxServer]:
    """A sandbox that the site hands its letters to."""
    server = SandboxServer(database_path=tmp_path / "sandbox.db").start()
    site_files.set_keys(site / "config.toml", {("sendgrid", "host"): server.url})
    yield server
    server.stop()
