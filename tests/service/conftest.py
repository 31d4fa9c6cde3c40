"""A site with one issue, its rooms, the sandbox it hands letters to, and somebody who takes posts."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mailer.config import Settings
from mailer.database import Database
from mailer.sandbox import letters as sandbox_letters
from mailer.sandbox.letters import Letter
from mailer.sandbox.server import SandboxServer
from mailer.service.rooms import Rooms
from tests.delivery.conftest import Site


@pytest.fixture
def site(database: Database, settings: Settings, now: datetime) -> Site:
    return Site(database, settings, now)


@pytest.fixture
def rooms(site: Site) -> Rooms:
    return rooms_of(site)


@pytest.fixture
def sandbox(site: Site, tmp_path: Path) -> Iterator[SandboxServer]:
    """A sandbox that the site hands its letters to."""
    with SandboxServer(database_path=tmp_path / "sandbox.db") as server:
        configure(site, sendgrid={"host": server.url})
        yield server


def letters(sandbox: SandboxServer) -> list[Letter]:
    """What the sandbox accepted, oldest first."""
    return sandbox_letters.find(sandbox.mailbox, "letter.id > ? ORDER BY letter.id", [0])


def rooms_of(site: Site) -> Rooms:
    """The rooms of a site as its settings are now."""
    return Rooms.of(site.settings, site.database, site.clock)


def configure(site: Site, **tables: dict[str, Any]) -> None:
    """Change keys of the site's configuration, for rooms that are made afterwards."""
    changed = {
        name: type(getattr(site.settings, name)).model_validate(
            {**_values(getattr(site.settings, name)), **keys}
        )
        for name, keys in tables.items()
    }
    site.settings = site.settings.model_copy(update=changed)


def _values(table: Any) -> dict[str, Any]:
    return {name: getattr(table, name) for name in type(table).model_fields}


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Takes posts; answers with `answers` in their order, then 204."""

    url: str
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                made.posts.append(Post(self.path, dict(self.headers.items()), body))
                status = made.answers.pop(0) if made.answers else 204
            self.send_response(status)
            self.send_header("Location", f"{made.url}/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
