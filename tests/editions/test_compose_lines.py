"""Lines and questions without a number follow the story with which they share the most rare words."""

import pytest

from mailer.editions.affinity import followed_stories
from mailer.editions.compose import compose
from mailer.editions.select import select
from mailer.editions.words import count_words, telling_words
from tests.editions.makers import entry, issue, point, site, story

STORIES = (
    story(1, "Alphamab wins approval in lymphoma", context="The agency reviewed infusion data."),
    story(2, "Betacel enters a pivotal trial", key_point="Children with lymphoma may enrol."),
    story(3, "Gammalimus lowers relapse", implication="Infusion centres should plan."),
    story(4, "A quiet week for biosimilars", context="Prices in lymphoma held."),
)


def follows(text: str) -> set[int] | None:
    followed = followed_stories(text, STORIES)
    return None if followed is None else set(followed)


def test_a_rare_word_decides() -> None:
    assert follows("Gammalimus could change practice") == {3}


def test_a_word_that_fewer_stories_have_weighs_more() -> None:
    # "infusion" is in two stories (1/2 each), "biosimilars" in one
    assert follows("Infusion and biosimilars") == {4}
    assert follows("Infusion, lymphoma and betacel") == {2}


def test_on_a_tie_a_line_follows_all_of_them() -> None:
    assert follows("Alphamab against gammalimus") == {1, 3}
    assert follows("Infusion capacity") == {1, 3}


def test_a_line_that_shares_too_little_is_for_everyone() -> None:
    assert follows("Congress season begins soon") is None
    # three of four stories have the word: it says nothing
    assert follows("Lymphoma remains hard") is None


def test_a_word_of_three_among_many_stories_is_below_the_least_weight() -> None:
    stories = [story(number, "Trial" if number <= 3 else "Other") for number in range(1, 9)]
    assert followed_stories("Trial", stories) is None
    assert set(followed_stories("Trial", stories[1:]) or ()) == {2, 3}


def test_function_words_do_not_count() -> None:
    stories = [story(1, "The agency which would have been there"), story(2, "Nothing")]
    assert followed_stories("Which of these would have been there?", stories) is None


def test_letter_case_possessives_and_hyphens_do_not_matter() -> None:
    stories = [story(1, "Wugen’s SOFI-CEL earns it"), story(2, "Other"), story(3, "Another")]
    assert set(followed_stories("sofi cel by Wugen", stories) or ()) == {1}


def test_an_issue_without_stories_keeps_its_lines_for_everyone() -> None:
    assert followed_stories("Anything at all", []) is None


@pytest.mark.parametrize(
    ("titles", "line", "followed"),
    [
        (("Новая терапия миеломы", "Иммунитет и вакцины"), "Вакцины дешевеют", {2}),
        (("骨髓瘤的新疗法", "免疫球蛋白上市"), "免疫球蛋白的价格", {2}),
        (("علاج جديد للورم", "لقاح المناعة"), "المناعة في خطر", {2}),
        (("다발골수종은 줄었다", "면역글로불린 출시"), "면역글로불린의 가격", {2}),
        (("Neue Therapie für das Myelom", "Impfung gegen Grippe"), "Grippe und das Alter", {2}),
    ],
)
def test_any_language_is_compared(titles: tuple[str, str], line: str, followed: set[int]) -> None:
    stories = [story(number, title) for number, title in enumerate(titles, start=1)]
    assert set(followed_stories(line, stories) or ()) == followed


def test_short_words_tell_something_in_capitals_only() -> None:
    assert telling_words("MM and IG of an R2 is ok, ALL is not all") == {"mm", "ig", "r2", "all"}


def test_numbers_tell_nothing() -> None:
    assert telling_words("In 2026, 351 of 14") == set()


def test_words_are_counted_in_any_script() -> None:
    assert count_words("Two words, and two-more") == 5
    assert count_words("免疫球蛋白") == 3


def test_lines_and_questions_are_in_the_editions_of_the_stories_they_follow() -> None:
    made = issue(
        STORIES,
        {1: ["car-t"], 2: ["myeloma"], 3: ["immunology"], 4: ["immunology"]},
        why_it_matters=(
            point("Alphamab sets the bar"),
            point("Betacel is for children"),
            point("Have a good weekend"),
        ),
        faq=(entry(1, "What is gammalimus?"), entry(2, "How to write to us?", answer=("By mail.",))),
    )
    shown = {}
    for topic in ("car-t", "myeloma", "immunology"):
        selection = select(made, frozenset({topic}), site())
        assert selection is not None
        content = compose(made, selection, site())
        shown[topic] = (len(content.why_it_matters), [asked.number for asked in content.faq])
    assert shown == {"car-t": (2, [2]), "myeloma": (2, [2]), "immunology": (1, [1, 2])}
