"""Signed events: the bytes that are signed, their shape, repeats, disorder, and trying again."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailer.sandbox import events, letters
from mailer.sandbox.options import QUIET, Rates
from mailer.sandbox.readers import PlayReport, play
from mailer.sandbox.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, public_key_at
from tests.conftest import SHARED
from tests.sandbox.conftest import Desk, Hit, Receiver, mail, person


def send_and_play(
    desk: Desk, receiver: Receiver, count: int, rates: Rates = QUIET, **options: Any
) -> PlayReport:
    people = [person(n, custom_args={"nl_d": f"d{n}", "nl_a": "a"}) for n in range(count)]
    assert desk.send(mail(*people, categories=["weekly"])).status == 202
    desk.server.state.change(options)
    return play(desk.server, webhook_url=f"{receiver.url}/hook", rates=rates, deadline=20)


def verify(hit: Hit, public_key: str) -> None:
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    signature = base64.b64decode(hit.headers[SIGNATURE_HEADER.casefold()], validate=True)
    signed = hit.headers[TIMESTAMP_HEADER.casefold()].encode() + hit.body
    key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))


def test_every_post_is_signed_over_its_timestamp_and_raw_body(desk: Desk, receiver: Receiver) -> None:
    send_and_play(desk, receiver, 30, batch_size=20)
    public_key = desk.request("GET", "/sandbox/public-key").json()["public_key"]
    assert len(receiver.posts()) >= 3
    for hit in receiver.posts():
        verify(hit, public_key)
        assert hit.headers["user-agent"] == "SendGrid Event API"
        assert hit.headers["content-type"].startswith("application/json")
    first = receiver.posts()[0]
    with pytest.raises(InvalidSignature):
        verify(Hit(first.method, first.path, first.headers, first.body.rstrip(b"\r\n")), public_key)


def test_crlf_follows_each_event_of_a_body(desk: Desk, receiver: Receiver) -> None:
    send_and_play(desk, receiver, 3, duplicates=0)
    body = receiver.posts()[0].body
    assert body.startswith(b"[{")
    assert body.endswith(b"}]\r\n")
    assert body.count(b"},\r\n{") == 5


def test_the_key_for_a_configuration_is_the_one_that_signs(tmp_path: Path) -> None:
    from mailer.sandbox.server import SandboxServer

    key = public_key_at(tmp_path / "s.db")
    server = SandboxServer(database_path=tmp_path / "s.db")
    assert server.public_key == key
    server.stop()


def test_some_events_come_twice_and_in_another_order(desk: Desk, receiver: Receiver) -> None:
    report = send_and_play(desk, receiver, 100, duplicates=0.2)
    counted = Counter(row["sg_event_id"] for row in receiver.events())
    assert len(counted) == 200 == report.posted.events
    assert sum(counted.values()) == 200 + report.posted.repeats
    assert 15 < report.posted.repeats < 70
    assert set(counted.values()) == {1, 2}
    kinds = [row["event"] for row in receiver.events()]
    assert kinds != sorted(kinds, reverse=True)
    assert any(first == "delivered" for first in kinds[:20])


def test_without_shuffling_events_come_in_the_order_they_happened(desk: Desk, receiver: Receiver) -> None:
    send_and_play(desk, receiver, 3, duplicates=0, shuffled=False)
    assert [row["event"] for row in receiver.events()] == ["processed", "delivered"] * 3


def test_what_was_refused_is_posted_again_until_it_is_taken(desk: Desk, receiver: Receiver) -> None:
    receiver.refusals = 2
    report = send_and_play(desk, receiver, 5, duplicates=0)
    assert (report.posted.refused, report.posted.waiting) == (2, 0)
    assert len({row["sg_event_id"] for row in receiver.events()}) == 10


def test_what_nobody_took_waits_for_the_next_round(desk: Desk, receiver: Receiver) -> None:
    desk.send(mail(person(1)))
    dead = play(desk.server, webhook_url="http://127.0.0.1:9/hook", rates=QUIET, deadline=0.05)
    assert (dead.posted.events, dead.posted.waiting) == (0, 2)
    later = play(desk.server, webhook_url=f"{receiver.url}/hook", rates=QUIET)
    assert (later.letters, later.posted.events, later.posted.waiting) == (0, 2, 0)


def test_without_a_webhook_events_stay_in_the_mailbox(desk: Desk) -> None:
    desk.send(mail())
    assert play(desk.server, rates=QUIET).posted.posts == 0
    assert desk.summary()["events"] == {"processed": 1, "delivered": 1}


def test_events_carry_flattened_custom_args_and_the_id_of_the_request(desk: Desk, receiver: Receiver) -> None:
    send_and_play(desk, receiver, 2, duplicates=0)
    message_id = desk.messages()[0]["message_id"]
    rows = receiver.events()
    assert {row["sg_message_id"].split(".")[0] for row in rows} == {message_id}
    assert all(".recvd-" in row["sg_message_id"] for row in rows)
    assert {(row["email"], row["nl_d"], row["nl_a"]) for row in rows} == {
        ("reader0@example.com", "d0", "a"),
        ("reader1@example.com", "d1", "a"),
    }
    assert {row["smtp-id"].split("@")[0] for row in rows} == {f"<{message_id}"}
    assert all(row["category"] == ["weekly"] and isinstance(row["timestamp"], int) for row in rows)


def test_custom_args_never_hide_what_an_event_says(desk: Desk, receiver: Receiver) -> None:
    desk.send(mail(person(1, custom_args={"event": "open", "email": "x@example.com", "mine": "yes"})))
    play(desk.server, webhook_url=f"{receiver.url}/hook", rates=QUIET)
    assert {(row["event"], row["email"], row["mine"]) for row in receiver.events()} == {
        ("processed", "reader1@example.com", "yes"),
        ("delivered", "reader1@example.com", "yes"),
    }


@pytest.mark.parametrize(
    ("rates", "kinds", "last"),
    [
        (
            {"bounced": 1},
            ["processed", "bounce"],
            {"type": "bounce", "bounce_classification": "Invalid Address"},
        ),
        ({"blocked": 1}, ["processed", "bounce"], {"type": "blocked"}),
        ({"deferred": 1}, ["processed", "deferred", "delivered"], {"tls": 1}),
        ({"invalid": 1}, ["dropped"], {"reason": "Invalid", "status": "5.0.0"}),
        ({"complained": 1}, ["processed", "delivered", "spamreport"], {}),
        ({"left_at_provider": 1}, ["processed", "delivered", "unsubscribe"], {}),
    ],
)
def test_each_fate_has_its_events(
    desk: Desk, receiver: Receiver, rates: dict[str, float], kinds: list[str], last: dict[str, object]
) -> None:
    send_and_play(desk, receiver, 1, QUIET.model_copy(update=rates), duplicates=0, shuffled=False)
    rows = receiver.events()
    assert [row["event"] for row in rows] == kinds
    assert last.items() <= rows[-1].items()
    deferrals = [row for row in rows if row["event"] == "deferred"]
    assert all(row["attempt"] == "1" for row in deferrals)


def test_a_late_bounce_knows_nothing_of_our_args(desk: Desk, receiver: Receiver) -> None:
    send_and_play(
        desk, receiver, 1, QUIET.model_copy(update={"bounced_late": 1.0}), shuffled=False, duplicates=0
    )
    bounce = receiver.events()[-1]
    assert bounce["event"] == "bounce"
    assert not {"nl_d", "nl_a", "ip", "category"} & set(bounce)
    assert bounce["sg_message_id"].startswith(desk.messages()[0]["message_id"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared event samples are not here")
def test_events_have_the_fields_of_the_real_ones(desk: Desk) -> None:
    desk.send(mail(person(1, custom_args={"issue_id": "i", "delivery_id": "d"}), categories=["a", "b"]))
    letter = letters.find(desk.server.mailbox, "1", ())[0]
    made = [
        events.processed(letter, 1),
        events.delivered(letter, 1),
        events.deferred(letter, 1),
        events.dropped(letter, 1, "Invalid"),
        events.bounce(letter, 1, events.NO_SUCH_MAILBOX),
        *(events.bounce(letter, 1, block) for block in events.BLOCKS),
    ]
    sample = json.loads((SHARED / "sendgrid/events/01_delivery_mixed.json").read_text())
    for row in made:
        alike = [real for real in sample if real["event"] == row["event"]]
        shapes = [{key: type(value) for key, value in real.items()} for real in alike]
        shape = {key: type(value) for key, value in row.items()} | {"pool": dict}
        assert any(
            real.items() <= shape.items() and not (set(shape) - set(real) - {"pool"}) for real in shapes
        ), row
