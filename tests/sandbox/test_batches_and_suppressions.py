"""Batches, scheduled sends and suppression lists: the part of the API that a sender keeps tidy with."""

import time

from mailer.sandbox.options import QUIET
from mailer.sandbox.readers import play
from tests.sandbox.conftest import Desk, mail, person


def new_batch(desk: Desk) -> str:
    answer = desk.request("POST", "/v3/mail/batch")
    assert answer.status == 201
    batch_id: str = answer.json()["batch_id"]
    return batch_id


def test_a_batch_can_be_made_and_asked_for(desk: Desk) -> None:
    batch_id = new_batch(desk)
    assert desk.request("GET", f"/v3/mail/batch/{batch_id}").json() == {"batch_id": batch_id}
    assert desk.request("GET", "/v3/mail/batch/unknown").status == 400


def test_a_batch_is_stopped_changed_and_released(desk: Desk) -> None:
    batch_id = new_batch(desk)
    path = f"/v3/user/scheduled_sends/{batch_id}"
    stop = {"batch_id": batch_id, "status": "cancel"}
    made = desk.request("POST", "/v3/user/scheduled_sends", stop)
    assert (made.status, made.json()) == (201, stop)
    assert desk.request("POST", "/v3/user/scheduled_sends", stop).status == 400
    assert desk.request("PATCH", path, {"status": "pause"}).status == 204
    assert desk.request("GET", path).json() == [{"batch_id": batch_id, "status": "pause"}]
    assert desk.request("GET", "/v3/user/scheduled_sends").json() == [
        {"batch_id": batch_id, "status": "pause"}
    ]
    assert desk.request("DELETE", path).status == 204
    assert desk.request("GET", "/v3/user/scheduled_sends").json() == []
    assert desk.request("PATCH", path, {"status": "pause"}).status == 404
    assert desk.request("DELETE", path).status == 404


def test_a_stop_names_a_known_batch_and_a_known_status(desk: Desk) -> None:
    batch_id = new_batch(desk)
    for wrong in ({}, {"batch_id": "x", "status": "cancel"}, {"batch_id": batch_id, "status": "stop"}, [1]):
        assert desk.request("POST", "/v3/user/scheduled_sends", wrong).status == 400


def test_a_hundred_batches_may_be_stopped_at_one_time(desk: Desk) -> None:
    with desk.server.mailbox.writing() as connection:
        connection.executemany(
            "INSERT INTO batch (id, created, status) VALUES (?, ?, 'pause')",
            [(f"b{n}", n) for n in range(100)],
        )
    answer = desk.request(
        "POST", "/v3/user/scheduled_sends", {"batch_id": new_batch(desk), "status": "pause"}
    )
    assert answer.status == 400


def test_letters_of_a_cancelled_batch_are_thrown_away_and_paused_ones_wait(desk: Desk) -> None:
    cancelled, paused, free = (new_batch(desk) for _ in range(3))
    due = int(time.time()) - 1
    for number, batch_id in enumerate((cancelled, paused, free)):
        assert desk.send(mail(person(number), batch_id=batch_id, send_at=due)).status == 202
    for batch_id, status in ((cancelled, "cancel"), (paused, "pause")):
        desk.request("POST", "/v3/user/scheduled_sends", {"batch_id": batch_id, "status": status})
    assert play(desk.server, rates=QUIET).letters == 1
    assert [letter["fate"] for letter in desk.messages()] == ["cancelled", "accepted", "delivered"]
    desk.request("DELETE", f"/v3/user/scheduled_sends/{paused}")
    assert play(desk.server, rates=QUIET).letters == 1
    assert [letter["fate"] for letter in desk.messages()] == ["cancelled", "delivered", "delivered"]


def test_a_scheduled_letter_waits_for_its_time(desk: Desk) -> None:
    desk.send(mail(send_at=int(time.time()) + 3600))
    assert play(desk.server, rates=QUIET).letters == 0


