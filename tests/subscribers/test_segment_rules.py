"""Rules are read strictly: a fault is named with its path, and no text brings the reader down."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column

from subscribers.errors import NewsletterError
from subscribers.segment_rules import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    Leaf,
    Moment,
    Phrase,
    condition,
    declared_value,
    number_value,
    read_json,
    read_rule,
    words,
)

_TOPICS = {"car-t": "CAR-T", "myeloma": "Myeloma"}
LEAVES = {
    "topic": Leaf(
        "topic",
        "car-t",
        "",
        lambda value: declared_value(value, _TOPICS, "a topic", "a declared topic"),
        lambda slug, _moment: column(slug) == 1,
        lambda slug: Phrase(f"get {slug}", f"do not get {slug}"),
    ),
    "days": Leaf(
        "days",
        3,
        "",
        lambda value: number_value(value, "'days'", low=1, high=10),
        lambda days, _moment: column("days") <= days,
        lambda days: Phrase(f"came within {days}", f"came before {days}"),
    ),
}


def refusal(source: Any) -> list[str]:
    with pytest.raises(NewsletterError) as caught:
        read_rule(read_json(source) if isinstance(source, str | bytes) else source, LEAVES)
    return [str(problem) for problem in caught.value.problems]


def test_a_fault_is_named_with_its_path_and_the_nearest_name() -> None:
    assert refusal('{"all": [{"topic": "car-t"}, {"topic": "cart"}]}') == [
        "all[1].topic: 'cart' is not a declared topic. Did you mean 'car-t'?"
    ]


def test_all_faults_are_named_at_once() -> None:
    rule = {"any": [{"topik": "car-t"}, {"not": {"days": 0}}, {"all": []}, 7, {"topic": 3}]}
    assert [problem.split(": ")[0] for problem in refusal(rule)] == [
        "any[0].topik",
        "any[1].not.days",
        "any[2].all",
        "any[3]",
        "any[4].topic",
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ([], "a rule is an object with one key, not a list"),
        (None, "not nothing (null)"),
        ({}, "not an object with 0 keys"),
        ({"topic": "car-t", "days": 3}, "not an object with 2 keys"),
        ({"all": {"topic": "car-t"}}, "'all' holds a list of at least one rule, not an object"),
        ({"not": [{"topic": "car-t"}]}, "a rule is an object with one key, not a list"),
        ({"days": True}, "a whole number, not true or false"),
        ({"days": 3.0}, "a whole number, not a number"),
        ({"days": "3"}, "a whole number, not a text"),
        ({"days": 11}, "from 1 to 10, not 11"),
        ({"topic": "car-t\u0000"}, "control character"),
        ({"topic": "\ud800"}, "control character"),
        ({"topic": "x" * 501}, "more than 500 characters"),
        ({"topic": " "}, "is empty"),
        ({"sql": "1 = 1"}, "there is no condition 'sql'"),
    ],
)
def test_types_are_strict(rule: Any, said: str) -> None:
    assert said in refusal(rule)[0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{"topic": "car-t", "topic": "myeloma"}', "the key 'topic' stands twice"),
        ('{"topic": }', "this is no valid JSON"),
        ('{"days": NaN}', "NaN is no JSON number"),
        ('{"days": ' + "9" * 5000 + "}", "too many digits"),
        ("", "this is no valid JSON"),
        (b"\xff\xfe{", "not UTF-8"),
        ('{"topic": "' + "x" * MAX_TEXT_BYTES + '"}', "a rule has at most 65,536 bytes"),
    ],
)
def test_a_text_that_is_no_rule_is_refused(source: str | bytes, said: str) -> None:
    assert said in refusal(source)[0]


def test_a_fault_of_the_text_names_file_and_line() -> None:
    with pytest.raises(NewsletterError) as caught:
        read_json('{\n  "topic": oops\n}', file="rule.json")
    assert caught.value.lines()[0].startswith("rule.json:2: this is no valid JSON")


@pytest.mark.parametrize("bracket", ["[", '{"not":', '{"all":['])
def test_brackets_without_end_are_a_clear_error(bracket: str) -> None:
    source = bracket * (MAX_TEXT_BYTES // len(bracket) - 1)
    assert "nested deeper than 20 levels" in refusal(source)[0]


def test_a_hundred_thousand_brackets_are_refused_by_size() -> None:
    assert "a rule has at most" in refusal("[" * 100_000)[0]


def test_a_deep_tree_that_never_was_text_is_refused() -> None:
    rule: dict[str, Any] = {"topic": "car-t"}
    for _ in range(100_000):
        rule = {"not": rule}
    assert "nested deeper than 20 levels" in refusal(rule)[0]


def test_a_tree_may_be_as_deep_and_as_wide_as_said() -> None:
    rule: dict[str, Any] = {"topic": "car-t"}
    for level in range(MAX_DEPTH - 1):
        rule = {"not": rule} if level % 2 else {"all": [rule]}
    read_rule(read_json(json.dumps(rule)), LEAVES)
    assert "nested deeper" in refusal({"any": [rule]})[0]
    read_rule({"any": [{"topic": "car-t"}] * MAX_CONDITIONS}, LEAVES)
    assert refusal({"any": [{"topic": "car-t"}] * (MAX_CONDITIONS + 50)}) == [
        f"any[{MAX_CONDITIONS}].topic: the rule has more than {MAX_CONDITIONS} conditions."
    ]


def test_brackets_within_texts_do_not_count_as_levels() -> None:
    assert "is not a declared topic" in refusal(json.dumps({"topic": "[" * 100 + '"{'}))[0]


@pytest.mark.parametrize("text", ['\\"' * 32_000, '"' + '\\"' * 32_000, '\\"' * 32_000 + "\\"])
def test_a_text_of_escaped_quotes_is_refused_as_no_json(text: str) -> None:
    with pytest.raises(NewsletterError, match="no valid JSON"):
        read_json(text)


@pytest.mark.parametrize(("word", "ours"), [("and", "all"), ("or", "any"), ("AND", "all")])
def test_the_words_of_other_rule_languages_are_answered_with_ours(word: str, ours: str) -> None:
    with pytest.raises(NewsletterError, match=f"Say '{ours}' instead"):
        read_rule({word: [{"topic": "car-t"}]}, LEAVES)


def test_a_bom_is_read_past() -> None:
    assert read_json(b'\xef\xbb\xbf{"topic": "car-t"}') == {"topic": "car-t"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"topic": "car-t"}, "Readers who get car-t."),
        ({"not": {"topic": "car-t"}}, "Readers who do not get car-t."),
        ({"not": {"not": {"topic": "car-t"}}}, "Readers who get car-t."),
        (
            {"all": [{"topic": "car-t"}, {"any": [{"days": 3}, {"not": {"topic": "myeloma"}}]}]},
            "Readers who get car-t and (came within 3 or do not get myeloma).",
        ),
        (
            {"not": {"any": [{"topic": "car-t"}, {"days": 3}]}},
            "Readers who do not get car-t and came before 3.",
        ),
        ({"all": [{"any": [{"days": 3}]}]}, "Readers who came within 3."),
    ],
)
def test_a_rule_is_said_in_words(rule: Any, said: str) -> None:
    assert words(read_rule(rule, LEAVES)) == said


def test_a_rule_becomes_bound_values_and_never_text() -> None:
    evil = "x' OR 1=1 --"
    leaves = {"topic": Leaf("topic", "", "", str, lambda s, _m: column("t") == s, lambda s: Phrase(s, s))}
    sql = condition(read_rule({"not": {"topic": evil}}, leaves), Moment(datetime.now(UTC))).compile()
    assert evil not in str(sql)
    assert evil in sql.params.values()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["all", "any", "not", "topic", "days", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_a_rule_or_a_refusal_with_a_reason(value: Any) -> None:
    said = _outcome(json.dumps(value))
    assert said.startswith("Readers who ") or ": " in said


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert _outcome(text)


def _outcome(text: str) -> str:
    """The rule in words, or why it is none; any other exception is a fault of ours."""
    try:
        return words(read_rule(read_json(text), LEAVES))
    except NewsletterError as error:
        return str(error.problems[0])
