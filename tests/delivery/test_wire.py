"""The SDK on our own client, against servers that misbehave on real sockets."""

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from mailer.delivery.sendgrid import SendGrid, require_safe_host
from mailer.delivery.transport import Accepted, Answer, Call, NotSent, Stopped, Uncertain
from subscribers.errors import NewsletterError

KEY = "SG.very-secret-key"
OK = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m1\r\nContent-Length: 0\r\n\r\n"
Handler = Callable[[socket.socket, int], object]


def call(size: int = 0) -> Call:
    body = {"personalizations": [{"to": [{"email": "reader@example.org"}]}], "filler": "x" * size}
    return Call(body, orjson.dumps(body), 1)


class Server:
    """Accepts connections and lets `handler` treat each; `requests` are the raw bytes read."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._treat, args=(connection, self.connections))
            thread.start()
            self._threads.append(thread)

    def _treat(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            self._handler(connection, number)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join()

    def read(self, connection: socket.socket) -> bytes:
        """One whole request."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                return received
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextlib.contextmanager
def serving(handler: Callable[[Server, socket.socket, int], object]) -> Iterator[Server]:
    server = Server(lambda connection, number: handler(server, connection, number))
    try:
        yield server
    finally:
        server.close()


def submit(url: str, *, size: int = 0, deadline: float = 5.0) -> Answer:
    transport = SendGrid(url, KEY, deadline_seconds=deadline, clock=lambda: datetime.now(UTC))
    try:
        return transport.submit(call(size))
    finally:
        transport.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_the_sdk_posts_the_dict_as_json_with_the_key() -> None:
    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(OK)

    with serving(answer) as server:
        assert submit(server.url) == Accepted("m1")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/mail/send HTTP/1.1\r\n")
    assert b"authorization: bearer sg.very-secret-key" in head.lower()
    assert b"content-type: application/json\r\n" in head.lower() + b"\r\n"
    assert b"sendgrid/" in head  # the SDK's own User-Agent
    assert orjson.loads(body)["personalizations"] == [{"to": [{"email": "reader@example.org"}]}]


def test_one_connection_serves_many_calls() -> None:
    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        while server.read(connection):
            connection.sendall(OK)

    with serving(answer) as server:
        transport = SendGrid(server.url, KEY, deadline_seconds=5)
        assert [transport.submit(call()) for _ in range(5)] == [Accepted("m1")] * 5
        transport.close()
    assert server.connections == 1


def accept(server: Server, connection: socket.socket, _number: int) -> None:
    server.read(connection)
    connection.sendall(OK)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed_and_the_key_stays_here(status: int) -> None:
    with serving(accept) as other:

        def redirect(server: Server, connection: socket.socket, _number: int) -> None:
            server.read(connection)
            connection.sendall(
                b"HTTP/1.1 %d Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n"
                % (status, other.url.encode())
            )

        with serving(redirect) as server:
            answer = submit(server.url)
    assert isinstance(answer, Stopped)
    assert answer.status == status
    assert other.connections == 0


def test_nobody_listening_is_proof_of_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert submit(f"http://127.0.0.1:{port}") == NotSent("the connection was refused")


def test_an_unknown_host_is_proof_of_not_sent() -> None:
    assert isinstance(submit("https://no-such-host.invalid"), NotSent)


