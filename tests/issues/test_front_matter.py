"""The YAML head: its keys, its traps, and what is refused with line and cure."""

import pytest

from mailer.issues.edit import with_field
from mailer.issues.serialize import serialize
from tests.issues.reading import HEADINGS, SMALL, read, refused

TOPICS = ("car-t", "myeloma", "immunology")


def headed(*lines: str) -> str:
    return "\n".join(["---", *lines, "---", SMALL])


def test_every_key_is_read() -> None:
    front = read(
        headed(
            "slug: week-09",
            "kind: digest",
            "subject: Plain text, as typed",
            'preheader: "Quoted: with a colon"',
            "subject_story: 2",
            "subjects: {car-t: For them}",
            "intro_for:",
            "  myeloma: >",
            "    A paragraph",
            "    of two lines",
            "topics: {1: [car-t, myeloma], 2: everyone}",
            "links:",
            '  "Write to us": https://example.com/contact',
        ),
        topics=TOPICS,
    ).front_matter
    assert (front.slug, front.kind, front.subject) == ("week-09", "digest", "Plain text, as typed")
    assert (front.preheader, front.subject_story) == ("Quoted: with a colon", 2)
    assert front.subjects == {"car-t": "For them"}
    assert front.intro_for == {"myeloma": "A paragraph of two lines"}
    assert front.topics == {1: ("car-t", "myeloma"), 2: ()}
    assert front.links == {"Write to us": "https://example.com/contact"}


@pytest.mark.parametrize(
    "typed", ["NO", "yes", "1.0", "2026-01-24", "0x1F", "null and void", "on", "1e3", ".inf", "1_000"]
)
def test_text_is_what_was_typed_and_never_a_boolean_or_number(typed: str) -> None:
    assert read(headed(f"subject: {typed}")).front_matter.subject == typed


@pytest.mark.parametrize("typed", ["", "~", "null", '""', "  # only a comment"])
def test_an_empty_value_is_silent(typed: str) -> None:
    document = read(headed(f"subject: {typed}"))
    assert document.front_matter.subject is None
    assert serialize(document).decode() == headed(f"subject: {typed}")


def test_a_head_in_braces_comes_back_and_takes_edits() -> None:
    document = read(headed("{slug: a, subject: b, kind: weekly}"))
    assert serialize(document).decode() == headed("{slug: a, subject: b, kind: weekly}")
    changed = with_field(document, ("front_matter", "subject"), "c", headings=HEADINGS)
    assert serialize(changed).decode() == headed('{slug: a, subject: "c", kind: weekly}')
    without = with_field(changed, ("front_matter", "subject"), None, headings=HEADINGS)
    assert serialize(without).decode() == headed("{slug: a, kind: weekly}")


@pytest.mark.parametrize("lines", [[], ["# only a comment"], ["", ""]])
def test_an_empty_head_is_none(lines: list[str]) -> None:
    assert read(headed(*lines)).front_matter == read(SMALL).front_matter


@pytest.mark.parametrize(
    ("typed", "slugs"),
    [
        ("car-t", ("car-t",)),
        ("[car-t]", ("car-t",)),
        ("[myeloma, car-t]", ("myeloma", "car-t")),
        ("[everyone]", ()),
    ],
)
def test_a_decision_may_be_one_slug_or_a_list(typed: str, slugs: tuple[str, ...]) -> None:
    assert read(headed(f"topics: {{2: {typed}}}"), topics=TOPICS).front_matter.topics == {2: slugs}


