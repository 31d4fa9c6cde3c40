"""What each answer proves."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.answers import LONGEST_WAIT_SECONDS, read, wait_seconds
from mailer.delivery.transport import (
    Accepted,
    BadBody,
    BadRecipients,
    BadSomewhere,
    Busy,
    Stopped,
    TooLarge,
    Uncertain,
)

NOW = datetime.fromisoformat("2026-04-10T05:30:00+00:00")


def errors(*found: tuple[str | None, str]) -> bytes:
    return json.dumps(
        {"errors": [{"field": field, "message": message, "help": None} for field, message in found]}
    ).encode()


def answer(status: int, body: bytes = b"", recipients: int = 1000, **headers: str) -> object:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(status, named, body, recipients=recipients, now=NOW)


def test_a_202_with_a_message_id_is_accepted() -> None:
    assert answer(202, x_message_id="abc.1") == Accepted("abc.1")


@pytest.mark.parametrize("status", [200, 201, 204, 202, 408, 500, 502, 503, 504, 599, 103])
def test_what_says_nothing_is_uncertain(status: int) -> None:
    assert isinstance(answer(status), Uncertain)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 406, 415, 451, 301, 302, 303, 307, 308, 402, 409])
def test_what_a_person_must_mend_stops_with_reason_and_cure(status: int) -> None:
    found = answer(status, errors((None, "no")))
    assert isinstance(found, Stopped)
    assert str(status) in found.reason
    assert found.cure


def test_400_naming_readers_names_them_by_place() -> None:
    body = errors(("personalizations.3.to.0.email", "bad"), ("personalizations.7", "bad"))
    assert answer(400, body).places == (3, 7)  # type: ignore[attr-defined]


def test_400_naming_a_reader_that_is_not_there_names_nobody() -> None:
    assert isinstance(answer(400, errors(("personalizations.9", "bad")), recipients=5), BadSomewhere)


@pytest.mark.parametrize(
    "field", ["from.email", "subject", "content.0.value", "reply_to", "tracking_settings.x", "headers.A"]
)
def test_400_about_the_letter_is_about_the_body_even_when_it_names_a_reader_too(field: str) -> None:
    assert isinstance(answer(400, errors((field, "bad"))), BadBody)
    assert isinstance(answer(400, errors((field, "bad"), ("personalizations.1", "bad"))), BadBody)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", errors((None, "Bad Request")), errors(("personalizations", "unique")), b"[1]"]
)
def test_400_saying_neither_is_somewhere(body: bytes) -> None:
    assert isinstance(answer(400, body), BadSomewhere)


def test_413_is_too_large() -> None:
    assert isinstance(answer(413), TooLarge)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 30)}, 30),
        ({"x-ratelimit-reset": str((int(NOW.timestamp()) + 30) * 1000)}, 30),
        ({"x-ratelimit-reset": "30"}, 30),
        ({"retry-after": "5"}, 5),
        ({"x-ratelimit-reset": "soon", "retry-after": "7"}, 7),
        ({}, 60),
        ({"x-ratelimit-reset": "-5"}, 60),
        ({"x-ratelimit-reset": "9" * 18}, LONGEST_WAIT_SECONDS),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) - 999)}, 1),
    ],
)
def test_429_waits_until_the_reset_however_it_is_written(headers: dict[str, str], seconds: float) -> None:
    assert wait_seconds(headers, NOW) == pytest.approx(seconds)
    assert isinstance(read(429, headers, b"", recipients=1, now=NOW), Busy)


@given(st.dictionaries(st.sampled_from(["x-ratelimit-reset", "retry-after"]), st.text(max_size=30)))
def test_a_wait_is_bounded_whatever_the_headers_say(headers: dict[str, str]) -> None:
    assert 1 <= wait_seconds(headers, NOW) <= LONGEST_WAIT_SECONDS


@given(
    st.integers(100, 599),
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["errors", "field", "message"]), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(1, 1000),
)
def test_every_answer_has_a_known_outcome_and_only_a_202_is_accepted(
    status: int, body: bytes, recipients: int
) -> None:
    found = read(status, {"x-message-id": "m"}, body, recipients=recipients, now=NOW)
    assert isinstance(found, Accepted) == (status == 202)
    if isinstance(found, BadRecipients):
        assert found.places
        assert all(0 <= place < recipients for place in found.places)


def test_no_address_of_a_providers_words_is_kept() -> None:
    assert answer(400, errors(("personalizations.0", "jo@example.com is bad"))).detail == (  # type: ignore[attr-defined]
        "personalizations.0: [address] is bad"
    )
