"""What `[n]` becomes in an edition: renumbered, never dangling, never an orphan."""

from collections.abc import Sequence

import pytest

from mailer.config import Settings
from mailer.config_tables import HeadingsTable
from mailer.editions.compose import compose, whole
from mailer.editions.content import EditionContent
from mailer.editions.select import select
from mailer.issues.parse import parse
from mailer.issues.values import Issue
from tests.editions.makers import entry, issue, point, site, story, week

CITES_NOTHING = "cites nothing"


def edition(
    issue: Issue, topics: Sequence[str] | None = None, settings: Settings | None = None
) -> EditionContent:
    """The edition of these topics; of all of them when None."""
    settings = settings or site()
    selection = select(issue, None if topics is None else frozenset(topics), settings)
    assert selection is not None
    return compose(issue, selection, settings)


def printed(content: EditionContent) -> dict[int, tuple[int, ...]]:
    return {shown.number: shown.citations for shown in content.stories}


def listed(content: EditionContent) -> list[tuple[int, int]]:
    return [(reference.number, reference.original) for reference in content.references]


def test_numbers_of_a_partial_edition_begin_at_one() -> None:
    content = edition(week(), ["myeloma"])
    assert printed(content) == {3: (1,), 4: (2,), 5: (3,), 6: (4,)}
    assert listed(content) == [(1, 3), (2, 4), (3, 5), (4, 6)]


def test_the_full_edition_of_a_well_formed_issue_keeps_its_numbers() -> None:
    content = edition(week(why_it_matters=(point("A line.", 3),), faq=(entry(1, "Why?", 8),)))
    assert printed(content) == {number: (number,) for number in range(1, 9)}
    assert listed(content) == [(number, number) for number in range(1, 9)]
    assert content.why_it_matters[0].citations == (3,)
    assert content.faq[0].citations == (8,)


def test_numbers_follow_the_first_appearance_in_reading_order() -> None:
    stories = [
        story(1, citations=(4,), key_point="As before [2].", context="See [3]."),
        story(2, citations=(1,)),
    ]
    references = tuple(f"https://example.com/{number}" for number in range(1, 5))
    made = issue(stories, {1: ["car-t"], 2: ["car-t"]}, references=references)
    content = edition(made)
    assert printed(content) == {1: (1,), 2: (4,)}
    assert content.stories[0].key_point == "As before [2]."
    assert content.stories[0].context == "See [3]."
    assert listed(content) == [(1, 4), (2, 2), (3, 3), (4, 1)]


def test_original_numbers_stay_when_the_site_says_so() -> None:
    settings = site(editions={"numbering": "original"})
    made = week(faq=(entry(1, "Why?", 1, 5),), why_it_matters=(point("As shown in [4]."),))
    content = edition(made, ["myeloma"], settings)
    assert printed(content) == {number: (number,) for number in (3, 4, 5, 6)}
    assert listed(content) == [(number, number) for number in (3, 4, 5, 6)]
    assert content.faq[0].citations == (5,)
    assert content.why_it_matters[0].text == "As shown in [4]."


def test_a_question_with_several_numbers_shows_those_of_the_selected_stories_only() -> None:
    made = week(faq=(entry(1, "Why?", 1, 3, 7), entry(2, "How?", 1, 7)))
    content = edition(made, ["myeloma"])
    assert [(asked.number, asked.citations) for asked in content.faq] == [(1, (1,))]
    assert [asked.citations for asked in edition(made).faq] == [(1, 3, 7), (1, 7)]


def test_a_line_with_a_number_follows_its_story_whatever_its_words() -> None:
    stories = (story(1, "Alphamab moves"), *(story(number) for number in range(2, 9)))
    made = week(stories=stories, why_it_matters=(point("Alphamab moves markets", 7),))
    assert edition(made, ["car-t"]).why_it_matters == ()
    assert edition(made, ["immunology"]).why_it_matters[0].citations == (2,)


def test_one_number_may_be_cited_by_two_stories_and_one_story_may_cite_several() -> None:
    stories = [story(1, citations=(1, 3)), story(2, citations=(1,)), story(3, citations=(2,))]
    references = ("https://example.com/a", "https://example.com/b", "https://example.com/c")
    made = issue(stories, {1: ["car-t"], 2: ["myeloma"], 3: ["immunology"]}, references=references)
    assert printed(edition(made, ["myeloma"])) == {2: (1,)}
    assert printed(edition(made, ["car-t"])) == {1: (1, 2)}
    assert listed(edition(made, ["car-t"])) == [(1, 1), (2, 3)]
    assert printed(edition(made)) == {1: (1, 2), 2: (1,), 3: (3,)}


