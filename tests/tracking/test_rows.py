import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.tracking.consequences import effect_of
from mailer.tracking.rows import read_row, read_rows
from tests.conftest import SHARED

MALFORMED = SHARED / "sendgrid" / "events" / "04_malformed_and_unknown.json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    *("event", "email", "timestamp", "sg_event_id", "sg_message_id", "nl_d", "nl_a", "type", "reason"),
    *("status", "attempt", "url", "useragent", "sg_machine_open", "bounce_classification", "category", "ip"),
)


@pytest.mark.skipif(not MALFORMED.exists(), reason="the example events are not beside this checkout")
def test_good_rows_of_a_malformed_post_are_read_and_the_rest_counted() -> None:
    rows, unreadable = read_rows(MALFORMED.read_bytes())
    assert (len(rows), len(unreadable)) == (14, 4)
    assert {row.kind for row in rows} >= {"account_status_change", "quantum_open", "delivered", "bounce"}
    assert len({row.dedupe_key for row in rows}) == 14
    for row in rows:
        assert len(str(row.detail.get("reason", ""))) <= 200
        assert "@" not in json.dumps(row.detail)
        assert "javascript" not in json.dumps(row.detail)


@pytest.mark.parametrize(
    ("body", "rows", "unreadable"),
    [
        (b"", 0, 1),
        (b"no json", 0, 1),
        (b"[" * 100_000, 0, 1),
        (b"\xff\xfe", 0, 1),
        (b"{}", 0, 1),
        (b'{"event":"open"}', 1, 0),
        (b'[{"event":"open","timestamp":NaN}]', 1, 0),
        (b'[{"event":"open","email":"\\ud800"}]', 1, 0),
        (b'[{"event":"open","timestamp":' + b"9" * 4000 + b"}]", 1, 0),
        (b"[]\r\n", 0, 0),
        (b"[" * 1020 + b"]" * 1020, 0, 1),
        (b'[{"event":"open","x":' + b"[" * 1020 + b"]" * 1020 + b"}]", 1, 0),
        (b'[{"event":7},{"event":""},{"event":null},[1]]', 0, 4),
    ],
)
def test_whatever_comes_is_read_or_counted(body: bytes, rows: int, unreadable: int) -> None:
    found, rest = read_rows(body)
    assert (len(found), len(rest)) == (rows, unreadable)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_no_value_of_any_field_raises(entry: dict[str, object]) -> None:
    row = read_row(entry)
    assert len(row.kind) <= 40
    assert set(row.detail) <= {"type", "status", "classification", "reason", "attempt", "agent", "link"}
    row.dedupe_key.encode()
    json.dumps(row.detail).encode()


def test_the_key_of_a_row_without_an_id_is_its_content() -> None:
    one, other = {"event": "open", "timestamp": 1}, {"timestamp": 1, "event": "open"}
    assert read_row(one).dedupe_key == read_row(other).dedupe_key
    assert read_row(one).dedupe_key.startswith("h:")
    assert read_row({**one, "timestamp": 2}).dedupe_key != read_row(one).dedupe_key
    assert read_row({**one, "sg_event_id": "abc"}).dedupe_key == "sg:abc"


@pytest.mark.parametrize("stamp", [1793354401, "1793354401", 1793354401.0])
def test_times_are_read_as_numbers_and_as_text(stamp: object) -> None:
    at = read_row({"event": "open", "timestamp": stamp}).occurred_at
    assert at is not None
    assert at.timestamp() == 1793354401


@pytest.mark.parametrize("stamp", [None, True, "soon", -5, 10**30, "1e400", [], {}])
def test_a_time_that_is_none_is_left_out(stamp: object) -> None:
    assert read_row({"event": "open", "timestamp": stamp}).occurred_at is None


@pytest.mark.parametrize(
    ("entry", "fate", "suppression", "is_leaving"),
    [
        ({"event": "bounce", "type": "bounce"}, "bounced", "hard_bounce", False),
        ({"event": "bounce", "type": "blocked"}, "bounced", None, False),
        ({"event": "bounce", "type": "expired"}, "bounced", None, False),
        ({"event": "bounce"}, "bounced", None, False),
        ({"event": "bounce", "bounce_classification": "Invalid Address"}, "bounced", "hard_bounce", False),
        ({"event": "dropped", "reason": "Bounced Address"}, "provider_dropped", "hard_bounce", False),
        ({"event": "dropped", "reason": "Invalid"}, "provider_dropped", "invalid", False),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, "provider_dropped", None, False),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "provider_dropped", "complaint", False),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "provider_dropped", None, True),
        ({"event": "spamreport"}, "complained", "complaint", True),
        ({"event": "unsubscribe"}, None, None, True),
        ({"event": "group_unsubscribe"}, None, None, True),
        ({"event": "group_resubscribe"}, None, None, False),
        ({"event": "delivered"}, "delivered", None, False),
        ({"event": "quantum_open"}, None, None, False),
        ({"event": ["bounce"]}, None, None, False),
    ],
)
def test_what_an_event_means(
    entry: dict[str, object], fate: str | None, suppression: str | None, is_leaving: bool
) -> None:
    effect = effect_of(entry)
    assert (effect.fate, effect.suppression, effect.is_leaving) == (fate, suppression, is_leaving)
