"""The count-only sink, as a process of its own and as bytes on a wire."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import urllib3

from tests.sandbox.conftest import mail, person


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mailer.sandbox.sink", "--port", "0", "--latency-ms", "1"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.terminate()
    process.wait(10)
    process.stdout.close()


def count(port: int) -> dict[str, int]:
    with urllib3.PoolManager() as http:
        found: dict[str, int] = http.request("GET", f"http://127.0.0.1:{port}/count").json()
    return found


def test_it_counts_requests_and_personalizations_with_ids_of_their_own(port: int) -> None:
    before = count(port)
    message = mail(*(person(n) for n in range(250)), subject='A "to":[ in a text')
    bodies = [json.dumps(message).encode(), json.dumps(message, separators=(",", ":")).encode()]
    with urllib3.PoolManager() as http:
        answers = [
            http.request("POST", f"http://127.0.0.1:{port}/v3/mail/send", body=body) for body in bodies * 3
        ]
    after = count(port)
    assert {answer.status for answer in answers} == {202}
    ids = {answer.headers["X-Message-Id"] for answer in answers}
    assert len(ids) == 6
    assert {len(message_id) for message_id in ids} == {22}
    assert after["requests"] - before["requests"] == 6
    assert after["personalizations"] - before["personalizations"] == 1500
    assert after["body_bytes"] - before["body_bytes"] == 3 * sum(map(len, bodies))


def test_a_request_in_the_smallest_pieces_is_counted_once(port: int) -> None:
    before = count(port)
    body = b'{"personalizations":[{"to":[]},{"to":[]}]}'
    request = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(request)):
            connection.sendall(request[position : position + 1])
        assert connection.recv(4096).startswith(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: ")
        connection.sendall(request)  # the connection is kept
        assert connection.recv(4096).startswith(b"HTTP/1.1 202")
    after = count(port)
    assert after["requests"] - before["requests"] == 2
    assert after["personalizations"] - before["personalizations"] == 4


def test_a_body_without_a_length_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 411")
