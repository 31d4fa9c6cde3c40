"""A letter as its recipient sees it: substitutions without mercy, headers of its own, honest MIME."""

from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.sandbox import letters
from mailer.sandbox.letters import Letter, substitute
from tests.sandbox.conftest import Desk, mail, person


def stored(desk: Desk, message: dict[str, Any]) -> list[Letter]:
    assert desk.send(message).status == 202
    return letters.find(desk.server.mailbox, "1 ORDER BY letter.id", ())


def test_each_recipient_has_its_own_values_in_subject_html_text_and_reply_to(desk: Desk) -> None:
    one, two = stored(
        desk,
        mail(
            person(
                1, substitutions={"[[k:n]]": "Ada <b>"}, headers={"X-Own": "1"}, custom_args={"nl_a": "a1"}
            ),
            person(2, substitutions={"[[k:n]]": "Bo"}, custom_args={"nl_d": "d2"}),
            subject="For [[k:n]]",
            reply_to={"email": "editor@example.com", "name": "[[k:n]]"},
            content=[
                {"type": "text/plain", "value": "Hi [[k:n]]"},
                {"type": "text/html", "value": "<p>Hi [[k:n]]</p>"},
            ],
            headers={"X-All": "yes"},
            custom_args={"nl_a": "shared", "other": "x"},
        ),
    )
    assert (one.subject, one.text, one.html) == ("For Ada <b>", "Hi Ada <b>", "<p>Hi Ada <b></p>")
    assert (two.subject, two.text, two.html) == ("For Bo", "Hi Bo", "<p>Hi Bo</p>")
    assert two.reply_to == {"email": "editor@example.com", "name": "Bo"}
    assert one.headers == {"X-All": "yes", "X-Own": "1"}
    assert one.custom_args == {"nl_a": "a1", "other": "x"}
    assert two.custom_args == {"nl_a": "shared", "other": "x", "nl_d": "d2"}
    assert (one.attempt, two.attempt) == ("a1", "shared")


def test_substitution_runs_key_after_key_and_values_may_be_replaced_again() -> None:
    values = {"a": "b", "b": "c"}
    assert substitute("a b", values, "given") == "c c"
    assert substitute("a b", values, "reversed") == "b c"
    assert substitute("text", {"": "never"}, "given") == "text"


@given(st.text(), st.dictionaries(st.text(min_size=1, max_size=3), st.text(max_size=5), max_size=4))
def test_substitution_is_plain_replacing(text: str, values: dict[str, str]) -> None:
    expected = text
    for key, value in values.items():
        expected = expected.replace(key, value)
    assert substitute(text, values, "given") == expected


def test_the_order_of_substitution_is_a_setting(desk: Desk) -> None:
    parts = [{"type": "text/plain", "value": "x"}]
    message = mail(person(1, substitutions={"x": "y", "y": "z"}), subject="x", content=parts)
    (before,) = stored(desk, message)
    desk.behave(substitution_order="reversed")
    desk.send(message)
    # The order belongs to the request: what was accepted before stays as it was.
    assert [(letter.subject, letter.text) for letter in stored(desk, mail())[:2]] == [("z", "z"), ("y", "y")]
    assert (before.subject, before.text) == ("z", "z")


def test_a_reply_address_that_substitution_broke_is_shown_as_it_would_travel(desk: Desk) -> None:
    reader = person(1, substitutions={"reply@example.com": "broken @"})
    (letter,) = stored(desk, mail(reader, reply_to={"email": "reply@example.com"}))
    assert "Reply-To: broken @\r\n" in letters.source(letter).decode()


def test_the_source_is_the_mime_message_of_that_recipient(desk: Desk) -> None:
    letter = stored(
        desk,
        mail(
            person(
                1,
                headers={
                    "List-Unsubscribe": "<https://n.example.com/u/abcdefghijklmnopqrstuvwx>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                },
            ),
            subject="Zoë’s week 🩸",
            content=[
                {"type": "text/plain", "value": "Grüße\n" + "long " * 300},
                {"type": "text/html", "value": "<p>Grüße</p>" + "x" * 3000},
            ],
        ),
    )[0]
    source = letters.source(letter)
    assert source.isascii()
    assert max(map(len, source.split(b"\r\n"))) <= 998
    assert b"\r\nList-Unsubscribe: <https://n.example.com/u/abcdefghijklmnopqrstuvwx>\r\n" in source
    parsed = message_from_bytes(source, policy=default)
    assert parsed["To"] == "reader1@example.com"
    assert parsed["Subject"] == "Zoë’s week 🩸"
    plain, rich = parsed.iter_parts()
    assert (plain.get_content_type(), rich.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_content().splitlines() == (letter.text or "").splitlines()
    assert rich.get_content().splitlines() == (letter.html or "").splitlines()


def test_a_list_header_longer_than_77_bytes_breaks_as_it_does_at_sendgrid(desk: Desk) -> None:
    value = "<https://newsletter.example.com/" + "u" * 60 + ">"
    letter = stored(desk, mail(person(1, headers={"List-Unsubscribe": value})))[0]
    assert value.encode() not in letters.source(letter)
    assert b"=?utf-8?" in letters.source(letter)


@pytest.mark.parametrize("part", ["text/plain", "text/html"])
def test_a_letter_of_one_part_is_no_multipart(desk: Desk, part: str) -> None:
    letter = stored(desk, mail(content=[{"type": part, "value": "x"}]))[0]
    assert message_from_bytes(letters.source(letter), policy=default).get_content_type() == part


@given(
    name=st.text(max_size=20).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    value=st.text(max_size=40).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    header=st.sampled_from(
        ["X-A", "Sender", "Message-ID", "MIME-Version", "Resent-To", "Content-ID", "References"]
    ),
)
def test_no_string_of_a_sender_breaks_out_of_its_header(name: str, value: str, header: str) -> None:
    hostile = Letter(
        id=1,
        message_id="m",
        received_at=0.0,
        email="a@example.com",
        name=name,
        role="to",
        sender={"email": "b@example.com", "name": name},
        reply_to={"email": "c@example.com", "name": name},
        subject=value,
        text="x",
        html=None,
        headers={header: value},
        custom_args={},
        substitutions={},
        categories=[],
        send_at=None,
        batch_id=None,
        attempt=None,
        position=0,
        fate="accepted",
        dropped=None,
    )
    head = letters.source(hostile).split(b"\r\n\r\n")[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    known = {
        b"From",
        b"To",
        b"Reply-To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"MIME-Version",
        header.encode(),
    }
    assert set(names) <= known | {b"Content-Type", b"Content-Transfer-Encoding"}
    assert len(names) == len(set(names))