def test_a_number_printed_twice_on_a_line_is_printed_once() -> None:
    made = issue([story(1, citations=(1, 1))], {1: ["car-t"]})
    assert printed(edition(made)) == {1: (1,)}


def test_a_reference_that_nobody_cites_is_in_the_full_edition_only_and_last() -> None:
    references = tuple(f"https://example.com/{number}" for number in range(1, 4))
    made = issue(
        [story(1, citations=(1,)), story(2, citations=(3,))],
        {1: ["car-t"], 2: ["myeloma"]},
        references=references,
    )
    assert listed(edition(made)) == [(1, 1), (2, 3), (3, 2)]
    assert listed(edition(made, ["myeloma"])) == [(1, 3)]


def test_a_number_that_points_to_nothing_is_left_out_with_a_warning() -> None:
    made = week(
        stories=(story(1, citations=(1, 44), context="Beyond [77] doubt."), *(story(n) for n in range(2, 9))),
        faq=(entry(1, "Why?", 99, 1),),
        why_it_matters=(point("A line", 55),),
    )
    content = edition(made, ["car-t"])
    assert content.stories[0].citations == (1,)
    assert content.stories[0].context == "Beyond doubt."
    assert content.faq[0].citations == (1,)
    assert content.why_it_matters[0].citations == ()
    warned = [warning for warning in content.warnings if CITES_NOTHING in warning]
    assert [warning.split(":")[0] for warning in warned] == ["line 10", "line 10", "line 500", "line 601"]
    assert all(f"[{number}]" in warning for number, warning in zip((44, 77, 55, 99), warned, strict=True))


def test_without_references_a_number_cites_the_url_of_the_story_printed_with_it() -> None:
    stories = [
        story(1, citations=(1,)),
        story(2, citations=(4,), urls=("https://example.com/four", "https://example.com/more")),
        story(3, citations=(5,), urls=()),
    ]
    topics = {1: ["car-t"], 2: ["myeloma"], 3: ["immunology"]}
    made = issue(stories, topics, references=(), faq=(entry(1, "Why?", 4, 5, 2),))
    content = edition(made, ["myeloma"])
    assert [(each.number, each.original, each.url) for each in content.references] == [
        (1, 4, "https://example.com/four")
    ]
    assert content.faq[0].citations == (1,)
    # the story without a URL has nothing that its number could cite
    assert printed(edition(made)) == {1: (1,), 2: (2,), 3: ()}


@pytest.mark.parametrize(
    ("urls", "references"),
    [
        ((), ()),  # no list, and no URL of the story's own
        ((), ("https://source1.example.com/1",)),  # the list ends before its number
        (("https://example.com/unlisted",), ("https://source1.example.com/1",)),
    ],
)
def test_a_number_stands_for_the_story_that_prints_it_without_a_source_too(
    urls: tuple[str, ...], references: tuple[str, ...]
) -> None:
    made = issue(
        [story(1, "Alphamab cells"), story(2, "Betacel for plasma", urls=urls)],
        {1: ["car-t"], 2: ["myeloma"]},
        references=references,
        why_it_matters=(point("Clinics with alphamab cells", 2), point("Seen in [2] with alphamab")),
        faq=(
            entry(1, "Alphamab?", 2),
            entry(2, "Both?", 1, 2),
            entry(3, "Cells?", answer=("Alphamab, as [2] says.",)),
        ),
    )
    mine, other = edition(made, ["car-t"]), edition(made, ["myeloma"])
    assert mine.why_it_matters == ()
    assert [(asked.number, asked.citations) for asked in mine.faq] == [(2, (1,))]
    assert [line.text for line in other.why_it_matters] == [
        "Clinics with alphamab cells",
        "Seen in with alphamab",
    ]
    assert [(asked.number, asked.citations) for asked in other.faq] == [(1, ()), (2, ()), (3, ())]
    assert other.faq[2].answer == ("Alphamab, as says.",)
    assert other.references == ()
    assert [asked.citations for asked in edition(made).faq] == [(), (1,), ()]


