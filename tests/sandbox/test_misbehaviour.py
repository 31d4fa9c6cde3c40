"""Bad days on demand: what a client sees on the wire, and whether the letters were accepted."""

import logging
import socket
import threading
import time
from typing import Any

import orjson
import pytest

from mailer.sandbox import faults
from mailer.sandbox.faults import FaultQueue, Kind
from subscribers.errors import NewsletterError
from tests.sandbox.conftest import KEY, SEND, Desk, mail, person

Pieces = list[bytes]


def wire(desk: Desk, misbehaviour: str, message: dict[str, Any] | None = None) -> tuple[Pieces, str]:
    """The pieces of an answer as they arrive, and the end: "end", "reset", or "cut" while sending."""
    pieces: Pieces = []
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=10) as connection:
        try:
            connection.sendall(raw_request(misbehaviour, message or mail()))
        except (BrokenPipeError, ConnectionResetError):
            return pieces, "cut"
        while True:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return pieces, "reset"
            if not piece:
                return pieces, "end"
            pieces.append(piece)


def raw_request(misbehaviour: str, message: dict[str, Any]) -> bytes:
    body = orjson.dumps(message)
    head = (
        f"POST {SEND} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{faults.HEADER}: {misbehaviour}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Misbehaving is work, not a failure: the server must not log one."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("kind", "ending", "accepted"),
    [
        ("reset_before", "reset", 0),
        ("reset_after", "reset", 1),
        ("close_before", "end", 0),
        ("timeout_before; seconds=0.05", "end", 0),
        ("timeout_after; seconds=0.05", "end", 1),
    ],
)
def test_no_answer_comes_and_the_letter_is_or_is_not_taken(
    desk: Desk, kind: str, ending: str, accepted: int
) -> None:
    assert wire(desk, kind) == ([], ending)
    assert len(desk.messages()) == accepted
    assert desk.summary()["answers"] == {"none": 1}


def test_an_early_reset_cuts_a_body_that_is_still_being_sent(desk: Desk) -> None:
    # Larger than the buffers of both sockets, so that the sender is still at it.
    large = mail(content=[{"type": "text/plain", "value": "x" * 24_000_000}])
    assert wire(desk, "reset_early", large) == ([], "cut")
    assert desk.messages() == []


def test_a_client_that_gives_up_ends_the_silence(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.server.port)) as connection:
        connection.sendall(raw_request("timeout_after", mail()))
        wait_until(lambda: len(desk.server.state.held) == 1)
    wait_until(lambda: not desk.server.state.held)
    assert len(desk.messages()) == 1


def test_a_slow_drip_comes_byte_by_byte_and_is_a_whole_answer_in_the_end(desk: Desk) -> None:
    pieces, ending = wire(desk, "slow_drip; seconds=0.002")
    answer = b"".join(pieces)
    assert ending == "end"
    assert len(pieces) > len(answer) // 3
    assert answer.startswith(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: ")
    assert desk.messages()[0]["message_id"].encode() in answer


def test_a_202_may_lack_its_message_id(desk: Desk) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: "no_message_id"})
    assert (answer.status, answer.headers.get("X-Message-Id")) == (202, None)
    assert len(desk.messages()) == 1


def test_a_redirect_leads_to_another_origin(desk: Desk) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: "redirect; status=307; location=http://localhost:9/x"})
    assert (answer.status, answer.headers["Location"]) == (307, "http://localhost:9/x")
    assert desk.messages() == []


@pytest.mark.parametrize(
    ("kind", "status", "field"),
    [
        ("bad_personalization; index=3", 400, "personalizations.3.to.0.email"),
        ("bad_body", 400, "content.0.value"),
        ("bad_request", 400, None),
        ("unauthorized", 401, None),
        ("no_credits", 401, None),
        ("forbidden", 403, None),
        ("too_large", 413, None),
        ("rate_limited", 429, None),
        ("server_error", 500, None),
        ("unavailable", 503, None),
        ("status; status=406", 406, None),
        ("status; status=451", 451, None),
        ("status; status=418", 418, None),
    ],
)
def test_statuses_come_in_sendgrids_shape_and_nothing_is_taken(
    desk: Desk, kind: str, status: int, field: str | None
) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: kind})
    assert (answer.status, answer.json()["errors"][0]["field"]) == (status, field)
    assert desk.messages() == []


def test_429_says_when_to_come_back(desk: Desk) -> None:
    before = time.time()
    answer = desk.send(mail(), headers={faults.HEADER: "rate_limited; seconds=5"})
    assert before + 5 <= int(answer.headers["X-RateLimit-Reset"]) <= before + 8
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert int(answer.headers["X-RateLimit-Limit"]) > 0


def test_a_gateway_error_is_no_json(desk: Desk) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: "bad_gateway"})
    assert (answer.status, answer.headers["Content-Type"][:9]) == (502, "text/html")


