"""What strangers send on purpose: over real sockets, to a real server, beside which others are served."""

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DatabaseError
from starlette.testclient import TestClient

from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import campaign_stories, editions
from mailer.web import pages, protocol
from mailer.web.server import WebServer
from tests.tracking.sample import SLUG, Sample

WAIT_SECONDS = 20.0
SHORT_SECONDS = 0.2
CLOSE = b"Host: 127.0.0.1\r\nConnection: close\r\n"


@pytest.fixture
def web(rooms: Rooms) -> Iterator[WebServer]:
    with WebServer(rooms, port=0, admin_port=0) as web:
        yield web


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(pages, "BODY_SECONDS", SHORT_SECONDS)


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_SECONDS)


def said(line: socket.socket) -> bytes:
    """All that is answered until the server ends the connection."""
    answer = b""
    try:
        while part := line.recv(65_536):
            answer += part
    except ConnectionError:
        return answer
    return answer


def sent(url: str, request: bytes) -> bytes:
    with connected(url) as line:
        try:
            line.sendall(request)
        except ConnectionError:
            return b""
        return said(line)


def status(answer: bytes) -> bytes:
    return answer.split(b" ", 2)[1] if answer else b""


# -- who is slow ----------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["silent", "half a head"])
def test_a_request_that_does_not_come_is_not_waited_for(
    short_patience: None, web: WebServer, begun: bytes
) -> None:
    with connected(web.url) as line:
        line.sendall(begun)
        assert said(line) == b""


def test_a_second_request_on_a_line_is_waited_for_no_longer(short_patience: None, web: WebServer) -> None:
    with connected(web.url) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /hea")
        answer = said(line)
    assert answer.count(b"HTTP/1.1") == 1
    assert b'{"status":"ok",' in answer


@pytest.mark.parametrize("purpose", [Purpose.LEAVE, Purpose.PREFS])
def test_a_body_that_does_not_come_is_not_waited_for(
    short_patience: None, web: WebServer, sample: Sample, purpose: Purpose
) -> None:
    door = {Purpose.LEAVE: "u", Purpose.PREFS: "p"}[purpose]
    head = f"POST /{door}/{sample.token(purpose, 'ada')} HTTP/1.1\r\n".encode()
    answer = sent(web.url, head + CLOSE + b"Content-Length: 100\r\n\r\ndo=lea")
    assert status(answer) == b"408"
    assert sample.reader_row("ada")["status"] == "active"


def test_many_slow_lines_keep_nobody_out(web: WebServer) -> None:
    slow = [connected(web.url) for _ in range(200)]
    try:
        for line in slow:
            line.sendall(b"POST /webhooks/sendgrid HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n[")
        assert status(sent(web.url, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")) == b"200"
    finally:
        for line in slow:
            line.close()


# -- who is large or crooked ----------------------------------------------------------------------


def test_a_head_without_end_is_cut(web: WebServer) -> None:
    assert sent(web.url, b"GET / HTTP/1.1\r\n" + CLOSE + b"X: " + b"y" * 2_000_000) == b""
    many = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1_000) for number in range(1_000))
    assert sent(web.url, b"GET / HTTP/1.1\r\n" + CLOSE + many) == b""


def test_a_body_is_no_part_of_the_head(web: WebServer) -> None:
    body = b"x" * 500_000
    head = b"POST /webhooks/sendgrid HTTP/1.1\r\n" + CLOSE
    answer = sent(web.url, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert status(answer) == b"403"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-\x00: b\r\n\r\n",
        b"POST /subscribe HTTP/1.1\r\n" + CLOSE + b"Content-Length: -5\r\n\r\n",
        b"POST /subscribe HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
        b"POST /subscribe HTTP/1.1\r\n"
        + CLOSE
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["TLS", "NUL", "negative length", "two lengths", "length and chunks"],
)
def test_what_is_no_http_is_refused_and_no_news(
    web: WebServer, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert status(sent(web.url, request_bytes)) == b"400"
    assert caplog.text == ""


def test_an_upgrade_is_answered_as_a_plain_request(web: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    assert status(sent(web.url, b"GET /health HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")) == b"200"
    assert caplog.text == ""


# -- addresses and headers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/static/..%2fpages.py",
        "/archive/..%2f..%2fconfig.toml",
        "/archive/%00",
        "/archive/%0d%0aSet-Cookie:x=1",
        "//evil.example/",
        "/%5cevil.example",
        f"/archive/{SLUG}/",
        "/p/%0d%0aX: 1",
    ],
)
def test_no_address_leads_outside_or_into_a_header(web: WebServer, path: str) -> None:
    answer = sent(web.url, f"GET {path.replace(' ', '%20')} HTTP/1.1\r\n".encode() + CLOSE + b"\r\n")
    assert status(answer) == b"404"
    head = answer.split(b"\r\n\r\n")[0].lower()
    assert b"location:" not in head
    assert b"set-cookie" not in head