def test_marks_are_no_text_in_an_issue_whose_stories_have_no_url_at_all() -> None:
    stories = [story(1, urls=()), story(2, urls=(), context="As in [1].")]
    made = issue(stories, {1: ["car-t"], 2: ["myeloma"]}, references=(), faq=(entry(1, "Story?", 1),))
    assert edition(made, ["myeloma"]).stories[0].context == "As in."
    assert edition(made, ["myeloma"]).faq == ()
    assert [asked.number for asked in edition(made, ["car-t"]).faq] == [1]


def test_a_line_of_the_references_without_an_address_counts_and_is_not_printed() -> None:
    made = issue(
        [story(1), story(2)],
        {1: ["car-t"], 2: ["myeloma"]},
        references=("", "https://example.com/two"),
        faq=(entry(1, "Why?", 1), entry(2, "How?", 1, 2)),
    )
    assert printed(edition(made)) == {1: (), 2: (1,)}
    assert listed(edition(made)) == [(1, 2)]
    assert [asked.number for asked in edition(made, ["car-t"]).faq] == [1, 2]
    assert [(asked.number, asked.citations) for asked in edition(made, ["myeloma"]).faq] == [(2, (1,))]


def test_without_references_two_marks_of_a_story_cite_its_two_urls() -> None:
    stories = [
        story(1, citations=(1, 3), urls=("https://example.com/one", "https://example.com/three")),
        story(2, citations=(2,)),
    ]
    made = issue(stories, {1: ["car-t"], 2: ["car-t"]}, references=())
    urls = {each.original: each.url for each in edition(made).references}
    assert urls[1] == "https://example.com/one"
    assert urls[3] == "https://example.com/three"


def test_an_issue_that_cites_nothing_lists_nothing_and_its_brackets_are_text() -> None:
    made = issue([story(1, citations=(), context="Array[1] holds it.")], {1: ["car-t"]}, references=())
    content = edition(made)
    assert content.references == ()
    assert content.stories[0].context == "Array[1] holds it."


def test_a_story_without_marks_is_known_by_the_url_of_its_reference() -> None:
    made = issue(
        [story(1, citations=()), story(2, citations=())],
        {1: ["car-t"], 2: ["myeloma"]},
        faq=(entry(1, "Why?", 2),),
    )
    assert edition(made, ["car-t"]).faq == ()
    content = edition(made, ["myeloma"])
    assert content.faq[0].citations == (1,)
    assert listed(content) == [(1, 2)]


def test_numbers_in_running_text_are_renumbered_with_the_rest() -> None:
    made = week(
        intro=("From [3] to [1].",),
        faq=(entry(1, "What of [4]?", 4, answer=("As shown [4], and in [1] too.", "[1]", "See[3].")),),
        why_it_matters=(point("Sales [4] matter more than [1]"),),
    )
    content = edition(made, ["myeloma"])
    assert content.intro == ("From [1] to.",)
    assert content.faq[0].question == "What of [2]?"
    assert content.faq[0].answer == ("As shown [2], and in too.", "See[1].")
    assert content.why_it_matters[0].text == "Sales [2] matter more than"
    assert printed(content) == {3: (1,), 4: (2,), 5: (3,), 6: (4,)}


def test_a_source_that_a_story_cites_in_its_text_comes_along_without_the_other_story() -> None:
    stories = [story(1, "First"), story(2, "Second", context="After [1].")]
    made = issue(stories, {1: ["car-t"], 2: ["myeloma"]})
    content = edition(made, ["myeloma"])
    assert content.stories[0].context == "After [2]."
    assert [(each.original, each.title) for each in content.references] == [(2, "Second"), (1, None)]


def test_a_source_of_no_story_stays_in_the_full_edition() -> None:
    references = ("https://example.com/1", "https://example.com/2", "https://example.com/extra")
    made = issue(
        [story(1), story(2)],
        {1: ["car-t"], 2: ["myeloma"]},
        references=references,
        faq=(entry(1, "Why?", 2, 3),),
    )
    assert listed(edition(made, ["car-t"])) == [(1, 1)]
    assert edition(made, ["myeloma"]).faq[0].citations == (1,)
    assert edition(made).faq[0].citations == (2, 3)
    assert listed(edition(made, ["myeloma"])) == [(1, 2)]