def test_a_500_may_come_after_the_letters_were_taken(desk: Desk) -> None:
    assert desk.send(mail(), headers={faults.HEADER: "server_error_after"}).status == 500
    assert len(desk.messages()) == 1


def test_latency_only_delays(desk: Desk) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: "latency; seconds=0.01"})
    assert answer.status == 202
    assert answer.headers["X-Message-Id"] == desk.messages()[0]["message_id"]


def test_misbehaving_after_accepting_still_refuses_a_bad_message(desk: Desk) -> None:
    assert desk.send(mail(person(1), person(1)), headers={faults.HEADER: "reset_after"}).status == 400


def test_an_outage_refuses_connections_and_ends(desk: Desk) -> None:
    assert wire(desk, "outage; seconds=0.15")[1] == "reset"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", desk.server.port))
    wait_until(lambda: is_listening(desk.server.port))
    assert desk.send(mail()).status == 202


def test_queued_misbehaviour_meets_the_calls_in_its_order(desk: Desk) -> None:
    wanted = [
        {"kind": "unavailable", "times": 2},
        {"kind": "rate_limited", "after": 1, "seconds": 1},
        {"kind": "no_message_id"},
    ]
    assert len(desk.request("POST", "/sandbox/faults", wanted).json()["faults"]) == 3
    statuses = [desk.send(mail(person(n))).status for n in range(6)]
    assert statuses == [503, 503, 202, 429, 202, 202]
    assert desk.request("GET", "/sandbox/faults").json() == {"faults": []}
    calls = desk.request("GET", "/sandbox/calls").json()["calls"]
    assert [call["misbehaviour"] for call in calls] == [
        "unavailable",
        "unavailable",
        None,
        "rate_limited",
        "no_message_id",
        None,
    ]


def test_the_queue_can_be_emptied(desk: Desk) -> None:
    desk.server.faults.add("unavailable", times=5)
    assert desk.request("DELETE", "/sandbox/faults").status == 204
    assert desk.send(mail()).status == 202


def test_misbehaviour_by_setting_is_a_share_of_calls_drawn_by_the_seed() -> None:
    def drawn(seed: int) -> list[str | None]:
        queue = FaultQueue()
        found = (queue.next(None, {Kind.UNAVAILABLE: 0.3}, seed) for _ in range(200))
        return [fault.kind if fault else None for fault in found]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 35 < sum(kind is not None for kind in drawn(1)) < 85


def test_a_setting_makes_every_call_meet_it(desk: Desk) -> None:
    desk.behave(misbehave={"server_error": 1.0})
    assert desk.send(mail()).status == 500


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "reset_after; colour=red",
        "rate_limited; seconds=soon",
        "rate_limited; seconds",
        "rate_limited; seconds=nan",
        "rate_limited; seconds=1e300",
        "latency; seconds=-1",
        "unavailable; times=0",
        "unavailable; times=-1",
        "unavailable; after=-1",
        "bad_personalization; index=1000",
        "status; status=99999",
        "status; status=100",
        "redirect; location=http://localhost/é",
    ],
)
def test_an_unknown_misbehaviour_is_refused_with_the_known_ones(desk: Desk, bad: str) -> None:
    answer = desk.send(mail(), headers={faults.HEADER: bad})
    assert answer.status == 400
    assert "reset_before" in answer.json()["errors"][0]["message"]
    with pytest.raises(NewsletterError):
        faults.parse_header(bad)


def test_a_queue_with_a_wrong_entry_is_refused(desk: Desk) -> None:
    for wrong in ([{"kind": "nonsense"}], ["reset_after"], [{"kind": "reset_after", "times": "many"}], 3):
        assert desk.request("POST", "/sandbox/faults", wrong).status == 400
    injected = {"kind": "redirect", "location": "http://localhost/\r\nX-A: b"}
    for value in (injected, {"kind": "unavailable", "times": -1}, {"kind": "redirect", "location": 5}):
        assert desk.request("POST", "/sandbox/faults", value).status == 400
    for shares in ({"nonsense": 1}, {"rate_limited": 5}, {"rate_limited": -0.1}):
        assert desk.request("POST", "/sandbox/behaviour", {"misbehave": shares}).status == 400


@pytest.mark.parametrize("status", [200, 204, 304, 599])
def test_a_status_of_any_kind_ends_the_call_in_good_order(desk: Desk, status: int) -> None:
    assert desk.send(mail(), headers={faults.HEADER: f"status; status={status}"}).status == status
    assert desk.send(mail()).status == 202


def test_every_kind_of_misbehaviour_is_shown_by_a_test() -> None:
    from pathlib import Path

    source = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in Kind if f'"{kind}' not in source] == []


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def wait_until(holds: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    tick = threading.Event()
    while not holds():
        assert time.monotonic() < end
        tick.wait(0.005)
