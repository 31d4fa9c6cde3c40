"""What holds for every edition of every issue, whatever its stories, numbers and topics."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.config import Settings, load_settings
from mailer.editions.compose import compose
from mailer.editions.content import EditionContent
from mailer.editions.select import every_selection, select
from mailer.issues.citations import sources_of
from mailer.issues.parse import parse
from mailer.issues.topics import tag
from mailer.issues.values import Issue
from tests.conftest import ROOT, SHARED
from tests.editions.makers import EVERYONE, entry, issue, point, site, story, week

SLUGS = ("car-t", "myeloma", "immunology")
SITE = site()
ORIGINAL = site(editions={"numbering": "original"})
WORDS = ("alphamab", "betacel", "gammalimus", "deltafen", "lymphoma", "trial", "the", "cost")

NUMBER = st.integers(1, 9)
MARKS = st.lists(NUMBER, max_size=3).map(tuple)
TEXT = st.lists(st.one_of(st.sampled_from(WORDS), NUMBER.map("[{}]".format)), max_size=6).map(" ".join)


@st.composite
def issues(draw: st.DrawFn) -> Issue:
    """Issues that cite, with and without a list, in marks and texts, to something and to nothing."""
    stories = [
        story(
            number,
            draw(st.sampled_from(WORDS)),
            citations=draw(MARKS),
            urls=tuple(f"https://s{number}.example.com/{place}" for place in range(draw(st.integers(0, 2)))),
            key_point=draw(TEXT) or None,
            context=draw(TEXT) or None,
        )
        for number in range(1, draw(st.integers(1, 6)) + 1)
    ]
    tagged = {
        each.number: draw(st.one_of(st.just(EVERYONE), st.lists(st.sampled_from(SLUGS), unique=True)))
        for each in stories
    }
    return issue(
        stories,
        tagged,
        intro=tuple(draw(st.lists(TEXT.filter(bool), max_size=1))),
        why_it_matters=tuple(
            point(f"{draw(st.sampled_from(WORDS))} {draw(TEXT)}", *draw(MARKS))
            for _ in range(draw(st.integers(0, 3)))
        ),
        faq=tuple(
            entry(number, draw(TEXT), *draw(MARKS), answer=(draw(TEXT),))
            for number in range(1, draw(st.integers(0, 3)) + 1)
        ),
        keywords=tuple(draw(st.lists(st.sampled_from(WORDS), max_size=5))),
        references=tuple(f"https://r.example.com/{n}" for n in range(1, draw(st.integers(0, 7)) + 1)),
    )


def editions(issue: Issue, site: Settings = SITE) -> list[EditionContent]:
    return [compose(issue, selection, site) for selection in every_selection(issue, site)]


def marks(content: EditionContent) -> set[int]:
    """Every number that an edition prints as a mark, in titles, lines and questions."""
    return set(marks_in_order(content))


def marks_in_order(content: EditionContent) -> list[int]:
    printed = [shown.citations for shown in content.stories]
    printed += [line.citations for line in content.why_it_matters]
    printed += [asked.citations for asked in content.faq]
    return [number for citations in printed for number in citations]


def texts(content: EditionContent) -> Iterable[str]:
    yield from content.intro
    for shown in content.stories:
        yield from (text for text in (shown.key_point, shown.context, shown.implication) if text)
    yield from (line.text for line in content.why_it_matters)
    for asked in content.faq:
        yield from (asked.question, *asked.answer)


def in_texts(content: EditionContent) -> set[int]:
    found = (part.partition("]")[0] for text in texts(content) for part in text.split("[")[1:])
    return {int(number) for number in found if number.isdigit()}


@given(issues())
def test_no_number_dangles_and_none_is_an_orphan(issue: Issue) -> None:
    cites = sources_of(issue.document).has_numbers
    for content in editions(issue):
        cited = marks(content) | (in_texts(content) if cites else set())
        numbers = [reference.number for reference in content.references]
        assert numbers == list(range(1, len(numbers) + 1))
        assert cited <= set(numbers)
        if not content.selection.is_full:
            assert cited == set(numbers)


@given(issues())
def test_a_line_with_the_number_of_a_story_is_in_the_editions_of_that_story_only(issue: Issue) -> None:
    printed: dict[int, set[int]] = {}
    for each in issue.document.stories:
        for number in each.citations:
            printed.setdefault(number, set()).add(each.number)
    for content in editions(issue):
        shown = {asked.number for asked in content.faq}
        for asked in issue.document.faq:
            if asked.citations and set(asked.citations) <= printed.keys():
                owners = {owner for number in asked.citations for owner in printed[number]}
                is_kept = content.selection.is_full or bool(owners & set(content.selection.stories))
                assert (asked.number in shown) is is_kept


@given(issues())
def test_every_number_still_cites_what_it_cited(issue: Issue) -> None:
    urls = sources_of(issue.document).urls
    marked = {each.number: each.citations for each in issue.document.stories}
    for content in editions(issue):
        cites = {reference.number: reference.url for reference in content.references}
        assert {reference.url for reference in content.references} <= set(urls.values())
        assert all(urls[reference.original] == reference.url for reference in content.references)
        for shown in content.stories:
            meant = {urls[number] for number in marked[shown.number] if number in urls}
            assert {cites[number] for number in shown.citations} == meant


@given(issues())
def test_original_numbers_are_the_issues_own(issue: Issue) -> None:
    for content, renumbered in zip(editions(issue, ORIGINAL), editions(issue), strict=True):
        assert all(reference.number == reference.original for reference in content.references)
        assert {r.original for r in content.references} == {r.original for r in renumbered.references}


@given(issues())
def test_marks_first_appear_in_ascending_order(issue: Issue) -> None:
    for content in editions(issue):
        if in_texts(content):
            continue
        first = list(dict.fromkeys(marks_in_order(content)))
        assert first == list(range(1, len(first) + 1))


@given(issues())
def test_everything_keeps_the_order_of_the_issue(issue: Issue) -> None:
    document = issue.document
    for content in editions(issue):
        numbers = [shown.number for shown in content.stories]
        assert numbers == sorted(numbers) == list(content.selection.stories)
        asked = [each.number for each in content.faq]
        assert asked == sorted(asked)
        left = iter(document.keywords)
        assert all(keyword in left for keyword in content.keywords)


@given(issues())
def test_the_full_edition_has_everything(issue: Issue) -> None:
    selection = select(issue, None, SITE)
    assert selection is not None
    content = compose(issue, selection, SITE)
    document = issue.document
    assert len(content.stories) == len(document.stories)
    assert len(content.why_it_matters) == len(document.why_it_matters)
    assert [each.number for each in content.faq] == [each.number for each in document.faq]
    assert content.keywords == document.keywords
    assert {reference.original for reference in content.references} == set(sources_of(document).urls)


@given(issues(), st.sets(st.sampled_from(SLUGS)), st.sets(st.sampled_from(SLUGS)))
def test_more_topics_never_take_a_line_away(issue: Issue, some: set[str], more: set[str]) -> None:
    small, large = (select(issue, frozenset(topics), SITE) for topics in (some, some | more))
    if small is None:
        return
    assert large is not None
    less, rest = compose(issue, small, SITE), compose(issue, large, SITE)
    assert {shown.number for shown in less.stories} <= {shown.number for shown in rest.stories}
    assert {asked.number for asked in less.faq} <= {asked.number for asked in rest.faq}
    assert len(less.why_it_matters) <= len(rest.why_it_matters)
    assert set(less.keywords) <= set(rest.keywords)
    assert {r.original for r in less.references} <= {r.original for r in rest.references}


@given(issues())
def test_a_question_follows_its_stories_into_every_larger_edition(issue: Issue) -> None:
    contents = editions(issue)
    for content in contents:
        own = {asked.number for asked in content.faq}
        for other in contents:
            if set(content.selection.stories) <= set(other.selection.stories):
                assert own <= {asked.number for asked in other.faq}


@given(issues())
@settings(max_examples=30)
def test_the_same_issue_gives_the_same_editions(issue: Issue) -> None:
    assert editions(issue) == editions(issue)


@given(st.integers(1, 12), st.integers(0, 3))
def test_the_full_edition_of_a_well_formed_issue_changes_no_number(count: int, extra: int) -> None:
    made = issue(
        [story(number) for number in range(1, count + 1)],
        {1: ["car-t"]},
        references=tuple(f"https://r.example.com/{number}" for number in range(1, count + extra + 1)),
    )
    selection = select(made, None, SITE)
    assert selection is not None
    content = compose(made, selection, SITE)
    assert [shown.citations for shown in content.stories] == [(n,) for n in range(1, count + 1)]
    assert all(reference.number == reference.original for reference in content.references)


def test_every_subset_of_twelve_topics_can_be_composed() -> None:
    slugs = [f"topic-{number}" for number in range(12)]
    many = site({slug: {"name": slug.title()} for slug in slugs})
    made = issue([story(number + 1) for number in range(12)], {n + 1: [slug] for n, slug in enumerate(slugs)})
    for size in (1, 2, 11, 12):
        for topics in combinations(slugs, size):
            selection = select(made, frozenset(topics), many)
            assert selection is not None
            content = compose(made, selection, many)
            assert len(content.stories) == len(content.references) == size
            assert content.selection.is_full == (size == 12)


# Whole issues, read by the parser.

EXAMPLES = sorted((ROOT / "examples").glob("*.md"))
SAMPLE = SHARED / "sample" / "hematology-weekly.txt"
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_file(), reason="the shared sample is not beside this checkout"
)


def read(path: Path) -> tuple[Issue, Settings]:
    shipped = load_settings(ROOT / "config.toml")
    document = parse(path.read_bytes(), file=path.name, headings=shipped.headings)
    return Issue("read", "weekly", 1, None, None, "", document, tag(document, shipped.topics)), shipped


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_issues_make_sound_editions(path: Path) -> None:
    made, shipped = read(path)
    contents = editions(made, shipped)
    assert contents[0].selection.is_full
    assert len(contents) > 1
    for content in contents:
        assert [r.number for r in content.references] == list(range(1, len(content.references) + 1))
        assert marks(content) <= {reference.number for reference in content.references}
        assert content.subject
        assert content.preheader
        assert not any("cites nothing" in warning for warning in content.warnings)


@needs_sample
def test_the_sample_gives_each_topic_its_stories_questions_and_lines() -> None:
    made, shipped = read(SAMPLE)
    by_key = {content.selection.key: content for content in editions(made, shipped)}
    shown = {
        key: (
            [asked.number for asked in content.faq],
            [made.document.why_it_matters.index(p) + 1 for p in made.document.why_it_matters
             if p.text in {line.text for line in content.why_it_matters}],
        )
        for key, content in by_key.items()
    }  # fmt: skip
    assert shown["1-2-5-6"] == ([1, 2, 5, 6], [1, 4])
    assert shown["3-4-5-6"] == ([3, 4, 5, 6], [2, 3, 4])
    assert shown["6-7-8"] == ([6], [5])
    assert shown["full"] == ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5])
    assert len(by_key) == 7


@needs_sample
def test_the_samples_keywords_follow_their_stories() -> None:
    made, shipped = read(SAMPLE)
    by_key = {content.selection.key: content for content in editions(made, shipped)}
    everyones = ("Opna Bio", "OPN-2853", "zavabresib", "BET inhibitor", "myelofibrosis")
    assert by_key["6-7-8"].keywords == (
        "BCMA", *everyones, "Ouro Medicines", "gamgertamig", "OM336", "BCMA×CD3", "AIHA", "ITP", "Takeda",
        "GAMMAGARD LIQUID ERC", "low-IgA IG", "primary immunodeficiency",
    )  # fmt: skip
    car_t = set(by_key["1-2-5-6"].keywords)
    assert {"Soficabtagene geleucel", "T-LBL", "CHLA", "anitocabtagene autoleucel", *everyones} <= car_t
    assert not {"Genmab", "DARZALEX", "Johnson & Johnson", "AIHA", "BCMA"} & car_t
    assert len(by_key["full"].keywords) == 39


def test_the_week_of_the_tests_has_the_samples_seven_editions() -> None:
    assert len(editions(week())) == 7
