"""How a site does, told to whoever watches: never more than they should know, never dear."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from starlette.testclient import TestClient

from mailer.models import CampaignStatus, ChunkState
from mailer.service import health, keeping
from mailer.service.rooms import Rooms
from mailer.tables import campaigns, chunks, heartbeats, identities, schedules
from mailer.tracking import heartbeats as beats
from mailer.web.app import create_admin_app, create_public_app
from tests.conftest import ROOT
from tests.tracking.sample import Sample
from tests.web.conftest import signed

Change = Callable[[Rooms], object]


@pytest.fixture
def sending(rooms: Rooms) -> Rooms:
    """The sample's campaign under way, its clock ticking."""
    execute(rooms, update(campaigns).values(status=CampaignStatus.SENDING))
    keeping.tick(rooms.database, rooms.home, rooms.now)
    return rooms


def execute(rooms: Rooms, statement: Any) -> None:
    with rooms.database.ledger() as connection:
        connection.execute(statement)


def asked(rooms: Rooms) -> tuple[int, dict[str, Any]]:
    with TestClient(create_admin_app(rooms), base_url="http://127.0.0.1:8001") as desk:
        answer = desk.get("/health")
    return answer.status_code, answer.json()


def named(document: dict[str, Any], level: str) -> list[str]:
    return [each["name"] for each in document["findings"] if each["level"] == level]


def test_a_site_that_has_nothing_to_send_is_well_without_a_clock(rooms: Rooms) -> None:
    status, said = asked(rooms)
    assert (status, said["status"], said["sending"]) == (200, "ok", False)
    assert named(said, "error") == []


def test_a_site_that_sends_is_well_while_its_clock_ticks(sending: Rooms) -> None:
    status, said = asked(sending)
    assert (status, said["status"], said["sending"]) == (200, "ok", True)


def late(rooms: Rooms) -> None:
    execute(rooms, update(heartbeats).values(at=rooms.now() - timedelta(minutes=5)))


def stuck(rooms: Rooms) -> None:
    over = rooms.now() - timedelta(minutes=2)
    execute(rooms, update(chunks).values(state=ChunkState.SUBMITTING, owner="gone", lease_until=over))


