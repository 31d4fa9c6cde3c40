"""Pixel, click and webhook as they answer over HTTP."""

import asyncio
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import links
from mailer.tracking import counters, hits
from mailer.web.app import create_public_app
from mailer.web.counting import EVENTS_MAX_BYTES
from mailer.web.server import WebServer
from tests.tracking.sample import BROWSER, Sample
from tests.web.conftest import signed

AGENT = {"User-Agent": BROWSER}


def test_the_pixel_is_43_bytes_and_never_kept(client: TestClient, sample: Sample) -> None:
    answer = client.get(f"/o/{sample.token(Purpose.TRACK, 'ada')}.gif", headers=AGENT)
    assert answer.status_code == 200
    assert len(answer.content) == 43
    assert answer.content.startswith(b"GIF89a")
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store, private"
    assert [each["kind"] for each in sample.events()] == ["open"]


@pytest.mark.parametrize("token", ["x", "x" * 24, "é", "%00", "A" * 5_000])
def test_the_pixel_of_nobody_looks_the_same_and_counts_nothing(
    client: TestClient, sample: Sample, token: str
) -> None:
    ours = client.get(f"/o/{sample.token(Purpose.TRACK, 'ada')}.gif")
    answer = client.get(f"/o/{token}.gif")
    assert (answer.status_code, answer.content) == (200, ours.content)
    assert set(answer.headers) == set(ours.headers)
    assert len(sample.events()) == 1


