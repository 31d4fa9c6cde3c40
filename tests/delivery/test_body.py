"""One request: what is in it, what is not, and that no name or text can touch another's letter."""

import html
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.body import FrozenEdition, Reader, build, draw_nonce, plain_name
from mailer.links import Doors, LetterTokens, Purpose, Slot, Slots, Tokens
from subscribers.names import NAME_MAX_CHARACTERS
from tests.conftest import SHARED

TOKENS = Tokens(["a secret", "an older one"])
DOORS = Doors("https://news.example.com")
NONCE = "abcdefgh"
SLOTS = Slots(NONCE)
SENDER = {
    "from": {"email": "editor@example.com", "name": "The Weekly"},
    "reply_to": {"email": "r@example.com"},
}
SPECIFICATION = SHARED / "sendgrid" / "openapi" / "tsg_mail_v3.patched.yaml"


def edition(html_text: str = "", text: str = "", nonce: str = NONCE) -> FrozenEdition:
    slots = Slots(nonce)
    keys = " ".join(slots.key(slot) for slot in (Slot.TRACK, Slot.VIEW, Slot.LEAVE, Slot.PREFS))
    return FrozenEdition(
        7,
        SENDER,
        "A subject",
        f"<p>{slots.key(Slot.NAME_HTML)}</p>{keys}{html_text}",
        f"{slots.key(Slot.NAME_TEXT)} {keys} {text}",
        nonce,
    )


def request(readers: list[Reader], of: FrozenEdition | None = None) -> dict[str, Any]:
    call = build(of or edition(), readers, attempt_id="f" * 32, tokens=TOKENS, doors=DOORS)
    decoded: dict[str, Any] = orjson.loads(call.encoded)
    return decoded


def as_received(body: dict[str, Any], place: int, *, backwards: bool) -> tuple[str, str]:
    """HTML and text as SendGrid makes them: one replacement after the other, in either order."""
    text, markup = (part["value"] for part in body["content"])
    substitutions = list(body["personalizations"][place]["substitutions"].items())
    for key, value in reversed(substitutions) if backwards else substitutions:
        markup, text = markup.replace(key, value), text.replace(key, value)
    return markup, text


def test_each_reader_has_a_personalization_alone_and_no_name_beside_the_address() -> None:
    body = request([Reader(1, "a@example.org", "Ann", False), Reader(2, "b@example.org", "", True)])
    assert [person["to"] for person in body["personalizations"]] == [
        [{"email": "a@example.org"}],
        [{"email": "b@example.org"}],
    ]
    assert all(
        set(person) == {"to", "headers", "substitutions", "custom_args"}
        for person in body["personalizations"]
    )


def test_the_list_headers_are_each_readers_own_and_short_enough() -> None:
    body = request([Reader(2**40 - 1, "a@example.org", "", False)])
    headers = body["personalizations"][0]["headers"]
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert len(headers["List-Unsubscribe"]) <= 77
    token = headers["List-Unsubscribe"].removeprefix("<https://news.example.com/u/").removesuffix(">")
    assert TOKENS.open(Purpose.LEAVE, token) == 2**40 - 1


