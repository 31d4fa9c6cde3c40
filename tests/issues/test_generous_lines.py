"""Labels, calls to action and references as editors type them on busy days."""

import pytest

from mailer.issues.edit import with_field
from mailer.issues.serialize import serialize
from tests.issues.reading import HEADINGS, SMALL, read, small


@pytest.mark.parametrize(
    "line", ["🔑 Key point: What is new.", "Key Point - What is new.", "- Key point — What is new."]
)
def test_a_label_may_have_an_emoji_and_a_dash(line: str) -> None:
    document = read(small("Key point: What is new.", line))
    assert document.stories[0].key_point == "What is new."
    assert document.unplaced == ()


@pytest.mark.parametrize(
    ("line", "text", "url"),
    [
        ("🚀 Act now: https://example.com/act", "Act now", "https://example.com/act"),
        ("🚀 Act now → <https://example.com/act>.", "Act now", "https://example.com/act"),
        ("👉 Act (https://example.com/a_(b))", "Act", "https://example.com/a_(b)"),
        ("🚀 See https://example.com/act for more", "See https://example.com/act for more", None),
        ("🚀 https://example.com/act", "https://example.com/act", None),
        ("🚀 Act now: javascript:alert(1)", "Act now: javascript:alert(1)", None),
    ],
)
def test_a_call_to_action_may_bring_its_address(line: str, text: str, url: str | None) -> None:
    source = small("🚀 Act now. Write to us.", line)
    document = read(source)
    (call,) = document.calls_to_action
    assert (call.text, call.url) == (text, url)
    assert serialize(document) == source.encode()
    if url:
        there = with_field(
            document, ("calls_to_action", 0, "url"), "https://example.com/b", headings=HEADINGS
        )
        assert serialize(there).decode() == source.replace(url, "https://example.com/b")


def test_a_hash_in_front_of_an_opening_line_is_no_text() -> None:
    source = "# The week — 9 March\n" + SMALL
    document = read(source)
    assert document.intro == ("The week — 9 March", "An opening line.")
    assert serialize(document) == source.encode()


def test_references_that_number_themselves_otherwise_are_warned_of_once() -> None:
    listed = "[2] https://example.com/one\n[4] https://example.com/two\n"
    document = read(small("- https://example.com/one\n- https://example.com/two\n", listed))
    warned = [warning for warning in document.warnings if warning.field == "references"]
    assert [(warning.line, warning.message) for warning in warned] == [
        (22, "this is line 1 of the references: [1] cites it, whatever number it prints.")
    ]


def test_a_number_without_a_source_is_cured_where_the_source_belongs() -> None:
    document = read("One [1]\nhttps://example.com/one\nKey point: A.\nTwo [2]\nKey point: B [2].\n")
    cures = [(w.line, w.cure) for w in document.warnings if w.field == "citation"]
    assert cures == [(4, "Give story 2 its URL.")]


@pytest.mark.parametrize("line", ["🔗 https://example.com/one", "- 👉 https://example.com/one"])
def test_an_address_may_have_an_emoji_in_front(line: str) -> None:
    source = small("https://example.com/one\nContext", f"{line}\nContext")
    document = read(source)
    assert document.stories[0].urls == ("https://example.com/one",)
    assert document.unplaced == ()
    assert serialize(document) == source.encode()


def test_numbers_that_cite_nothing_are_told_wherever_they_stand() -> None:
    faq = "FAQ\nWhat is alpha? [1]\nIt is new [1], says the agency.\nAnd beta?\nAs [2] shows.\n"
    document = read(f"Title [US • 3 Mar 2026]\nhttps://example.com/one\nKey point: k\n{faq}")
    cited = [(warning.line, str(warning)) for warning in document.warnings if warning.field == "citation"]
    assert [line for line, _ in cited] == [5, 8]
    assert all("is left out" in message for _, message in cited)


def test_brackets_are_text_where_nothing_has_a_number() -> None:
    document = read("Title [US • 3 Mar 2026]\nhttps://example.com/one\nKey point: the array a [1] grows\n")
    assert document.warnings == ()