def test_a_click_leads_on_without_telling_where_from(client: TestClient, sample: Sample) -> None:
    (link,) = sample.link_ids(1)
    answer = client.get(f"/c/{sample.token(Purpose.TRACK, 'ada')}/{link}", headers=AGENT)
    assert answer.status_code == 302
    with sample.database.reader() as connection:
        url = connection.execute(select(links.c.url).where(links.c.id == link)).scalar_one()
    assert answer.headers["location"] == url
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_nothing_in_the_address_chooses_where_a_click_leads(client: TestClient, sample: Sample) -> None:
    (link,) = sample.link_ids(1)
    token = sample.token(Purpose.TRACK, "ada")
    plain = client.get(f"/c/{token}/{link}").headers["location"]
    for tail in ("?url=https://evil.example", "?next=//evil.example", "?utm_source=scrambled"):
        assert client.get(f"/c/{token}/{link}{tail}").headers["location"] == plain
    for path in (f"/c/{token}/https://evil.example", f"/c/{token}//evil.example", f"/c/{token}/{link}/x"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "location" not in answer.headers


@pytest.mark.parametrize("link", ["0", "-1", "99999999", "1e3", "1.0", "9" * 40, "٣", "%31%00", "x"])
def test_a_link_that_is_none_has_a_plain_page(client: TestClient, sample: Sample, link: str) -> None:
    answer = client.get(f"/c/{sample.token(Purpose.TRACK, 'ada')}/{link}")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert sample.token(Purpose.TRACK, "ada") not in answer.text
    assert sample.events() == []


def test_a_head_is_answered_and_stores_nothing(client: TestClient, sample: Sample) -> None:
    (link,) = sample.link_ids(1)
    token = sample.token(Purpose.TRACK, "ada")
    click = client.head(f"/c/{token}/{link}", headers=AGENT)
    picture = client.head(f"/o/{token}.gif", headers=AGENT)
    assert (click.status_code, click.headers["location"][:8]) == (302, "https://")
    assert (picture.status_code, picture.content) == (200, b"")
    assert sample.events() == []
    client.get(f"/c/{token}/{link}", headers=AGENT)
    assert sample.events()[0]["rule"] == "head/1"


def test_events_that_are_signed_are_stored(client: TestClient, sample: Sample) -> None:
    body = (
        orjson.dumps(
            [
                {
                    "event": "delivered",
                    "timestamp": 1793354400,
                    "sg_event_id": "a",
                    "nl_d": sample.token(Purpose.EVENT, "ada"),
                },
                {"event": "delivered", "timestamp": 1793354400, "sg_event_id": "b"},
                "not an object",
            ]
        )
        + b"\r\n"
    )
    answer = client.post("/webhooks/sendgrid", content=body, headers=signed(body))
    assert answer.status_code == 204
    assert sample.letter_row("ada")["fate"] == "delivered"
    with sample.database.reader() as connection:
        assert counters.totals(connection) == {
            counters.UNKNOWN_DELIVERIES: 1,
            counters.UNREADABLE_ROWS: 1,
        }


@pytest.mark.parametrize("body", [b"", b"[]", b"not json", b"{}", b"[" * 50_000, b"\xff"])
def test_a_signed_post_of_anything_is_answered_2xx(client: TestClient, body: bytes) -> None:
    assert client.post("/webhooks/sendgrid", content=body, headers=signed(body)).status_code == 204


def test_events_without_a_good_signature_are_refused(client: TestClient, sample: Sample) -> None:
    body = orjson.dumps([{"event": "spamreport", "nl_d": sample.token(Purpose.EVENT, "ada")}])
    good = signed(body)
    for headers in (
        {},
        {**good, "X-Twilio-Email-Event-Webhook-Signature": "***"},
        {**good, "X-Twilio-Email-Event-Webhook-Timestamp": "1"},
    ):
        assert client.post("/webhooks/sendgrid", content=body, headers=headers).status_code == 403
    assert client.post("/webhooks/sendgrid", content=body + b" ", headers=good).status_code == 403
    assert sample.events() == []


def test_without_a_configured_key_every_event_is_refused(sample: Sample) -> None:
    sendgrid = sample.settings.sendgrid.model_copy(update={"webhook_public_key": ""})
    rooms = Rooms.of(sample.settings.model_copy(update={"sendgrid": sendgrid}), sample.database)
    body = b"[]"
    with TestClient(create_public_app(rooms)) as client:
        answer = client.post("/webhooks/sendgrid", content=body, headers=signed(body))
    assert answer.status_code == 403
    assert "webhook_public_key" in answer.text


def test_refused_events_fill_no_log(sample: Sample) -> None:
    clock = [sample.now]
    rooms = Rooms.of(sample.settings, sample.database, lambda: clock[0])
    with TestClient(create_public_app(rooms)) as client, capture_logs() as lines:
        for seconds in (0, 1, 30, 59, 61, 62, 130):
            clock[0] = sample.now + timedelta(seconds=seconds)
            assert client.post("/webhooks/sendgrid", content=b"[]").status_code == 403
    assert [line["refused"] for line in lines] == [1, 4, 2]


def test_a_post_that_is_too_large_is_not_read(client: TestClient) -> None:
    body = b" " * (EVENTS_MAX_BYTES + 1)
    assert client.post("/webhooks/sendgrid", content=body, headers=signed(body)).status_code == 413


def test_three_hundred_hits_at_once_over_http_are_all_stored(rooms: Rooms, sample: Sample) -> None:
    (link,) = sample.link_ids(1)
    token = sample.token(Purpose.TRACK, "ada")
    with WebServer(rooms, port=0, admin_port=0) as web:
        host, port = web.url.removeprefix("http://").split(":")

        async def ask(path: str) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        async def ask_all() -> list[bytes]:
            paths = [f"/o/{token}.gif", f"/c/{token}/{link}"] * 150
            return list(await asyncio.gather(*(ask(path) for path in paths)))

        answers = asyncio.run(ask_all())
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) == 150
    assert sum(answer.startswith(b"HTTP/1.1 302") for answer in answers) == 150
    assert len(sample.events()) == 300


def test_a_hit_takes_the_time_of_the_clock(client: TestClient, sample: Sample) -> None:
    client.get(f"/o/{sample.token(Purpose.TRACK, 'ada')}.gif")
    assert sample.events()[0]["occurred_at"] == sample.now


def test_when_too_many_hits_wait_pictures_still_come_and_clicks_are_told_to_come_back(
    client: TestClient, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hits, "QUEUE_HITS", 0)
    (link,) = sample.link_ids(1)
    token = sample.token(Purpose.TRACK, "ada")
    assert client.get(f"/o/{token}.gif").status_code == 200
    answer = client.get(f"/c/{token}/{link}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    monkeypatch.undo()
    assert client.get(f"/c/{token}/{link}").status_code == 302