def test_nothing_personal_stands_at_the_level_of_the_message_and_tracking_is_off() -> None:
    body = request([Reader(1, "ann@example.org", "Ann", True)])
    shared = orjson.dumps({key: value for key, value in body.items() if key != "personalizations"})
    assert b"ann" not in shared.lower()
    assert not {"custom_args", "categories", "headers", "asm", "send_at", "batch_id"} & body.keys()
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert body["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    }


def test_custom_args_name_the_letter_and_the_call_and_nothing_else() -> None:
    arguments = request([Reader(5, "a@example.org", "Ann", True)])["personalizations"][0]["custom_args"]
    assert arguments.keys() == {"nl_d", "nl_a"}
    assert arguments["nl_a"] == "f" * 32
    assert TOKENS.open(Purpose.EVENT, arguments["nl_d"]) == 5


def test_without_consent_all_readers_share_the_token_of_the_campaign() -> None:
    body = request([Reader(number, f"r{number}@example.org", "", number == 3) for number in (1, 2, 3)])
    tokens = [person["substitutions"][SLOTS.key(Slot.TRACK)] for person in body["personalizations"]]
    assert tokens[0] == tokens[1] != tokens[2]
    assert TOKENS.open(Purpose.TRACK_CAMPAIGN, tokens[0]) == 7
    assert TOKENS.open(Purpose.TRACK, tokens[0]) is None
    assert TOKENS.open(Purpose.TRACK, tokens[2]) == 3


def test_one_purpose_opens_no_other_door() -> None:
    values = request([Reader(9, "a@example.org", "", True)])["personalizations"][0]["substitutions"]
    for slot, purpose in (
        (Slot.TRACK, Purpose.TRACK),
        (Slot.VIEW, Purpose.READ),
        (Slot.LEAVE, Purpose.LEAVE),
        (Slot.PREFS, Purpose.PREFS),
    ):
        token = values[SLOTS.key(slot)]
        assert [each for each in Purpose if TOKENS.open(each, token) is not None] == [purpose]


def test_a_name_travels_only_where_the_letter_greets() -> None:
    quiet = FrozenEdition(7, SENDER, "s", "<p>hello</p>", "hello", NONCE)
    assert b"Ann" not in orjson.dumps(request([Reader(1, "a@example.org", "Ann", False)], quiet))


def test_a_percent_sign_in_the_address_of_the_site_stays_one() -> None:
    doors = Doors("https://news.example.com/a%20b%s")
    reader = Reader(1, "a%s@example.org", "", False)
    call = build(edition(), [reader], attempt_id="f" * 32, tokens=TOKENS, doors=doors)
    (person,) = orjson.loads(call.encoded)["personalizations"]
    assert person["headers"]["List-Unsubscribe"].startswith("<https://news.example.com/a%20b%s/u/")
    assert person["to"] == [{"email": "a%s@example.org"}]


def test_a_blank_name_is_you_and_a_long_one_is_cut() -> None:
    assert plain_name(" \n") == "you"
    assert plain_name("Ann\r\nBcc: x") == "Ann Bcc: x"
    assert len(plain_name("n" * 1000)) == NAME_MAX_CHARACTERS


def test_an_address_twice_in_one_request_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        request([Reader(1, "a@example.org", "", False), Reader(2, "A@example.org", "", False)])


PIECES = st.sampled_from(
    [f"[[{NONCE}:{slot.value}]]" for slot in Slot]
    + [NONCE, "[[", "]]", ":", "<b>", "&amp;", '"', "-name-", "{{ 7*7 }}", "%s", "%", "\0", "\\u0000"]
)
NAMES = st.lists(PIECES | st.text(max_size=5), max_size=4).map("".join)


@given(st.lists(NAMES, min_size=1, max_size=4), st.booleans())
def test_names_that_contain_keys_reach_their_own_reader_literally_and_nobody_else(
    names: list[str], backwards: bool
) -> None:
    readers = [Reader(number, f"r{number}@example.org", name, True) for number, name in enumerate(names, 1)]
    body = request(readers)
    for place, reader in enumerate(readers):
        markup, text = as_received(body, place, backwards=backwards)
        tokens = " ".join(
            TOKENS.sign(purpose, reader.delivery_id)
            for purpose in (Purpose.TRACK, Purpose.READ, Purpose.LEAVE, Purpose.PREFS)
        )
        name = plain_name(reader.name)
        assert markup == f"<p>{html.escape(name)}</p>{tokens}"
        assert text == f"{name} {tokens} "


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=8, max_size=30), max_size=5))
def test_a_nonce_occurs_in_none_of_the_texts(texts: list[str]) -> None:
    nonce = draw_nonce(*texts)
    assert len(nonce) == 8
    assert not any(nonce in text for text in texts)


@given(st.lists(st.integers(0, 2**40 - 1), max_size=5))
def test_signing_many_letters_gives_the_tokens_that_signing_one_gives(numbers: list[int]) -> None:
    assert [token._asdict() for token in TOKENS.sign_letters(numbers)] == [
        {purpose: TOKENS.sign(Purpose(purpose), number) for purpose in LetterTokens._fields}
        for number in numbers
    ]


def test_a_token_is_the_same_in_every_version_of_the_program() -> None:
    # Links in letters that went out years ago must open: whatever fails here breaks them.
    assert {str(purpose): TOKENS.sign(purpose, 1234567) for purpose in Purpose} == {
        "read": "zgAAEtaHFQJzUiHClzHuoGW8",
        "leave": "zgAAEtaHHRAh2mGMxBtJ71m_",
        "prefs": "zgAAEtaHNCZCTQcIhyNXwbfQ",
        "track": "zgAAEtaHaHxWTdunUqU6tx9g",
        "track-campaign": "zgAAEtaHRWGL5kQuc642WN0s",
        "event": "zgAAEtaH3Wo6lC2_1iDSwkGi",
    }


def test_a_thousand_long_names_stay_within_every_limit() -> None:
    readers = [
        Reader(2**40 - number, f"r{number}@example.org", '"' * NAME_MAX_CHARACTERS, True)
        for number in range(1, 1001)
    ]
    body = request(readers)
    assert len(body["personalizations"]) == 1000
    for person in body["personalizations"]:
        assert sum(len(k.encode()) + len(v.encode()) for k, v in person["substitutions"].items()) <= 10_000
        assert len(orjson.dumps(person["custom_args"])) <= 10_000
    assert len(orjson.dumps(body)) < 30_000_000


@pytest.mark.skipif(
    not SPECIFICATION.is_file(), reason="the published specification is not beside the repository"
)
def test_the_request_is_valid_by_the_published_specification() -> None:
    errors = list(
        validator(SPECIFICATION).iter_errors(
            request(
                [Reader(number, f"r{number}@example.org", "Zoë", number % 2 == 0) for number in range(1, 51)]
            )
        )
    )
    assert errors == []


@pytest.mark.skipif(
    not SPECIFICATION.is_file(), reason="the published specification is not beside the repository"
)
def test_the_specification_notices_a_wrong_request() -> None:
    body = request([Reader(1, "r@example.org", "", True)])
    body["personalizations"][0]["substitutions"]["x"] = 5
    assert list(validator(SPECIFICATION).iter_errors(body))


def validator(path: Path) -> Any:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    request_body = document["paths"]["/v3/mail/send"]["post"]["requestBody"]
    if "$ref" in request_body:
        request_body = document["components"]["requestBodies"][request_body["$ref"].rpartition("/")[2]]
    schema = request_body["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})
