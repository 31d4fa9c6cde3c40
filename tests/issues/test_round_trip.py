"""What was pasted comes back byte for byte, and an edit touches its own lines only."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.issues.document import IssueDocument
from mailer.issues.edit import field_lines, with_field
from mailer.issues.layout import Path
from mailer.issues.serialize import serialize
from mailer.issues.source import decode
from subscribers.errors import NewsletterError
from tests.issues.reading import HEADINGS, SMALL, read, small
from tests.issues.strategies import TEXT, sources

ONE, TWO, MORE = "https://example.com/one", "https://example.com/two", "https://example.com/more"

# Lines of every kind in any order: what the parser has no place for must come back, too.
FRAGMENTS = st.sampled_from(
    [
        *SMALL.splitlines(),
        *(
            "",
            "   ",
            "\t",
            "stray words",
            "Key point:",
            "Key point : again",
            "## Unknown",
            "FAQ:",
            "• a point [1]",
        ),
        *(
            "https://example.com/x https://example.com/y",
            "🧪 no end",
            "**🧪 All bold [1] [US • 3 Mar 2026]**",
            "🧪 **Title bold** [2]",
            "one, two, three",
            "*",
            "-",
            "[1]",
            "[US • 21 Jan 2026]",
            "---",
        ),
        *(
            "**Context:** bold",
            "**Key point: all bold**",
            "Keywords: a; b ;; c.",
            "a;;",
            "; x ;",
            "? [1]",
            "\u200fשלום [3]",
        ),
        *(
            "Title [1]\u200f [US • 2 Feb 2026]\u200f",
            "1. https://example.com/n",
            "\u2028 odd \u0085"[:-1],
            "\ufeffx [2]",
        ),
        *(
            "##FAQ",
            "Why it matters?",
            "**Why? [1]**",
            "- __Why?__ [2]",
            "Reference:",
            "Sources: https://example.com/s, [2] https://example.com/t;",
            "Source: https://example.com/u",
            "Words, https://example.com/v (2026)",
            "- Words alone",
            "- Words, https://example.com/w.",
            "a; https://example.com/z; b",
            "Partners:",
        ),
    ]
)


@given(sources())
@settings(max_examples=150, deadline=None)
def test_every_accepted_issue_comes_back_byte_for_byte(source: bytes) -> None:
    document = read(source)
    assert serialize(document) == source
    for at, story in enumerate(document.stories):
        assert field_lines(document, ("stories", at, "title")) == [story.line]


@given(st.lists(st.tuples(FRAGMENTS, st.sampled_from(["\n", "\r\n", "\r"])), max_size=25), st.booleans())
@settings(max_examples=200, deadline=None)
def test_lines_in_any_order_come_back_byte_for_byte(lines: list[tuple[str, str]], closed: bool) -> None:
    text = "".join(line + end for line, end in lines) + "A story [1]" + ("\n" if closed else "")
    try:
        document = read(text)
    except NewsletterError:
        return  # a refused issue has no document to print
    assert serialize(document) == text.encode()


@pytest.mark.parametrize(
    ("text", "path", "value", "changed"),
    [
        (
            small("References\n- ", "References: "),
            ("references",),
            (ONE, TWO, MORE),
            small("References\n- ", "References: ") + f"- {MORE}\n",
        ),
        (
            small(f"References\n- {ONE}\n- {TWO}\n", f"References: {ONE}, {TWO}\n"),
            ("references", 1),
            MORE,
            small(f"References\n- {ONE}\n- {TWO}\n", f"References: {ONE}, {MORE}\n"),
        ),
        (
            small(f"References\n- {ONE}\n- {TWO}\n", f"References: {ONE}\n"),
            ("references",),
            (ONE, MORE),
            small(f"References\n- {ONE}\n- {TWO}\n", f"References: {ONE}\n{MORE}\n"),
        ),
        (
            small(f"- {ONE}", f"- Example ({ONE})."),
            ("references", 0),
            MORE,
            small(f"- {ONE}", f"- Example ({MORE})."),
        ),
        (
            small(f"- {ONE}", "- Example, in print"),
            ("references",),
            ("", TWO, MORE),
            small(f"- {ONE}", "- Example, in print") + f"- {MORE}\n",
        ),
        (
            small("Why the first? [1]", "**Why the first? [1]**"),
            ("faq", 0, "citations"),
            (2,),
            small("Why the first? [1]", "**Why the first? [2]**"),
        ),
        (
            small("[US • 21 Jan 2026]", "[US: 21 Jan 2026]"),
            ("stories", 0, "region"),
            "Brazil",
            small("[US • 21 Jan 2026]", "[Brazil: 21 Jan 2026]"),
        ),
    ],
)
def test_an_edit_keeps_the_editors_way_of_typing(text: str, path: Path, value: Any, changed: str) -> None:
    assert serialize(read(text)).decode() == text
    assert serialize(with_field(read(text), path, value, headings=HEADINGS)).decode() == changed


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_under_a_story_comes_back(text: str) -> None:
    source = f"A story [1]\n{text}\nFAQ\n{text}\nKeywords\n{text}\n".encode()
    try:
        document = read(source)
    except NewsletterError:
        return
    assert serialize(document) == source


def fields_of(document: IssueDocument) -> list[Path]:
    """Every field that an issue has a value for, as a path."""
    found: list[Path] = [("keywords",)] if document.keywords else []
    found += [("keywords", at) for at in range(len(document.keywords))]
    found += [("intro", at) for at in range(len(document.intro))]
    found += [("references", at) for at in range(len(document.references))]
    found += [("dive_deeper", at) for at in range(len(document.dive_deeper))]
    for at, story in enumerate(document.stories):
        found += [("stories", at, name) for name in ("emoji", "title", "citations")]
        found += [("stories", at, name) for name in ("region", "date_text", "date") if story.region]
        found += [
            ("stories", at, name) for name in ("context", "key_point", "implication") if getattr(story, name)
        ]
        found += [("stories", at, "urls", index) for index in range(len(story.urls))]
    for at, _ in enumerate(document.why_it_matters):
        found += [("why_it_matters", at, "text"), ("why_it_matters", at, "citations")]
    for at, _ in enumerate(document.calls_to_action):
        found += [("calls_to_action", at, "text"), ("calls_to_action", at, "emoji")]
    for at, entry in enumerate(document.faq):
        found += [("faq", at, "question"), ("faq", at, "citations")]
        found += [("faq", at, "answer", index) for index in range(len(entry.answer))]
    front = document.front_matter
    found += [("front_matter", name) for name in VALUES if name in front.__slots__ and getattr(front, name)]
    return found


VALUES: dict[str, Any] = {
    "emoji": "🦠",
    "citations": (2, 1),
    "region": "Brazil",
    "date_text": "1 Feb 2026",
    "urls": "https://new.example.org/page",
    "references": "https://new.example.org/page",
    "keywords": "one new keyword",
    "dive_deeper": "DIVE DEEPER",
    "subject": "A “new” subject: 100% #1",
    "preheader": "New \u2028 preheader",
    "slug": "new-slug",
    "kind": "digest",
    "subject_story": 1,
    "topics": {1: (), 2: ("immunology", "car-t")},
    "links": {"Act: now": "https://new.example.org/?a=b"},
    "subjects": {"car-t": "For them"},
    "intro_for": {"car-t": "A paragraph"},
}


def new_value(path: Path, text: str, document: IssueDocument) -> Any:
    name = next(step for step in reversed(path) if isinstance(step, str))
    if path == ("keywords",):
        return (*document.keywords, "added")
    if name == "date":
        from datetime import date

        return date(2026, 2, 1)
    if name == "topics" and len(document.stories) == 1:
        return {1: ("immunology",)}
    if name == "question":
        return text + "?"
    return VALUES.get(name, text)


def physical_lines(document: IssueDocument) -> list[str]:
    text, _, _ = decode(serialize(document), file="issue.txt")
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_field_changes_only_its_own_lines(data: st.DataObject) -> None:
    document = read(data.draw(sources()))
    path = data.draw(st.sampled_from(fields_of(document)))
    value = new_value(path, data.draw(TEXT), document)
    changed = with_field(document, path, value, headings=HEADINGS)
    before, after = physical_lines(document), physical_lines(changed)
    own = field_lines(document, path)
    assert own
    assert before[: own[0] - 1] == after[: own[0] - 1]
    assert before[own[-1] :] == after[len(after) - (len(before) - own[-1]) :]
    assert serialize(changed) != serialize(document) or value_equal(document, changed)


def value_equal(one: IssueDocument, other: IssueDocument) -> bool:
    return replace(one, layout=other.layout) == other


@pytest.mark.parametrize("path", fields_of(read(SMALL)), ids=str)
def test_every_field_of_an_issue_can_be_changed(path: Path) -> None:
    document = read(SMALL)
    changed = with_field(document, path, new_value(path, "New words", document), headings=HEADINGS)
    own = field_lines(document, path)
    pairs = zip(SMALL.split("\n"), physical_text(changed), strict=True)
    differing = [at for at, (old, new) in enumerate(pairs, 1) if old != new]
    assert differing
    assert set(differing) <= set(own)


def physical_text(document: IssueDocument) -> list[str]:
    return serialize(document).decode().split("\n")


@pytest.mark.parametrize(
    ("path", "value", "line", "text"),
    [
        (("stories", 1, "context"), "Added", 11, "Context: Added"),
        (("stories", 1, "implication"), "Added", 12, "Implication: Added"),
        (
            ("stories", 0, "urls"),
            (ONE, MORE),
            6,
            MORE,
        ),
        (("faq", 0, "answer"), ("Because.", "And also."), 19, "And also."),
        (
            ("references",),
            (ONE, TWO, MORE),
            24,
            f"- {MORE}",
        ),
        (("intro",), ("An opening line.", "A second one."), 2, "A second one."),
    ],
)
def test_a_field_that_was_absent_gets_a_line_of_its_own(path: Path, value: Any, line: int, text: str) -> None:
    changed = with_field(read(SMALL), path, value, headings=HEADINGS)
    lines = physical_text(changed)
    assert lines[line - 1] == text
    assert lines[: line - 1] + lines[line:] == SMALL.split("\n")


@pytest.mark.parametrize(
    ("path", "value", "gone"),
    [
        (("stories", 0, "context"), None, [6]),
        (("stories", 0, "urls"), (), [5]),
        (("references",), (ONE,), [23]),
        (("intro",), (), [1]),
        (("dive_deeper",), (), [3]),
    ],
)
def test_a_field_that_is_taken_away_takes_its_line_along(path: Path, value: Any, gone: list[int]) -> None:
    changed = with_field(read(SMALL), path, value, headings=HEADINGS)
    kept = [line for at, line in enumerate(SMALL.split("\n"), 1) if at not in gone]
    assert physical_text(changed) == kept


@pytest.mark.parametrize("name", ["emoji", "citations", "region", "date_text"])
def test_marks_of_a_title_can_be_taken_away_and_put_back(name: str) -> None:
    document = read(SMALL)
    empty: Any = {"emoji": "", "citations": ()}.get(name)
    value = getattr(document.stories[0], name)
    without = with_field(document, ("stories", 0, name), empty, headings=HEADINGS)
    assert getattr(without.stories[0], name) == empty
    assert (
        getattr(with_field(without, ("stories", 0, name), value, headings=HEADINGS).stories[0], name) == value
    )


def test_front_matter_grows_a_head_a_key_and_loses_it_again() -> None:
    document = read(SMALL)
    headed = with_field(document, ("front_matter", "subject"), "New: subject", headings=HEADINGS)
    assert serialize(headed).decode() == '---\nsubject: "New: subject"\n---\n' + SMALL
    decided = with_field(
        headed, ("front_matter", "topics"), {1: ("car-t", "myeloma"), 2: ()}, headings=HEADINGS
    )
    assert physical_text(decided)[2] == "topics: {1: [car-t, myeloma], 2: everyone}"
    assert serialize(with_field(decided, ("front_matter", "topics"), {}, headings=HEADINGS)) == serialize(
        headed
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("stories", 0, "title"), "A title\nof two lines"),
        (("stories", 0, "title"), "Ends in a number [7]"),
        (("stories", 0, "title"), " spaces "),
        (("stories", 0, "citations"), (0,)),
        (("stories", 0, "context"), "x\nKey point: smuggled"),
        (("intro", 0), "FAQ"),
        (("stories", 0, "region"), "US • EU]"),
        (("stories", 0, "title"), "\ud800"),
        (("keywords", 0), "one; two"),
        (("stories", 0, "urls", 0), "javascript:alert(1)"),
        (("stories", 0, "number"), 5),
        (("stories", 0, "line"), 5),
    ],
)
def test_a_value_that_the_text_cannot_say_is_refused(path: Path, value: Any) -> None:
    with pytest.raises(NewsletterError):
        with_field(read(SMALL), path, value, headings=HEADINGS)


def test_values_are_printed_and_not_remembered_bytes() -> None:
    document = read(SMALL)
    first, second = document.stories
    changed = replace(document, stories=(replace(first, title="Changed", citations=(2, 1)), second))
    assert serialize(changed).decode() == SMALL.replace("First title [1]", "Changed [2][1]")
    shorter = replace(document, stories=(first,))
    assert serialize(shorter).decode() == SMALL.replace("".join(SMALL.splitlines(True)[8:11]), "")


def test_a_part_that_was_never_typed_cannot_be_printed() -> None:
    document = read(SMALL)
    with pytest.raises(NewsletterError, match="without lines"):
        serialize(replace(document, stories=document.stories * 2))


def test_an_edit_keeps_the_ids_of_the_stories() -> None:
    document = read(SMALL)
    changed = with_field(document, ("stories", 0, "title"), "Another title", headings=HEADINGS)
    assert [story.id for story in changed.stories] == [story.id for story in document.stories]