@pytest.mark.parametrize("text", ["[[1]]", "[01]", "[2026]", "[177Lu]Lu-PSMA", "[a]", "[1, 2]", "[ 1 ]"])
def test_other_brackets_are_text(text: str) -> None:
    made = week(stories=(story(1, text, context=text), *(story(number) for number in range(2, 9))))
    shown = edition(made, ["car-t"]).stories[0]
    assert (shown.title, shown.context) == (text, text)


def test_a_title_is_text_whatever_stands_in_it() -> None:
    made = week(stories=(story(1), story(2, "Part [1] of the trial [4]"), *(story(n) for n in range(3, 9))))
    assert edition(made, ["car-t"]).stories[1].title == "Part [1] of the trial [4]"


def test_references_carry_the_title_of_their_story_and_its_host() -> None:
    made = issue([story(1, "Good news", urls=("https://www.example.org/a",))], {1: ["car-t"]})
    reference = edition(made).references[0]
    assert (reference.title, reference.host) == ("Good news", "example.org")


def test_a_line_that_was_nothing_but_a_number_goes_with_it() -> None:
    made = week(why_it_matters=(point("[88]"), point("Words.")))
    assert [line.text for line in edition(made).why_it_matters] == ["Words."]


def test_the_import_and_the_edition_warn_of_the_same_numbers_on_the_same_lines() -> None:
    text = (
        "An intro [90].\nA title [1][91]\nhttps://example.com/one\nKey point: New [92].\n"
        "Why it matters\n- A line [93] of it. [94]\nFAQ\nWhy [95]? [96]\nBecause [97].\n"
        "References\nhttps://example.com/one\n"
    )
    document = parse(text.encode(), file="issue.txt", headings=HeadingsTable())
    imported = [(w.line, str(w).split("]")[0][1:]) for w in document.warnings if CITES_NOTHING in str(w)]
    first_six = [(1, "90"), (2, "91"), (4, "92"), (6, "94"), (6, "93"), (8, "96")]
    assert imported == [*first_six, (8, "95"), (9, "97")]
    made = Issue("week", "weekly", 1, None, None, "", document, {})
    warned = [warning for warning in whole(made, site()).warnings if CITES_NOTHING in warning]
    assert [warning.partition("]")[0] for warning in warned] == [f"line {n}: [{of}" for n, of in imported]


@pytest.mark.parametrize(
    ("topics", "answer"),
    [
        (["car-t"], "Yes, see [1] and [2]."),
        (["myeloma"], "Yes, see [1]."),
        (["car-t", "myeloma"], "Yes, see [1], [2] and [3]."),
        (None, "Yes, see [1], [2] and [3] and [5]."),
    ],
)
def test_numbers_that_go_take_what_joined_them_along(topics: list[str] | None, answer: str) -> None:
    stories = [story(1), story(2), story(3), story(4)]
    topics_of = {1: ["car-t"], 2: ["car-t"], 3: ["myeloma"], 4: ["immunology"]}
    references = tuple(f"https://source{number}.example.com/{number}" for number in (1, 2, 3, 9, 4))
    said = ("Yes, see [1], [2] and [3] and [4].",)
    stories[3] = story(4, citations=(5,))
    made = issue(stories, topics_of, faq=(entry(1, "Is it so?", answer=said),), references=references)
    assert edition(made, topics).faq[0].answer == (answer,)


def test_a_question_of_shown_stories_shows_no_source_of_none() -> None:
    references = (
        *(f"https://source{number}.example.com/{number}" for number in (1, 2)),
        "https://example.org/",
    )
    faq = (entry(1, "Is it so?", 1, 2, 3), entry(2, "Who says so?", 3))
    made = issue([story(1), story(2)], {1: ["car-t"], 2: ["myeloma"]}, faq=faq, references=references)
    content = edition(made, ["myeloma"])
    assert [shown.citations for shown in content.faq] == [(1,), (2,)]
    assert listed(content) == [(1, 2), (2, 3)]
    assert [shown.citations for shown in edition(made).faq] == [(1, 2, 3), (3,)]


def test_empty_brackets_do_not_stay_behind() -> None:
    faq = (entry(1, "Is it so?", 1, answer=("It is ([2]), and more (see [1][2]) so.",)),)
    made = issue([story(1), story(2)], {1: ["car-t"], 2: ["myeloma"]}, faq=faq)
    assert edition(made, ["car-t"]).faq[0].answer == ("It is, and more (see [1]) so.",)
