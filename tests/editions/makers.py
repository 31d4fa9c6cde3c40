"""Issues made by hand, so that composition is tested without the parser."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailer.config import Settings
from mailer.issues.document import CallToAction, FaqEntry, FrontMatter, IssueDocument, Point, Story
from mailer.issues.values import Issue, StoryTopics

TOPICS = {
    "car-t": {"name": "CAR-T"},
    "myeloma": {"name": "Myeloma"},
    "immunology": {"name": "Immunology"},
}
EVERYONE = StoryTopics((), suggested=False)
UNDECIDED = StoryTopics((), suggested=True)


def site(topics: Mapping[str, Mapping[str, str]] | None = None, **tables: Any) -> Settings:
    """Settings with the three topics of the samples, or these."""
    return Settings(topics=TOPICS if topics is None else topics, **tables)


def story(number: int, title: str = "", **parts: Any) -> Story:
    """A story that cites its own number and has a URL of its own."""
    given: dict[str, Any] = {
        "id": f"story-{number}",
        "number": number,
        "emoji": "",
        "title": title or f"Story number {number}",
        "citations": (number,),
        "region": None,
        "date_text": None,
        "date": None,
        "urls": (f"https://source{number}.example.com/{number}",),
        "context": None,
        "key_point": None,
        "implication": None,
        "line": number * 10,
    }
    return Story(**{**given, **parts})


def point(text: str, *citations: int) -> Point:
    return Point(text, citations, line=500)


def entry(number: int, question: str, *citations: int, answer: Sequence[str] = ("It depends.",)) -> FaqEntry:
    return FaqEntry(number, question, citations, tuple(answer), line=600 + number)


def document(stories: Iterable[Story], **parts: Any) -> IssueDocument:
    """A document of these stories, with one reference for each unless `references` are given."""
    stories = tuple(stories)
    given: dict[str, Any] = {
        "front_matter": FrontMatter(),
        "intro": (),
        "dive_deeper": (),
        "stories": stories,
        "why_it_matters": (),
        "calls_to_action": (),
        "faq": (),
        "keywords": (),
        "references": tuple(url for story in stories for url in story.urls[:1]),
        "unplaced": (),
        "warnings": (),
    }
    return IssueDocument(**{**given, **parts})


def issue(stories: Iterable[Story], topics: Mapping[int, Sequence[str] | StoryTopics], **parts: Any) -> Issue:
    """An issue of these stories; one that `topics` does not name is undecided."""
    made = document(stories, **parts)
    tagged = {story.number: UNDECIDED for story in made.stories}
    for number, given in topics.items():
        tagged[number] = (
            given if isinstance(given, StoryTopics) else StoryTopics(tuple(given), suggested=True)
        )
    return Issue("week-04", "weekly", 1, None, None, "0" * 64, made, tagged)


def call(number: int, text: str, emoji: str = "🚀") -> CallToAction:
    return CallToAction(number, emoji, text, line=700 + number)


# The shape of the sample: stories 1 to 8, of which the sixth is for everyone.
WEEK_TOPICS: dict[int, Sequence[str] | StoryTopics] = {
    1: ["car-t"],
    2: ["car-t"],
    3: ["myeloma"],
    4: ["myeloma"],
    5: ["car-t", "myeloma"],
    6: UNDECIDED,
    7: ["immunology"],
    8: ["immunology"],
}


def week(**parts: Any) -> Issue:
    """Eight stories in the shape of a real week."""
    stories = parts.pop("stories", tuple(story(number) for number in range(1, 9)))
    topics = parts.pop("topics", WEEK_TOPICS)
    return issue(stories, topics, **parts)
