"""What stands in front of the first story and is no intro: a story whose title was not recognised."""

import pytest

from tests.issues.reading import read, small

STRAY = "🧬 Gene therapy wins approval\nhttps://first.example/\nContext: c\nKey point: kp\nImplication: i\n"
SECOND = "💉 Second story [2] [US • 3 Mar 2026]\nhttps://b.example/\nKey point: CAR-T\n"


@pytest.mark.parametrize(
    "title",
    [
        "🧬 Gene therapy wins approval",
        "🧬 [2] [US • 3 Mar 2026]",
        "[2] [US • 3 Mar 2026]",
        "Therapy wins approval",
    ],
)
def test_a_first_story_without_its_marks_is_unplaced_and_no_intro(title: str) -> None:
    stray = STRAY.replace("🧬 Gene therapy wins approval", title)
    document = read(f"Intro.\n{stray}{SECOND}")
    assert document.intro == ("Intro.",)
    assert [story.title for story in document.stories] == ["Second story"]
    assert [line.text for line in document.unplaced] == stray.splitlines()
    assert [(warning.line, warning.field) for warning in document.warnings] == [(2, "title")]


def test_prose_of_an_intro_stays_when_a_stray_line_follows() -> None:
    document = read(
        f"Good morning, colleagues.\nhttps://first.example/\nMore at https://second.example/ today\n{SECOND}"
    )
    assert document.intro == ("Good morning, colleagues.", "More at https://second.example/ today")
    assert [line.text for line in document.unplaced] == ["https://first.example/"]


def test_an_emoji_line_of_the_intro_is_intro() -> None:
    document = read(f"👋 Good morning\n🎯 This week: three approvals\n\n{SECOND}")
    assert document.intro == ("👋 Good morning", "🎯 This week: three approvals")
    assert document.unplaced == ()


@pytest.mark.parametrize("answer", ["✅ Yes, it is safe.\n✅ For adults.", "✅ Yes, it is safe."])
def test_questions_and_answers_may_have_emoji(answer: str) -> None:
    faq = f"FAQ\n❓ What is alpha?\nA letter.\n❓ Is it safe?\n{answer}\nIs it new? [1]\nIt is.\n"
    document = read(small("FAQ\nWhy the first? [1]\nBecause.\n", faq))
    assert [entry.question for entry in document.faq] == ["❓ What is alpha?", "❓ Is it safe?", "Is it new?"]
    assert document.faq[1].answer == tuple(answer.splitlines())
    assert len(document.calls_to_action) == 1


def test_a_call_to_action_behind_the_faq_is_no_answer() -> None:
    calls = "🎯 Want to know more?\n🔔 Subscribe\n✅ Join us\n"
    document = read(small("Because.\n", "✅ Because.\n" + calls))
    assert [call.text for call in document.calls_to_action][1:] == [
        "Want to know more?",
        "Subscribe",
        "Join us",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "**🧬 First title [1] [US • 21 Jan 2026]**",
        "- **🧬 First title [1] [US • 21 Jan 2026]**",
        "**🧬 First title** [1] [US • 21 Jan 2026]",
        "🧬 **First title** [1] [US • 21 Jan 2026]",
        "__🧬 First title [1] [US • 21 Jan 2026]__",
    ],
)
def test_a_bold_title_line_begins_a_story(line: str) -> None:
    story = read(small("🧬 First title [1] [US • 21 Jan 2026]", line)).stories[0]
    assert (story.emoji, story.title, story.citations, story.region) == ("🧬", "First title", (1,), "US")


@pytest.mark.parametrize(
    "listed", ["Keywords\nfoo, bar-two, baz 2, qux.\n", "Keywords: foo, bar-two, baz 2, qux.\n"]
)
def test_keywords_on_one_line_may_be_parted_by_commas(listed: str) -> None:
    document = read(small("Keywords\nalpha; beta-two; gamma.\n", listed))
    assert document.keywords == ("foo", "bar-two", "baz 2", "qux")
    assert document.warnings == read(small()).warnings


def test_keywords_with_commas_stay_whole_beside_others() -> None:
    document = read(
        small("alpha; beta-two; gamma.\n", "University of Oslo, Norway\nOne, two, three\n1,25-D\n")
    )
    assert document.keywords == ("University of Oslo, Norway", "One, two, three", "1,25-D")
    assert [warning.field for warning in document.warnings].count("keywords") == 1
    assert read(small("alpha; beta-two; gamma.", "Oslo, Norway; gamma")).keywords == ("Oslo, Norway", "gamma")