def test_a_tls_failure_is_proof_of_not_sent() -> None:
    def plain(_server: Server, connection: socket.socket, _number: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 this is no TLS\r\n\r\n")

    with serving(plain) as server:
        answer = submit(f"https://127.0.0.1:{server.port}")
    assert isinstance(answer, NotSent)


def test_a_tls_handshake_that_never_ends_is_proof_of_not_sent() -> None:
    done = threading.Event()
    with serving(lambda _server, _connection, _number: done.wait(10)) as server:
        started = time.monotonic()
        answer = submit(f"https://127.0.0.1:{server.port}", deadline=0.3)
        done.set()
    assert isinstance(answer, NotSent)
    assert time.monotonic() - started < 5


def test_a_reset_after_the_request_is_uncertain() -> None:
    def cut(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        reset(connection)

    with serving(cut) as server:
        answer = submit(server.url)
    assert isinstance(answer, Uncertain)
    assert "bytes had left" in answer.detail


def test_a_reset_in_the_middle_of_the_request_is_uncertain() -> None:
    def cut(_server: Server, connection: socket.socket, _number: int) -> None:
        connection.recv(100)
        reset(connection)

    with serving(cut) as server:
        assert isinstance(submit(server.url, size=20_000_000), Uncertain)


def test_a_definite_answer_before_the_whole_request_was_read_counts() -> None:
    def refuse(_server: Server, connection: socket.socket, _number: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            continue

    with serving(refuse) as server:
        answer = submit(server.url, size=3_000_000)
    assert isinstance(answer, Stopped)
    assert answer.status == 401


def test_silence_ends_at_the_deadline_and_is_uncertain() -> None:
    done = threading.Event()

    def silent(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        done.wait(10)

    with serving(silent) as server:
        started = time.monotonic()
        answer = submit(server.url, deadline=0.3)
        done.set()
    assert isinstance(answer, Uncertain)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("head", [b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m1\r\nX: ", b""])
def test_a_slow_drip_cannot_outlast_the_deadline(head: bytes) -> None:
    done = threading.Event()

    def drip(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(head)
        while not done.wait(0.02):
            connection.sendall(b"x")

    with serving(drip) as server:
        started = time.monotonic()
        answer = submit(server.url, deadline=0.4)
        done.set()
    assert isinstance(answer, Uncertain)
    assert time.monotonic() - started < 5


def test_a_server_that_does_not_read_cannot_outlast_the_deadline() -> None:
    done = threading.Event()
    with serving(lambda _server, _connection, _number: done.wait(10)) as server:
        started = time.monotonic()
        answer = submit(server.url, size=20_000_000, deadline=0.4)
        done.set()
    assert isinstance(answer, Uncertain)
    assert time.monotonic() - started < 5


def test_a_status_that_was_seen_counts_though_its_body_never_ends() -> None:
    done = threading.Event()

    def endless(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m1\r\nContent-Length: 9\r\n\r\n")
        done.wait(10)

    with serving(endless) as server:
        assert submit(server.url, deadline=0.3) == Accepted("m1")
        done.set()


def test_a_huge_answer_is_read_to_a_bound() -> None:
    def huge(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 900000000\r\n\r\n")
        for _ in range(64):
            connection.sendall(b" " * 65536)

    with serving(huge) as server:
        assert type(submit(server.url)).__name__ == "BadSomewhere"


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 two-hundred\r\n\r\n",
        b"\x00" * 500,
        b"HTTP/1.1 202 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"HTTP/1.1 202 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Message-Id: m\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_garbage_and_answers_without_an_id_are_uncertain(garbage: bytes) -> None:
    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(garbage)

    with serving(answer) as server:
        assert isinstance(submit(server.url), Uncertain)


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_doubt() -> None:
    closed = threading.Event()

    def once(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(OK)
        connection.close()
        closed.set()

    with serving(once) as server:
        transport = SendGrid(server.url, KEY, deadline_seconds=5)
        answers = []
        for _ in range(3):
            closed.clear()
            answers.append(transport.submit(call()))
            closed.wait(5)
        transport.close()
    assert answers == [Accepted("m1")] * 3
    assert server.connections == 3


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(OK)

    with serving(answer) as server:
        assert submit(server.url) == Accepted("m1")


def test_neither_key_nor_addresses_reach_a_log_an_error_or_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    with caplog.at_level(logging.DEBUG), serving(answer) as server:
        transport = SendGrid(server.url, KEY, deadline_seconds=5)
        found = transport.submit(call())
        transport.close()
    said = caplog.text + repr(transport) + repr(found) + repr(vars(transport))
    assert "very-secret" not in said
    assert "reader@example.org" not in said


@pytest.mark.parametrize(
    "host", ["http://api.sendgrid.com", "http://10.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1.example.com"]
)
def test_http_is_for_this_machine_only(host: str) -> None:
    with pytest.raises(NewsletterError, match="unencrypted"):
        require_safe_host(host)


@pytest.mark.parametrize(
    "host", ["https://api.sendgrid.com", "http://127.0.0.1:8025", "http://localhost:1", "http://[::1]:8025"]
)
def test_https_and_loopback_are_fine(host: str) -> None:
    require_safe_host(host)


@pytest.mark.parametrize("host", ["https://key@api.sendgrid.com", "https://api.sendgrid.com?x=1", "https://"])
def test_a_host_is_a_host_and_nothing_more(host: str) -> None:
    with pytest.raises(NewsletterError):
        require_safe_host(host)


def test_many_threads_share_one_transport() -> None:
    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        while server.read(connection):
            connection.sendall(OK)

    found: list[Any] = []
    with serving(answer) as server:
        transport = SendGrid(server.url, KEY, deadline_seconds=10, connections=4)
        threads = [
            threading.Thread(target=lambda: found.extend(transport.submit(call(10_000)) for _ in range(10)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.close()
    assert found == [Accepted("m1")] * 40
    assert server.connections <= 4
