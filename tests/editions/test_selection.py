"""Which stories somebody gets who chose some topics."""

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.config import Settings
from mailer.editions.content import Selection
from mailer.editions.select import every_selection, most_chosen, select, selections_for, smallest_cover
from mailer.issues.values import Issue
from tests.editions.makers import EVERYONE, issue, site, story, week

SLUGS = ("car-t", "myeloma", "immunology")


def chosen(issue: Issue, *topics: str, settings: Settings | None = None) -> Selection:
    selection = select(issue, frozenset(topics), settings or site())
    assert selection is not None
    return selection


def test_a_choice_gets_its_stories_and_those_for_everyone_in_the_order_of_the_issue() -> None:
    assert chosen(week(), "myeloma").stories == (3, 4, 5, 6)
    assert chosen(week(), "myeloma").topic_stories == (3, 4, 5)
    assert chosen(week(), "immunology", "car-t").stories == (1, 2, 5, 6, 7, 8)


def test_a_story_decided_for_everyone_goes_to_everyone_as_an_undecided_one_does() -> None:
    made = issue([story(1), story(2), story(3)], {1: EVERYONE, 3: ["myeloma"], 2: ["car-t"]})
    assert chosen(made, "myeloma").stories == (1, 3)


def test_all_topics_get_the_full_edition() -> None:
    full = select(week(), None, site())
    assert full == Selection("full", SLUGS, (1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 5, 7, 8), is_full=True)


def test_a_choice_of_topics_that_yields_every_story_is_the_full_selection() -> None:
    assert select(week(), frozenset(SLUGS), site()) == select(week(), None, site())


def test_choices_that_pick_the_same_stories_share_one_selection() -> None:
    made = issue([story(1), story(2), story(3)], {1: ["car-t", "myeloma"], 2: ["myeloma"], 3: ["immunology"]})
    both = selections_for(made, [frozenset({"myeloma"}), frozenset({"myeloma", "car-t"})], site())
    first, second = both.values()
    assert first is second
    assert first is not None
    assert first.topics == ("myeloma",)
    assert first.key == "1-2"


def test_the_topics_of_a_selection_stand_in_the_order_of_the_configuration() -> None:
    made = week()
    assert chosen(made, "immunology", "myeloma").topics == ("myeloma", "immunology")


def test_topics_without_a_story_change_nothing() -> None:
    topics = {"gene": {"name": "Gene"}, "car-t": {"name": "CAR-T"}, "myeloma": {"name": "M"}}
    made = issue([story(1), story(2)], {1: ["car-t"], 2: ["myeloma"]})
    assert chosen(made, "gene", "car-t", "unheard-of", settings=site(topics)).topics == ("car-t",)


def test_somebody_whose_topics_have_nothing_this_week_gets_nothing() -> None:
    made = issue([story(1), story(2)], {1: ["car-t"], 2: EVERYONE})
    assert select(made, frozenset({"myeloma"}), site()) is None
    assert select(made, frozenset(), site()) is None


def test_somebody_whose_topics_have_nothing_gets_the_whole_issue_when_the_site_says_so() -> None:
    made = issue([story(1), story(2)], {1: ["car-t"], 2: EVERYONE})
    settings = site(editions={"when_empty": "full"})
    assert select(made, frozenset({"myeloma"}), settings) == select(made, None, settings)


def test_stories_for_everyone_do_not_count_for_the_minimum() -> None:
    made = issue([story(n) for n in range(1, 6)], {1: ["car-t"], 2: EVERYONE, 3: EVERYONE, 5: ["myeloma"]})
    assert select(made, frozenset({"car-t"}), site(editions={"minimum_topic_stories": 2})) is None
    # even when those and the reader's own story are the whole issue
    whole = issue([story(1), story(2)], {1: ["car-t"], 2: EVERYONE})
    assert select(whole, frozenset({"car-t"}), site(editions={"minimum_topic_stories": 2})) is None


def test_without_a_minimum_stories_for_everyone_are_an_edition() -> None:
    settings = site(editions={"minimum_topic_stories": 0})
    made = issue([story(1), story(2)], {1: ["car-t"], 2: EVERYONE})
    assert chosen(made, "myeloma", settings=settings) == Selection("2", (), (2,), (), is_full=False)
    nothing = issue([story(1), story(2)], {1: ["car-t"], 2: ["car-t"]})
    assert select(nothing, frozenset({"myeloma"}), settings) is None


def test_an_issue_without_any_topic_goes_whole_to_readers_of_everything_only() -> None:
    made = issue([story(1), story(2)], {})
    full = select(made, None, site())
    assert full is not None
    assert (full.stories, full.topic_stories, full.topics) == ((1, 2), (), ())
    assert select(made, frozenset({"car-t"}), site()) is None