@pytest.mark.parametrize(
    ("lines", "line", "field"),
    [
        (["subjct: x"], 2, "subjct"),
        (["subject: x", "layout: wide"], 3, "layout"),
        (["subject: [a, b]"], 2, "subject"),
        (["subject: {a: b}"], 2, "subject"),
        (["subject: What: moved"], 2, "front matter"),
        (["subject: 'open"], 2, "front matter"),
        (["subject: x", "\tpreheader: y"], 3, "front matter"),
        (["subject: |", "  two", "  lines"], 2, "subject"),
        (['subject: "bell \\a"'], 2, "subject"),
        (['subject: "half \\ud83e"'], 2, "subject"),
        (['subject: "far \\UFFFFFFFF"'], 2, "front matter"),
        (["subject: x", "subject: y"], 3, "subject"),
        (["- a", "- list"], 2, "front matter"),
        (["only words"], 2, "front matter"),
        (["slug: Week 4"], 2, "slug"),
        (["slug: -week"], 2, "slug"),
        (["kind: weakly"], 2, "kind"),
        (["subject_story: two"], 2, "subject_story"),
        (["subject_story: 0"], 2, "subject_story"),
        (["subject_story: 3"], 2, "subject_story"),
        (["topics: car-t"], 2, "topics"),
        (["topics: [car-t]"], 2, "topics"),
        (["topics:", "  1: car-t", "  3: myeloma"], 4, "topics.3"),
        (["topics: {one: car-t}"], 2, "topics"),
        (["topics: {0: car-t}"], 2, "topics"),
        (["topics: {1: []}"], 2, "topics.1"),
        (["topics: {1: [everyone, car-t]}"], 2, "topics.1"),
        (["topics: {1: {a: b}}"], 2, "topics.1"),
        (["topics:", "  1: car-t", "  1: myeloma"], 4, "topics.1"),
        (["topics:", "  1: car-t", "  01: myeloma"], 4, "topics.01"),
        (["topics:", "  1: [car-t,", "      cart]"], 4, "topics.1"),
        (["subjects: {leukemia: x}"], 2, "subjects.leukemia"),
        (["intro_for: {cart: x}"], 2, "intro_for.cart"),
        (["links: https://example.com/"], 2, "links"),
        (['links: {"": "https://example.com/"}'], 2, "links"),
        (["links: {Act: javascript:alert(1)}"], 2, "links.Act"),
        (["links: {Act: 'https://a@b.example/'}"], 2, "links.Act"),
        (["links:", "  Act:"], 3, "links.Act"),
        (["subject: &a x", "preheader: *a"], 2, "front matter"),
        (["subject: !!python/name:os.system x"], 2, "front matter"),
        (["<<: {subject: x}"], 2, "<<"),
        (["? [a, b]", ": x"], 2, "front matter"),
        (["topics: " + "[" * 1000], 2, "front matter"),
        (["subject: " + "{a: " * 1000], 2, "front matter"),
    ],
)
def test_what_is_wrong_is_told_with_line_field_and_cure(lines: list[str], line: int, field: str) -> None:
    error = refused(headed(*lines), topics=TOPICS)
    assert (error.line, error.field) == (line, field)
    assert error.cure


def test_a_bomb_of_aliases_is_refused_before_it_opens() -> None:
    bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"] + [
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "anchors" in refused(headed(*bomb)).message


def test_an_undeclared_topic_is_refused_with_the_nearest() -> None:
    error = refused(headed("topics: {2: cart}"), topics=TOPICS)
    assert error.message == "topic 'cart' is not declared."
    assert error.cure == "Did you mean 'car-t'? Topics are declared in config.toml under [topics]."


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    assert "Did you mean 'subject'?" in (refused(headed("subjekt: x")).cure or "")


def test_a_head_that_is_never_closed_is_one_fault() -> None:
    error = refused("---\nsubject: x\n" + SMALL)
    assert [(problem.line, problem.field) for problem in error.problems] == [(1, "front matter")]


def test_lines_of_the_text_are_counted_from_the_top_of_the_file() -> None:
    document = read(headed("subject: x", "# a comment", "preheader: y"))
    assert document.stories[0].line == 5 + 4


def test_other_line_ends_count_the_same() -> None:
    text = headed("subject: x", "topics:", "  2: cart").replace("\n", "\r\n")
    assert refused(text, topics=TOPICS).line == 4
    assert refused(text.replace("\r\n", "\r"), topics=TOPICS).line == 4


def test_a_line_separator_in_a_value_moves_no_line_number() -> None:
    assert refused(headed("subject: 'a\u2028b'", "topics: {2: cart}"), topics=TOPICS).line == 3


def test_dashes_further_down_are_no_front_matter() -> None:
    document = read(SMALL + "---\nsubject: x\n---\n")
    assert document.front_matter.subject is None
    assert [line.text for line in document.unplaced] == ["---", "subject: x", "---"]