@pytest.mark.parametrize("tail", ["?url=https://evil.example", "?to=//evil.example&link=2", ""])
def test_a_click_leads_where_the_issue_says_and_nowhere_else(
    client: TestClient, sample: Sample, tail: str
) -> None:
    (link,) = sample.link_ids(1)
    place = f"/c/{sample.token(Purpose.TRACK, 'ada')}/{link}"
    plain = client.get(place).headers["location"]
    assert client.get(place + tail).headers["location"] == plain
    for other in ("https://evil.example", f"{link}/https://evil.example", f"{link}%0d%0aX:1", "0", "-1"):
        assert client.get(f"/c/{sample.token(Purpose.TRACK, 'ada')}/{other}").status_code == 404


@pytest.mark.parametrize("purpose", [Purpose.READ, Purpose.LEAVE, Purpose.PREFS])
def test_a_token_that_was_cut_or_bent_opens_nothing(
    client: TestClient, sample: Sample, purpose: Purpose
) -> None:
    door = {Purpose.READ: "v", Purpose.LEAVE: "u", Purpose.PREFS: "p"}[purpose]
    token = sample.token(purpose, "ada")
    bent = [token[:-1], token[1:], token + "A", token + "=", token.swapcase(), f"{token}%00", f"%20{token}"]
    for each in bent:
        assert client.get(f"/{door}/{each}").status_code == 404
        assert client.post(f"/{door}/{each}", data={"do": "return"}).status_code in (404, 405)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/xml; charset=x", ""])
def test_the_type_of_a_body_decides_nothing(client: TestClient, sample: Sample, kind: str) -> None:
    place = f"/p/{sample.token(Purpose.PREFS, 'ada')}"
    answer = client.post(place, content=b"do=pause&weeks=4", headers={"Content-Type": kind})
    assert answer.status_code == 303
    assert client.post(place, content=b"\xff\x00{", headers={"Content-Type": kind}).status_code == 422


# -- texts that would like to be markup -----------------------------------------------------------

MARKUP = "</title></script><img src=x onerror=alert(1)>\"'{{ 7*7 }}"


def test_titles_and_names_are_text_on_every_page(
    client: TestClient, desk: TestClient, sample: Sample
) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(editions).values(subject=MARKUP, label=MARKUP))
        connection.execute(
            update(campaign_stories)
            .where(campaign_stories.c.number == 1)
            .values(title=MARKUP, topics=[MARKUP])
        )
        connection.execute(text("UPDATE subscriber SET name = :name"), {"name": MARKUP})
    places = ["/", "/archive", f"/archive/{SLUG}"]
    for purpose, door in ((Purpose.READ, "v"), (Purpose.LEAVE, "u"), (Purpose.PREFS, "p")):
        places.append(f"/{door}/{sample.token(purpose, 'ada')}?saved={MARKUP}")
    shown = [client.get(place).text for place in places]
    shown += [desk.get(place).text for place in ("/", f"/campaigns/{sample.campaign}")]
    for each in shown:
        assert not re.search(r"<img src=x|</script>", each)
    assert "&lt;img src=x" in shown[1]


def test_an_error_of_the_database_names_no_value(sample: Sample) -> None:
    with pytest.raises(DatabaseError) as failed, sample.database.ledger() as connection:
        connection.execute(insert(editions).values(subject="ada@example.com"))
    assert "ada@example.com" not in str(failed.value)


def test_a_page_that_is_not_there_leads_staff_to_their_own(desk: TestClient) -> None:
    for place in ("/nothing", "/campaigns/999"):
        shown = desk.get(place)
        assert shown.status_code == 404
        assert "/subscribe" not in shown.text
