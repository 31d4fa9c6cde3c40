"""Keywords are decided once over the whole issue, and printed where their stories or questions are."""

import pytest

from mailer.editions.compose import compose
from mailer.editions.keywords import keyword_homes
from mailer.editions.select import select
from mailer.issues.document import Story
from mailer.issues.values import Issue
from tests.editions.makers import entry, site, story, week


def found_in(keyword: str, *texts: str) -> set[int]:
    """The numbers of the stories, made of these texts, to which a keyword belongs."""
    stories = tuple(story(number, text, urls=()) for number, text in enumerate(texts, start=1))
    return set(keyword_homes((keyword,), stories, ())[0].stories)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("MRD", "The mrd cohort"),
        ("Sofi-cel", "soficel"),
        ("Sofi-cel", "Sofi cel"),
        ("Sofi-cel", "Sofi\u2011cel"),
        ("Sofi cel", "SOFI-CEL’s"),
        ("CD7 CAR-T", "cd7-car t"),
        ("D-Domain", "(D-Domain)"),
        ("BCMA", "BCMA×CD3"),
        ("BCMA×CD3", "the bcma×cd3 antibody"),
        ("Johnson & Johnson", "Johnson & Johnson sells"),
        ("Sjögren's", "in Sjögren’s"),
        ("DARZALEX", "darzalexr"),
        ("T-ALL", "R/R T-ALL/LBL"),
        ("骨髓瘤", "多发性骨髓瘤患者"),
        ("MM", "MM患者"),
        ("CAR-T", "CAR-T는"),
        ("C++ (new)", "in C++ (new) code"),
    ],
)
def test_a_keyword_is_found_as_whole_words_in_any_spelling(keyword: str, text: str) -> None:
    assert found_in(keyword, "Nothing of it here", text) == {2}


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("MRD", "MRDs"),  # short: no beginnings of words
        ("MRD", "amrd"),
        ("ALL", "totally"),
        ("Darzalex", "xdarzalex"),
        ("T-ALL", "t-allele"),  # four letters
        ("OPN-2853", "OPN-28531"),  # digits are no letters
        ("Sofi-cel", "Sofi/cel"),
        ("IgA", "IgAN"),
    ],
)
def test_parts_of_words_are_not_keywords(keyword: str, text: str) -> None:
    assert found_in(keyword, "Nothing of it here", text) == set()


def test_urls_count_as_text() -> None:
    stories = (
        story(1, "Sales", urls=("https://ir.genmab.com/net-sales-darzalexr_daratumumab-2025",)),
        story(2, "Guidance", urls=("https://example.com/x", "https://example.com/FDA%20Draft-Guidance")),
    )
    homes = keyword_homes(("Genmab", "daratumumab", "FDA draft guidance"), stories, ())
    assert [set(home.stories) for home in homes] == [{1}, {1}, {2}]


def test_a_keyword_does_not_reach_over_two_fields() -> None:
    assert found_in("multiple myeloma") == set()
    made = (story(1, "Multiple", key_point="Myeloma"),)
    assert not keyword_homes(("multiple myeloma",), made, ())[0]


WORDS = (story(1, "Alphamab"), story(2, "Betacel"), story(3, "Betacel and gammalimus"))


def homes(*keywords: str, stories: tuple[Story, ...] = WORDS) -> list[set[int]]:
    return [set(home.stories) for home in keyword_homes(keywords, stories, ())]


def test_an_unmatched_keyword_joins_all_stories_of_its_nearest_matched_neighbour() -> None:
    assert homes("alphamab", "x1", "x2", "betacel") == [{1}, {1}, {2, 3}, {2, 3}]
    assert homes("x1", "x2", "gammalimus") == [{3}, {3}, {3}]


def test_between_two_neighbours_a_keyword_joins_the_one_before() -> None:
    assert homes("alphamab", "x1", "betacel") == [{1}, {1}, {2, 3}]


def test_joined_keywords_are_nobodys_neighbour() -> None:
    assert homes("alphamab", "x1", "x2", "x3", "x4", "gammalimus") == [{1}, {1}, {1}, {3}, {3}, {3}]


def test_a_keyword_that_only_a_question_mentions_is_printed_with_it() -> None:
    questions = (entry(1, "What is deltafen?"), entry(2, "What of alphamab and epsilon?"))
    found = keyword_homes(("deltafen", "alphamab", "x1"), WORDS, questions)
    assert [(set(home.stories), set(home.faq)) for home in found] == [
        (set(), {1}),
        ({1}, {2}),
        ({1}, set()),  # of a neighbour the stories are joined, not the questions
    ]


def printed(issue: Issue, *topics: str) -> tuple[str, ...]:
    selection = select(issue, frozenset(topics) or None, site())
    assert selection is not None
    return compose(issue, selection, site()).keywords


def test_an_edition_prints_the_keywords_of_its_stories_and_questions_in_their_order() -> None:
    stories = (*WORDS, *(story(number) for number in range(4, 9)))
    made = week(
        stories=stories,
        keywords=("gammalimus", "zeta", "alphamab", "deltafen", "betacel"),
        faq=(entry(1, "Deltafen?", 3),),
    )
    assert printed(made, "car-t") == ("alphamab", "betacel")
    assert printed(made, "myeloma") == ("gammalimus", "zeta", "deltafen", "betacel")
    assert printed(made, "immunology") == ()
    assert printed(made) == made.document.keywords


def test_keywords_that_occur_nowhere_are_in_the_full_edition_only() -> None:
    made = week(keywords=("eta", "theta"))
    assert printed(made, "car-t") == ()
    assert printed(made) == ("eta", "theta")


def test_a_keyword_without_letters_or_digits_matches_nothing() -> None:
    assert homes("-", "alphamab") == [{1}, {1}]
