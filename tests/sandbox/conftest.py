"""One running sandbox for the room, emptied before each test; a webhook receiver on a real port."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
import urllib3

from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.server import SandboxServer

SEND = "/v3/mail/send"
KEY = "SG.test-key"


@dataclass
class Desk:
    """The sandbox as a client sees it."""

    server: SandboxServer
    http: urllib3.PoolManager

    def request(
        self, method: str, path: str, value: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        body = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
        sent = {
            "Authorization": f"Bearer {KEY}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        return self.http.request(
            method, self.server.url + path, body=body, headers=sent, retries=False, redirect=False, **more
        )

    def send(self, value: Any, **more: Any) -> urllib3.BaseHTTPResponse:
        return self.request("POST", SEND, value, **more)

    def errors(self, value: Any, status: int = 400) -> list[dict[str, Any]]:
        """The errors of a refused message."""
        answer = self.send(value)
        assert answer.status == status, answer.data
        errors: list[dict[str, Any]] = answer.json()["errors"]
        assert all(set(error) == {"message", "field", "help"} for error in errors)
        return errors

    def messages(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request("GET", f"/sandbox/messages?{query}").json()["messages"]
        return found

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", "/sandbox/summary").json()
        return found

    def behave(self, **settings: Any) -> None:
        answer = self.request("POST", "/sandbox/behaviour", settings)
        assert answer.status == 200, answer.data


def person(number: int, **more: Any) -> dict[str, Any]:
    return {"to": [{"email": f"reader{number}@example.com"}], **more}


def mail(*personalizations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A message that SendGrid takes, to one reader unless told otherwise."""
    return {
        "personalizations": list(personalizations) or [person(1)],
        "from": {"email": "editor@example.com", "name": "Weekly"},
        "subject": "This week",
        "content": [
            {"type": "text/plain", "value": "Hello"},
            {"type": "text/html", "value": "<p>Hello</p>"},
        ],
        **more,
    }


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with SandboxServer(SandboxOptions(), database_path=tmp_path_factory.mktemp("desk") / "s.db") as server:
        yield server


@pytest.fixture
def desk(running: SandboxServer) -> Iterator[Desk]:
    running.state.reset()
    with urllib3.PoolManager() as http:
        yield Desk(running, http)


@dataclass(frozen=True)
class Hit:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Stands for our public web server: counts doors and the webhook."""

    url: str
    hits: list[Hit] = field(default_factory=list)
    refusals: int = 0  # webhook posts still to be refused with 503

    def posts(self) -> list[Hit]:
        return [hit for hit in self.hits if hit.path == "/hook"]

    def events(self) -> list[dict[str, Any]]:
        return [row for hit in self.posts() for row in orjson.loads(hit.body)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.casefold(): value for name, value in self.headers.items()}
            with lock:
                is_refused = self.path == "/hook" and made.refusals > 0
                made.refusals -= is_refused
                if not is_refused:
                    made.hits.append(Hit(self.command, self.path, headers, body))
            self.send_response(503 if is_refused else 302 if self.path.startswith("/c/") else 200)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "https://www.example.org/elsewhere")
            self.end_headers()

        do_GET = do_POST = do_HEAD = answer  # noqa: N815 - the base class's names

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