BROKEN: dict[str, Change] = {
    "identity": lambda rooms: execute(rooms, identities.delete()),
    "clock": late,
    "stuck": stuck,
    "disk": lambda _rooms: None,
    "schema": lambda rooms: execute(rooms, text("UPDATE alembic_version SET version_num = '0001'")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_keeps_letters_from_going_is_503_with_the_reason(
    sending: Rooms, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "disk":
        monkeypatch.setattr(health, "DISK_FULL_BYTES", 1 << 62)
    BROKEN[name](sending)
    status, said = asked(sending)
    assert (status, said["status"]) == (503, "failing")
    assert named(said, "error") == [name]


@pytest.mark.parametrize("why", ["paused", "missed", "weekly"])
def test_a_copy_of_which_something_was_to_go_is_503(rooms: Rooms, why: str) -> None:
    execute(rooms, identities.delete())
    status, said = asked(rooms)
    assert (status, named(said, "error")) == (200, ["identity"])
    if why == "weekly":
        weekly = {"kind": "weekly", "rule": "fri 07:30", "zone": "Europe/Paris", "created_at": rooms.now()}
        execute(rooms, insert(schedules).values(weekly | {"is_local": False, "created_by": "system"}))
    else:
        execute(rooms, update(campaigns).values(status=why))
    status, said = asked(rooms)
    assert (status, said["status"]) == (503, "failing")
    assert "identity" in named(said, "error")


def test_a_database_that_does_not_answer_is_503(sending: Rooms) -> None:
    execute(sending, text("DROP TABLE heartbeat"))
    status, said = asked(sending)
    assert status == 503
    assert named(said, "error") == ["database"]


def test_doubts_a_long_log_and_a_late_leaver_are_warnings(
    sending: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(sending, update(chunks).values(state=ChunkState.UNCERTAIN))
    monkeypatch.setattr(health, "LEAVERS_LATE", timedelta(seconds=-1))
    execute(
        sending,
        text(
            "INSERT INTO leaver (key_hash, key_id, what, at) VALUES ('a', 1, 'left', '2026-04-10 05:30:00')"
        ),
    )
    monkeypatch.setattr(health, "log_bytes", lambda _rooms: health.WAL_LARGE_BYTES + 1)
    status, said = asked(sending)
    assert status == 200
    assert {"uncertain", "log", "leavers"} <= set(named(said, "warning"))


def test_strangers_are_told_what_is_wrong_and_nothing_of_the_machine(sending: Rooms, sample: Sample) -> None:
    execute(sending, identities.delete())
    stuck(sending)
    with TestClient(create_public_app(sending)) as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert set(named(answer.json(), "error")) == {"identity", "stuck"}
    assert named(answer.json(), "ok") == []
    assert answer.headers["cache-control"].startswith("no-store")
    said = answer.text
    for secret in (str(sample.settings.root), "@", sample.settings.sendgrid.api_key.get_secret_value(), "/"):
        assert secret not in said


def test_signed_events_leave_a_mark_and_not_with_every_post(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [rooms.now()]
    moving = Rooms.of(rooms.settings, rooms.database, lambda: clock[0])
    seen: list[datetime | None] = []
    with TestClient(create_public_app(moving)) as client:
        for seconds in (0, 5, 5, 5):
            clock[0] += timedelta(seconds=seconds)
            body = json.dumps([]).encode()
            assert client.post("/webhooks/sendgrid", content=body, headers=signed(body)).status_code == 204
            with rooms.database.reader() as connection:
                seen.append(beats.last(connection, beats.WEBHOOK))
        assert client.post("/webhooks/sendgrid", content=b"[]", headers={}).status_code == 403
    begun = rooms.now()
    assert seen == [begun, begun, begun + timedelta(seconds=10), begun + timedelta(seconds=10)]


def test_metrics_are_for_this_machine(client: TestClient, desk: TestClient) -> None:
    assert client.get("/metrics").status_code == 404
    assert desk.get("/metrics").status_code == 200
    assert desk.get("/metrics", headers={"host": "example.com"}).status_code == 421


def test_who_carries_the_token_may_read_the_metrics(rooms: Rooms) -> None:
    web = rooms.settings.web.model_copy(
        update={"metrics_token": type(rooms.settings.sendgrid.api_key)("mine")}
    )
    open_rooms = Rooms.of(rooms.settings.model_copy(update={"web": web}), rooms.database, rooms.now)
    with TestClient(create_public_app(open_rooms)) as client:
        for said in (None, "Bearer", "Bearer other", "mine", "Bearer mine2", "Bearer münze"):
            headers = {} if said is None else {"authorization": said.encode("latin-1")}
            answer = client.get("/metrics", headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, said
        assert client.get("/metrics", headers={"authorization": "Bearer mine"}).status_code == 200


def value(exposition: str, series: str) -> float:
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", exposition, re.MULTILINE)
    return float(found)


def test_metrics_are_read_from_the_tables(sending: Rooms, sample: Sample) -> None:
    with TestClient(create_admin_app(sending), base_url="http://127.0.0.1:8001") as desk:
        said = desk.get("/metrics").text
    assert value(said, 'newsletter_letters{handover="accepted"}') == 3
    assert value(said, 'newsletter_letters{handover="held"}') == 0
    assert value(said, 'newsletter_attempts{outcome="accepted"}') >= 1
    assert value(said, 'newsletter_campaigns{status="sending"}') == 1
    assert value(said, 'newsletter_heartbeat_age_seconds{of="tick"}') == 0
    assert value(said, "newsletter_at_home") == 1
    assert value(said, "newsletter_queue_lag_seconds") == 0
    for secret in ("@", str(sample.settings.root)):
        assert secret not in said


def test_every_metric_is_documented(sending: Rooms) -> None:
    with TestClient(create_admin_app(sending), base_url="http://127.0.0.1:8001") as desk:
        said = desk.get("/metrics").text
    documented = (ROOT / "docs/running.md").read_text()
    names = re.findall(r"^# TYPE (\S+)", said, re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in documented] == []
    assert Path(ROOT / "docs/running.md").is_file()
