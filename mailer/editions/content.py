"""What one edition shows, decided and renumbered: the only thing that templates see of an issue.

Every number printed here is the edition's own; `place` names the issue's, so that clicks of all
editions meet in one row.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Selection:
    """The ordered stories some readers get. `topics` is the smallest set of slugs that yields it."""

    key: str  # "full", or the story numbers joined by "-"
    topics: tuple[str, ...]
    stories: tuple[int, ...]  # numbers in the issue, in its order
    topic_stories: tuple[int, ...]  # those of them that match a topic (not the ones for everyone)
    is_full: bool


@dataclass(frozen=True, slots=True)
class LinkedText:
    """A line that leads somewhere, or nowhere (`url` None: left out of the mail)."""

    text: str
    emoji: str
    url: str | None
    place: str  # "cta:2", "dive:1"


@dataclass(frozen=True, slots=True)
class EditionStory:
    number: int  # in the issue: `#story-5`, place "story:5"
    emoji: str
    title: str
    citations: tuple[int, ...]  # renumbered
    region: str | None
    date_text: str | None
    date: date | None
    urls: tuple[str, ...]
    host: str | None  # of the first URL, without "www."
    context: str | None
    key_point: str | None
    implication: str | None
    topics: tuple[str, ...]  # slugs, for the chips; empty: for everyone


@dataclass(frozen=True, slots=True)
class EditionFaq:
    number: int  # in the issue: place "faq:2"
    question: str
    citations: tuple[int, ...]
    answer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EditionPoint:
    text: str
    citations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    number: int  # printed, renumbered
    original: int  # in the issue: place "reference:3"
    url: str
    host: str
    title: str | None  # of the story that it belongs to, when one does


@dataclass(frozen=True, slots=True)
class EditionContent:
    """One edition, ready for the templates."""

    issue_slug: str
    selection: Selection
    label: str  # "CAR-T + Myeloma", "Full edition"
    subject: str
    preheader: str
    headline: str
    intro: tuple[str, ...]  # paragraphs, the `intro_for` one in front
    date_text: str | None  # newest date of its stories, for the masthead
    reading_minutes: int
    stories_in_issue: int
    everyone_stories: int  # stories of this edition that are for everyone
    stories: tuple[EditionStory, ...]
    dive_deeper: tuple[LinkedText, ...]
    why_it_matters: tuple[EditionPoint, ...]
    calls_to_action: tuple[LinkedText, ...]
    faq: tuple[EditionFaq, ...]
    keywords: tuple[str, ...]
    references: tuple[Reference, ...]
    warnings: tuple[str, ...]