def test_lists_page_filter_and_delete(desk: Desk) -> None:
    for number in range(5):
        desk.server.mailbox.suppress(
            "bounces", f"r{number}@example.com", reason="550 5.1.1 no", status="5.1.1", now=1000 + number
        )
    listed = desk.request("GET", "/v3/suppression/bounces?limit=2&offset=1").json()
    assert [row["email"] for row in listed] == ["r3@example.com", "r2@example.com"]
    assert set(listed[0]) == {"created", "email", "reason", "status"}
    window = desk.request("GET", "/v3/suppression/bounces?start_time=1001&end_time=1002").json()
    assert [row["created"] for row in window] == [1002, 1001]
    assert (
        desk.request("GET", "/v3/suppression/bounces/R1@example.com").json()[0]["email"] == "r1@example.com"
    )
    assert desk.request("DELETE", "/v3/suppression/bounces/r1@example.com").status == 204
    assert desk.request("DELETE", "/v3/suppression/bounces/r1@example.com").status == 404
    assert desk.request("DELETE", "/v3/suppression/bounces", {"emails": ["r2@example.com"]}).status == 204
    assert len(desk.request("GET", "/v3/suppression/bounces").json()) == 3
    assert desk.request("DELETE", "/v3/suppression/bounces", {}).status == 400
    assert desk.request("DELETE", "/v3/suppression/bounces", {"delete_all": True}).status == 204
    assert desk.request("GET", "/v3/suppression/bounces").json() == []
    assert desk.request("GET", "/v3/suppression/bounces?limit=many").status == 400
    assert desk.request("GET", "/v3/suppression/unknown").status == 404


def test_each_list_has_its_own_fields(desk: Desk) -> None:
    for kind in ("blocks", "spam_reports", "invalid_emails"):
        desk.server.mailbox.suppress(kind, "a@example.com", reason="no", status="5.0.0", now=1)

    def fields(kind: str) -> set[str]:
        return set(desk.request("GET", f"/v3/suppression/{kind}").json()[0])

    assert fields("blocks") == {"created", "email", "reason", "status"}
    assert fields("spam_reports") == {"created", "email", "ip"}
    assert fields("invalid_emails") == {"created", "email", "reason"}


def test_global_suppressions_are_added_found_and_lifted(desk: Desk) -> None:
    path = "/v3/asm/suppressions/global"
    added = desk.request("POST", path, {"recipient_emails": ["a@example.com"]})
    assert (added.status, added.json()) == (201, {"recipient_emails": ["a@example.com"]})
    assert desk.request("GET", f"{path}/a@example.com").json() == {"recipient_email": "a@example.com"}
    assert desk.request("GET", f"{path}/b@example.com").json() == {}
    assert [row["email"] for row in desk.request("GET", "/v3/suppression/unsubscribes").json()] == [
        "a@example.com"
    ]
    assert desk.request("DELETE", f"{path}/a@example.com").status == 204
    assert desk.request("GET", f"{path}/a@example.com").json() == {}
    assert desk.request("POST", path, {}).status == 400


def test_a_suppressed_reader_is_accepted_and_dropped_later(desk: Desk) -> None:
    reasons = {
        "bounces": "Bounced Address",
        "spam_reports": "Spam Reporting Address",
        "invalid_emails": "Invalid",
        "global": "Unsubscribed Address",
        "blocks": None,  # stops nothing later
    }
    for number, kind in enumerate(reasons):
        desk.server.mailbox.suppress(kind, f"READER{number}@example.com", now=time.time())
    assert desk.send(mail(*(person(n) for n in range(5)))).status == 202
    assert [letter["dropped"] for letter in desk.messages()] == list(reasons.values())
    report = play(desk.server, rates=QUIET)
    assert (report.dropped, report.fates) == (4, {"delivered": 1})
    assert desk.summary()["events"] == {"delivered": 1, "dropped": 4, "processed": 1}
