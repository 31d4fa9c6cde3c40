"""Subject, preheader, headline and opening words: the editor's where they fit, else from the stories."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.config import Settings
from mailer.editions.compose import compose
from mailer.editions.content import EditionContent
from mailer.editions.select import select
from mailer.editions.subjects import DERIVED_MAX_CHARACTERS, cut, one_line
from mailer.issues.document import FrontMatter
from mailer.issues.values import Issue, StoryTopics
from tests.editions.makers import EVERYONE, issue, site, story, week


def edition(issue: Issue, *topics: str, settings: Settings | None = None) -> EditionContent:
    settings = settings or site()
    selection = select(issue, frozenset(topics) or None, settings)
    assert selection is not None
    return compose(issue, selection, settings)


def headed(**front_matter: Any) -> Issue:
    return week(front_matter=FrontMatter(**front_matter))


def subjects(issue: Issue) -> dict[str, str]:
    choices = [(), ("car-t",), ("myeloma",), ("immunology",), ("car-t", "myeloma"), ("myeloma", "immunology")]
    return {"+".join(choice): edition(issue, *choice).subject for choice in choices}


def test_the_editors_subject_is_used_where_the_first_story_is() -> None:
    assert subjects(headed(subject="Big news")) == {
        "": "Big news",
        "car-t": "Big news",
        "myeloma": "Story number 3",
        "immunology": "Story number 7",
        "car-t+myeloma": "Big news",
        "myeloma+immunology": "Story number 3",
    }


def test_the_editors_subject_may_be_about_another_story() -> None:
    assert subjects(headed(subject="Sequencing", subject_story=5)) == {
        "": "Sequencing",
        "car-t": "Sequencing",
        "myeloma": "Sequencing",
        "immunology": "Story number 7",
        "car-t+myeloma": "Sequencing",
        "myeloma+immunology": "Sequencing",
    }


def test_a_subject_about_a_story_for_everyone_is_in_every_edition() -> None:
    assert set(subjects(headed(subject="An orphan", subject_story=6)).values()) == {"An orphan"}


def test_a_topics_subject_goes_before_the_issues_in_its_edition() -> None:
    made = headed(subject="Big news", subjects={"car-t": "Cells", "immunology": "Immune"})
    assert subjects(made) == {
        "": "Big news",
        "car-t": "Cells",
        "myeloma": "Story number 3",
        "immunology": "Immune",
        "car-t+myeloma": "Cells",
        "myeloma+immunology": "Immune",
    }


def test_of_several_topics_subjects_that_of_the_first_matching_story_wins() -> None:
    made = headed(subject="Big news", subject_story=8, subjects={"myeloma": "Plasma", "immunology": "Immune"})
    assert edition(made, "myeloma", "immunology").subject == "Plasma"
    # the lead story's topic has no subject of its own: the issue's goes before another topic's
    assert edition(made, "car-t", "immunology").subject == "Big news"
    assert edition(headed(subjects={"myeloma": "Plasma"}), "car-t", "myeloma").subject == "Plasma"


def test_the_full_edition_without_a_subject_takes_the_first_topics() -> None:
    assert edition(headed(subjects={"myeloma": "Plasma", "car-t": "Cells"})).subject == "Cells"
    assert edition(headed()).subject == "Story number 1"


def test_a_story_for_everyone_gives_no_subject_while_there_is_one_that_matches() -> None:
    made = issue([story(1, "For all"), story(2, "Cells")], {1: EVERYONE, 2: ["car-t"]})
    assert edition(made, "car-t").subject == "Cells"
    assert edition(made).subject == "Cells"
    assert edition(issue([story(1, "For all")], {})).subject == "For all"


def test_a_topic_that_nobody_of_the_edition_chose_gives_no_subject() -> None:
    stories = [story(1), story(2), story(3)]
    topics = {1: ["car-t", "myeloma"], 2: ["car-t"], 3: ["myeloma"]}
    made = issue(stories, topics, front_matter=FrontMatter(subjects={"car-t": "Cells"}))
    assert edition(made, "myeloma").subject == "Story number 1"


def derived(title: str, **parts: Any) -> str:
    return edition(issue([story(1, title, **parts)], {1: ["car-t"]})).subject


LITERAL = "{{ 7*7 }} <b>{% raw %}</mj-text> [[delivery]] -name-"
TEN_CELLS = "Ten cells earn the agency a breakthrough designation"


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Short one", "Short one"),
        ("A 🧬 in the middle", "A in the middle"),
        ("🛡️ Shields 1️⃣ and 🇫🇷 flags 👩‍⚕️", "Shields and flags"),
        ("Trial [2] reads out [US • 21 Jan 2026]", "Trial reads out"),
        ("Lu [177Lu]Lu-PSMA © 2026 #1", "Lu [177Lu]Lu-PSMA © 2026 #1"),
        (LITERAL, LITERAL),
        ("Tab\tand  spaces", "Tab and spaces"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60),
        ("word " * 11 + "final", "word " * 11 + "final"),
        ("Ten cells earn the agency a breakthrough designation, and for more", TEN_CELLS),
        (TEN_CELLS + " yet, in the end", TEN_CELLS),
        ("骨髓瘤" * 30, "骨髓瘤" * 20),
        ("Sales " + "骨髓瘤" * 30, "Sales " + "骨髓瘤" * 18),
        ("علاج جديد " * 10, ("علاج جديد " * 6).strip()),
    ],
)  # fmt: skip
def test_a_subject_from_a_title_is_plain_and_short(title: str, subject: str) -> None:
    assert derived(title) == subject
    assert len(subject) <= DERIVED_MAX_CHARACTERS


def test_a_title_of_signs_alone_leaves_the_newsletters_name() -> None:
    made = issue([story(1, "🧬")], {1: ["car-t"]})
    assert edition(made, settings=site(newsletter={"name": "The Weekly"})).subject == "The Weekly"


def test_a_cut_never_breaks_a_character_apart() -> None:
    family = "👩‍👩‍👧‍👦"
    text = cut("ab" + family * 10)
    assert text == "ab" + family * ((DERIVED_MAX_CHARACTERS - 2) // len(family))


def test_an_editors_subject_stays_as_it_was_typed_on_one_line() -> None:
    typed = "🧬 " + "Long words of an editor " * 4 + "[1] {{ x }}"
    assert edition(headed(subject=typed)).subject == typed
    assert edition(headed(subject="Two\r\nBcc: lines\x00 \u2028here")).subject == "Two Bcc: lines here"
    assert edition(headed(subject=" \n ")).subject == "Story number 1"


@given(st.text(max_size=120))
def test_a_derived_subject_is_a_header_of_at_most_sixty_characters(title: str) -> None:
    subject = derived(title)
    assert 0 < len(subject) <= DERIVED_MAX_CHARACTERS
    assert subject == one_line(subject)


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=20), min_size=1, max_size=30))
def test_a_cut_ends_at_a_word(words: list[str]) -> None:
    text = " ".join(words)
    short = cut(text)
    assert text.startswith(short)
    assert short == text or text[len(short)] == " "


def test_the_headline_is_the_subject_uncut() -> None:
    title = "Cells " * 20
    made = issue([story(1, title)], {1: ["car-t"]})
    assert edition(made).headline == title.strip()
    assert edition(headed(subject="Big news"), "car-t").headline == "Big news"


def test_the_editors_preheader_is_used_where_the_subjects_story_is() -> None:
    made = week(
        front_matter=FrontMatter(subject="S", preheader="And\nmore", subject_story=3),
        stories=tuple(story(number, key_point=f"Point {number} [1]") for number in range(1, 9)),
    )
    assert edition(made).preheader == "And more"
    assert edition(made, "myeloma").preheader == "And more"
    assert edition(made, "car-t").preheader == "Point 1"


def test_a_preheader_comes_from_the_first_matching_story() -> None:
    stories = [
        story(1, "For all", key_point="Everyone’s point"),
        story(2, "Cells", context="A long context " * 10, implication="It matters"),
        story(3, "Plasma"),
        story(4, "More plasma"),
    ]
    topics: dict[int, Sequence[str] | StoryTopics] = {
        1: EVERYONE,
        2: ["car-t"],
        3: ["myeloma"],
        4: ["myeloma"],
    }
    made = issue(stories, topics)
    assert edition(made, "car-t").preheader == "A long context A long context A long context A long context"
    # a story that is no more than a title: the next one's, never the subject again
    assert edition(made, "myeloma").preheader == "More plasma"
    assert edition(issue([story(1, "Alone")], {1: ["car-t"]})).preheader == ""


def test_a_topics_opening_words_stand_before_the_issues() -> None:
    made = week(
        front_matter=FrontMatter(
            intro_for={"myeloma": "For plasma.\n\nTwo\nparagraphs.", "immunology": "Immune."}
        ),
        intro=("For all of you.",),
    )
    assert edition(made, "myeloma").intro == ("For plasma.", "Two paragraphs.", "For all of you.")
    assert edition(made, "myeloma", "immunology").intro[0] == "For plasma."
    assert edition(made, "car-t").intro == ("For all of you.",)
    assert edition(made).intro == ("For all of you.",)


def test_brackets_with_joints_stay_in_a_derived_subject() -> None:
    made = issue(
        [story(1, "Antibody [CD19|CD22] and [A·B] meet [3] early [US • 3 Mar 2026]")], {1: ["car-t"]}
    )
    content = edition(made)
    assert content.subject == content.headline == "Antibody [CD19|CD22] and [A·B] meet early"
