"""Which messages the sandbox takes, and the exact complaint about the others."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mailer.config import Settings
from mailer.sandbox.app import create_app
from mailer.sandbox.server import SandboxServer
from tests.sandbox.conftest import KEY, SEND, Desk, mail, person


def test_a_good_message_is_accepted_with_an_empty_body_and_a_message_id_of_its_own(desk: Desk) -> None:
    answers = [desk.send(mail()) for _ in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    assert [answer.data for answer in answers] == [b""] * 3
    ids = {answer.headers["X-Message-Id"] for answer in answers}
    assert len(ids) == 3
    assert all(20 <= len(message_id) <= 30 and "." not in message_id for message_id in ids)
    assert len(desk.messages()) == 3


def test_a_thousand_personalizations_of_a_megabyte_pass_and_one_more_does_not(desk: Desk) -> None:
    people = [person(n, substitutions={"[[k:t]]": "t" * 600}) for n in range(1001)]
    assert desk.send(mail(*people[:1000])).status == 202
    assert desk.summary()["letters"] == 1000
    errors = desk.errors(mail(*people))
    assert [error["field"] for error in errors] == ["personalizations"]
    assert "1000" in errors[0]["message"]


def test_to_cc_and_bcc_together_are_at_most_a_thousand(desk: Desk) -> None:
    def crowd(count: int) -> dict[str, Any]:
        people = [person(n, bcc=[{"email": f"copy{n}@example.com"}]) for n in range(count)]
        return mail(*people)

    assert desk.send(crowd(500)).status == 202
    assert desk.errors(crowd(501))[0]["field"] == "personalizations"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": None}, "personalizations"),
        ({"from": None}, "from.email"),
        ({"from": {"name": "Weekly"}}, "from.email"),
        ({"from": {"email": "no address"}}, "from.email"),
        ({"subject": None}, "subject"),
        ({"subject": ""}, "subject"),
        ({"content": None}, "content"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"value": "x"}]}, "content.0.type"),
        ({"reply_to": {"email": "nobody"}}, "reply_to.email"),
        ({"reply_to": {"email": "a@example.com"}, "reply_to_list": [{"email": "a@example.com"}]}, "reply_to"),
    ],
)
def test_what_is_missing_or_wrong_is_named(desk: Desk, change: dict[str, Any], field: str) -> None:
    message = {key: value for key, value in {**mail(), **change}.items() if value is not None}
    assert field in [error["field"] for error in desk.errors(message)]
    assert desk.messages() == []


def test_a_subject_in_every_personalization_is_enough(desk: Desk) -> None:
    message = mail(person(1, subject="One"), person(2, subject="Two"))
    del message["subject"]
    assert desk.send(message).status == 202
    assert [letter["subject"] for letter in desk.messages()] == ["One", "Two"]


def test_one_bad_address_refuses_the_whole_request_and_is_named_by_its_place(desk: Desk) -> None:
    people = [person(0), {"to": [{"email": "broken@"}]}, person(2), {"to": [{"email": "zoë@example.com"}]}]
    errors = desk.errors(mail(*people))
    assert [error["field"] for error in errors] == [
        "personalizations.1.to.0.email",
        "personalizations.3.to.0.email",
    ]
    assert errors[0]["message"] == "Does not contain a valid address."
    assert desk.messages() == []


@pytest.mark.parametrize(
    "address",
    [
        "a@b",
        "a b@example.com",
        "a@@example.com",
        ".a@example.com",
        "a@exa_mple.com",
        "x" * 65 + "@example.com",
        "a@example.com\n",
        7,
    ],
)
def test_addresses_that_no_mail_server_takes_are_refused(desk: Desk, address: object) -> None:
    assert desk.errors(mail({"to": [{"email": address}]}))[0]["field"] == "personalizations.0.to.0.email"


@pytest.mark.parametrize(
    "address", ["a.b+c@sub.example.com", "o'neil@example.org", "a@xn--bcher-kva.example"]
)
def test_unusual_good_addresses_are_taken(desk: Desk, address: str) -> None:
    assert desk.send(mail({"to": [{"email": address}]})).status == 202


def test_a_personalization_without_to_is_refused_even_with_bcc(desk: Desk) -> None:
    errors = desk.errors(mail(person(1), {"bcc": [{"email": "a@example.com"}]}))
    assert errors[0]["field"] == "personalizations.1.to"


def test_the_same_address_twice_in_a_request_is_refused_whatever_its_case(desk: Desk) -> None:
    message = mail(person(1), person(2), {"to": [{"email": "READER1@example.com"}]})
    errors = desk.errors(message)
    assert errors[0]["field"] == "personalizations"
    assert "[READER1@example.com]" in errors[0]["message"]
    assert "personalizations.2.to" in errors[0]["message"]


@pytest.mark.parametrize(
    "kinds",
    [
        ("text/html", "text/plain"),
        ("text/calendar", "text/html"),
        ("text/plain", "text/plain"),
        ("text/html", "text/html"),
    ],
)
def test_content_comes_in_its_order_and_each_kind_once(desk: Desk, kinds: tuple[str, str]) -> None:
    parts = [{"type": kind, "value": "x"} for kind in kinds]
    assert {error["field"] for error in desk.errors(mail(content=parts))} == {"content"}


@pytest.mark.parametrize(
    "name", ["X-SG-ID", "x-sg-eid", "Received", "DKIM-Signature", "Content-Type", "To", "Reply-To", "bcc"]
)
def test_reserved_headers_are_refused_in_the_message_and_in_a_personalization(desk: Desk, name: str) -> None:
    assert desk.errors(mail(headers={name: "x"}))[0]["field"] == f"headers.{name}"
    own = desk.errors(mail(person(1), person(2, headers={name: "x"})))
    assert own[0]["field"] == f"personalizations.1.headers.{name}"


def test_a_header_that_would_begin_another_line_is_refused(desk: Desk) -> None:
    assert desk.errors(mail(headers={"X-A": "one\r\nX-B: two"}))[0]["field"] == "headers.X-A"


@pytest.mark.parametrize(
    "change",
    [
        {"substitutions": {"k": 1}},
        {"substitutions": ["k"]},
        {"custom_args": {"k": 1}},
        {"headers": {"X-A": 1}},
        {"cc": "a@example.com"},
    ],
)
def test_values_that_are_no_strings_get_the_answer_that_says_nothing(
    desk: Desk, change: dict[str, Any]
) -> None:
    assert desk.errors(mail(person(1, **change))) == [{"message": "Bad Request", "field": None, "help": None}]


def test_replies_may_go_to_a_thousand_addresses(desk: Desk) -> None:
    people = [{"email": f"editor{n}@example.com"} for n in range(1001)]
    assert desk.send(mail(reply_to_list=people[:1000])).status == 202
    assert desk.errors(mail(reply_to_list=people))[0]["field"] == "reply_to_list"


@pytest.mark.parametrize(
    "change",
    [
        {"reply_to_list": 5},
        {"mail_settings": "x"},
        {"mail_settings": {"sandbox_mode": [1]}},
        {"subject": ["x"]},
        {"from": {"email": "editor@example.com", "name": {}}},
    ],
)
def test_fields_of_a_wrong_type_get_the_answer_that_says_nothing(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.errors(mail(**change)) == [{"message": "Bad Request", "field": None, "help": None}]


EVERY_FIELD = mail(
    {
        "to": [{"email": "ada@example.com", "name": "Ada"}],
        "cc": [{"email": "ben@example.com", "name": "Ben"}],
        "bcc": [{"email": "cleo@example.com"}],
        "from": {"email": "own@example.com", "name": "Own"},
        "subject": "Own [k]",
        "headers": {"X-Own": "1"},
        "substitutions": {"[k]": "v"},
        "custom_args": {"nl_a": "a", "nl_d": "d"},
        "dynamic_template_data": {"a": 1},
        "send_at": 1,
    },
    reply_to={"email": "reply@example.com", "name": "Reply"},
    reply_to_list=[{"email": "reply@example.com", "name": "Reply"}],
    attachments=[{"content": "eA==", "filename": "a.txt"}],
    template_id="d-1",
    headers={"X-All": "1"},
    categories=["weekly"],
    custom_args={"nl_v": "1"},
    send_at=1,
    batch_id="none",
    asm={"group_id": 1, "groups_to_display": [1]},
    ip_pool_name="pool",
    mail_settings={"sandbox_mode": {"enable": False}, "footer": {"enable": False, "text": "x"}},
    tracking_settings={"click_tracking": {"enable": False, "enable_text": False}},
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["ada@example.com", "[k]", "\r\n", "=?utf-8?q?x?="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abk[]:-", max_size=4), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a JSON value, itself first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


PLACES = sorted(places(EVERY_FIELD), key=str)


@pytest.fixture
def client(running: SandboxServer) -> Iterator[TestClient]:
    """The sandbox without a network between: an exception in it fails the test."""
    running.state.reset()
    app = create_app(running.state, Settings.model_construct())
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with TestClient(app, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), ANYTHING, st.sampled_from(["reply_to", "reply_to_list"]), st.booleans())
def test_no_value_in_any_field_breaks_the_door_or_the_mailbox(
    client: TestClient, place: tuple[Any, ...], value: Any, left_out: str, has_batch: bool
) -> None:
    message: Any = copy.deepcopy(EVERY_FIELD)
    del message[left_out]
    if not has_batch:
        del message["batch_id"]
    within = message
    try:
        for key in place[:-1]:
            within = within[key]
    except KeyError:
        return
    if place:
        within[place[-1]] = value
    answer = client.post(SEND, content=orjson.dumps(message if place else value))
    assert answer.status_code in (200, 202, 400)
    if answer.status_code != 202:
        return
    query = {"message_id": answer.headers["X-Message-Id"]}
    for letter in client.get("/sandbox/messages", params=query).json()["messages"]:
        for page in ("?view=headers", "?view=source", "/frame"):
            assert client.get(f"/letters/{letter['id']}{page}").status_code in (200, 404)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b'{"personalizations": "x"}', b'{"a": "\\ud800"}']
)
def test_what_is_no_json_object_is_a_bad_request(desk: Desk, body: bytes) -> None:
    assert desk.send(body).status == 400


def test_substitutions_may_have_ten_thousand_bytes_in_a_personalization(desk: Desk) -> None:
    assert desk.send(mail(person(1, substitutions={"[k]": "x" * 9997}))).status == 202
    errors = desk.errors(mail(person(1), person(2, substitutions={"[k]": "x" * 9998})))
    assert errors[0]["field"] == "personalizations.1.substitutions"
    assert desk.errors(mail(person(1, substitutions={"[k]": "é" * 4999})))[0]["message"] == (
        "The substitutions may have at most 10000 bytes in total. Found 10001."
    )


def test_custom_args_are_counted_per_message_or_per_request_as_the_switch_says(desk: Desk) -> None:
    small = [person(n, custom_args={"nl_d": "x" * 40}) for n in range(300)]
    assert desk.send(mail(*small)).status == 202
    large = desk.errors(mail(person(0), person(1, custom_args={"nl_d": "x" * 10_000})))
    assert large[0]["field"] == "personalizations.1.custom_args"
    # A message's own args count together with the shared ones.
    both = desk.errors(mail(person(0, custom_args={"a": "x" * 6000}), custom_args={"b": "x" * 6000}))
    assert both[0]["field"] == "personalizations.0.custom_args"
    desk.behave(custom_args_limit="request")
    assert desk.errors(mail(*small))[0]["field"] == "custom_args"
    assert desk.send(mail(*small[:100])).status == 202


@pytest.mark.parametrize(
    ("categories", "field"),
    [
        ([f"c{n}" for n in range(11)], "categories"),
        (["a", "a"], "categories"),
        (["x" * 256], "categories.0"),
        (["ok", "é"], "categories.1"),
        ([""], "categories.0"),
    ],
)
def test_categories_are_few_unique_short_and_ascii(desk: Desk, categories: list[str], field: str) -> None:
    assert desk.errors(mail(categories=categories))[0]["field"] == field
    assert desk.send(mail(categories=[f"c{n}" for n in range(10)])).status == 202


def test_send_at_is_an_integer_within_72_hours(desk: Desk) -> None:
    soon = int(time.time()) + 71 * 3600
    assert desk.send(mail(send_at=soon)).status == 202
    assert desk.errors(mail(send_at=soon + 2 * 3600))[0]["field"] == "send_at"
    assert desk.errors(mail(send_at=str(soon)))[0]["field"] == "send_at"
    assert desk.errors(mail(person(1, send_at=soon + 2 * 3600)))[0]["field"] == "personalizations.0.send_at"


def test_a_batch_id_must_be_one_that_was_given_out(desk: Desk) -> None:
    assert desk.errors(mail(batch_id="made-up"))[0]["field"] == "batch_id"
    known = desk.request("POST", "/v3/mail/batch").json()["batch_id"]
    assert desk.send(mail(batch_id=known)).status == 202


def test_thirty_megabytes_are_too_large(desk: Desk) -> None:
    message = mail(content=[{"type": "text/plain", "value": "x" * (30 * 1024 * 1024)}])
    assert desk.errors(message, 413)[0]["field"] is None
    assert desk.send(mail()).status == 202  # the door is still open


def test_sandbox_mode_checks_answers_200_and_keeps_nothing(desk: Desk) -> None:
    answer = desk.send(mail(mail_settings={"sandbox_mode": {"enable": True}}))
    assert (answer.status, answer.headers.get("X-Message-Id"), desk.messages()) == (200, None, [])
    assert desk.send(mail(mail_settings={"sandbox_mode": {"enable": False}})).status == 202
    assert desk.send(mail(mail_settings={"sandbox_mode": {"enable": "true"}})).status == 400
    bad = mail(person(1), person(1), mail_settings={"sandbox_mode": {"enable": True}})
    assert desk.send(bad).status == 400


def test_an_address_can_be_made_bad_with_and_without_its_name_in_the_answer(desk: Desk) -> None:
    desk.behave(refuse_addresses={"Reader3@example.com": "named", "reader7@EXAMPLE.com": "silent"})
    named = desk.errors(mail(*(person(n) for n in range(5))))
    assert [error["field"] for error in named] == ["personalizations.3.to.0.email"]
    silent = desk.errors(mail(*(person(n) for n in range(5, 10))))
    assert silent == [{"message": "Bad Request", "field": None, "help": None}]
    assert desk.send(mail(*(person(n) for n in range(3)))).status == 202


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"asm": {"group_id": 1, "groups_to_display": list(range(25))}}, None),
        ({"asm": {"group_id": 1, "groups_to_display": list(range(26))}}, "asm.groups_to_display"),
        ({"ip_pool_name": "p"}, "ip_pool_name"),
        ({"ip_pool_name": "po"}, None),
        ({"ip_pool_name": "p" * 64}, None),
        ({"ip_pool_name": "p" * 65}, "ip_pool_name"),
    ],
)
def test_names_of_the_account_have_limits(desk: Desk, change: dict[str, Any], field: str | None) -> None:
    if field is None:
        assert desk.send(mail() | change).status == 202
    else:
        assert [error["field"] for error in desk.errors(mail() | change)] == [field]


def test_custom_args_must_stay_below_ten_thousand_bytes(desk: Desk) -> None:
    room = 10_000 - len('{"a":""}')
    assert desk.send(mail(custom_args={"a": "x" * (room - 1)})).status == 202
    assert [error["field"] for error in desk.errors(mail(custom_args={"a": "x" * room}))] == ["custom_args"]