def test_every_selection_lists_the_full_one_first_and_each_once() -> None:
    keys = [selection.key for selection in every_selection(week(), site())]
    assert keys == ["full", "1-2-5-6", "3-4-5-6", "6-7-8", "1-2-3-4-5-6", "1-2-5-6-7-8", "3-4-5-6-7-8"]


def many_topics(count: int) -> tuple[Issue, Settings]:
    slugs = [f"topic-{number}" for number in range(count)]
    made = issue(
        [story(number + 1) for number in range(count)],
        {number + 1: [slug, slugs[(number + 1) % count]] for number, slug in enumerate(slugs)},
    )
    return made, site({slug: {"name": slug.title()} for slug in slugs})


def test_of_twelve_topics_every_selection_of_up_to_six_is_listed() -> None:
    slugs = [f"topic-{number}" for number in range(12)]
    made = issue(
        [story(number + 1) for number in range(12)],
        {number + 1: [slug] for number, slug in enumerate(slugs)},
    )
    settings = site({slug: {"name": slug.title()} for slug in slugs})
    found = every_selection(made, settings)
    assert len({selection.key for selection in found}) == len(found) == 1 + 2509
    assert found[0].is_full
    assert [len(selection.topics) for selection in found[1:]] == sorted(
        size for size in range(1, 7) for _ in combinations(slugs, size)
    )


@pytest.mark.parametrize(("used", "most"), [(1, 1), (6, 6), (7, 6), (13, 6), (16, 6), (18, 5), (100, 2)])
def test_every_selection_takes_as_many_topics_together_as_can_be_rendered(used: int, most: int) -> None:
    made, settings = many_topics(used)
    assert most_chosen(made, settings) == most
    assert len(every_selection(made, settings)) <= 16_001


def test_topics_without_a_story_do_not_count_against_every_selection() -> None:
    settings = site({slug: {"name": slug} for slug in (*SLUGS, *"abcdefgh")})
    assert len(every_selection(week(), settings)) == 7


def test_thousands_of_choices_over_fourteen_topics_are_answered_together() -> None:
    made, settings = many_topics(14)
    subsets = [
        frozenset(topics) for size in (1, 2, 3, 4, 13, 14) for topics in combinations(settings.topics, size)
    ]
    answers = selections_for(made, subsets, settings)
    assert len(answers) == len(subsets) > 1400
    for choice in (subsets[0], subsets[500], subsets[-1]):
        assert answers[choice] == select(made, choice, settings)


TAGGED = st.dictionaries(st.integers(1, 9), st.sets(st.sampled_from("abcdef")), min_size=1, max_size=9)
LETTERS = {letter: {"name": letter.upper()} for letter in "abcdef"}


def generated(tagged: dict[int, set[str]]) -> Issue:
    topics = {number: sorted(slugs) for number, slugs in enumerate(tagged.values(), start=1)}
    return issue([story(number) for number in topics], topics)


@given(TAGGED, st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_more_topics_never_take_a_story_away(
    tagged: dict[int, set[str]], some: set[str], more: set[str]
) -> None:
    made = generated(tagged)
    small = select(made, frozenset(some), site(LETTERS))
    large = select(made, frozenset(some | more), site(LETTERS))
    if small is not None:
        assert large is not None
        assert set(small.stories) <= set(large.stories)


@given(TAGGED, st.sets(st.sampled_from("abcdef")))
def test_a_selection_is_what_its_choice_says(tagged: dict[int, set[str]], choice: set[str]) -> None:
    made = generated(tagged)
    selection = select(made, frozenset(choice), site(LETTERS))
    matching = tuple(number for number, topics in made.topics.items() if choice & set(topics.topics))
    if selection is None:
        assert not matching
        return
    expected = tuple(
        n for n, topics in made.topics.items() if choice & set(topics.topics) or not topics.topics
    )
    assert selection.stories == expected
    assert selection.topic_stories == matching
    assert selection.is_full == (len(expected) == len(made.document.stories)) == (selection.key == "full")
    assert select(made, frozenset(selection.topics), site(LETTERS)) == selection


@given(st.lists(st.integers(1, 255), min_size=1, max_size=7), st.data())
def test_a_cover_is_the_smallest_and_of_equal_ones_the_first(masks: list[int], data: st.DataObject) -> None:
    topics = [(chr(97 + place), mask) for place, mask in enumerate(masks)]
    picked = data.draw(st.sets(st.sampled_from(topics), min_size=0))
    wanted = 0
    for _, mask in picked:
        wanted |= mask
    every = chain.from_iterable(combinations(topics, size) for size in range(len(topics) + 1))
    expected = next(found for found in every if _union(found) == wanted)
    assert smallest_cover(wanted, topics) == tuple(slug for slug, _ in expected)


def _union(topics: tuple[tuple[str, int], ...]) -> int:
    union = 0
    for _, mask in topics:
        union |= mask
    return union
