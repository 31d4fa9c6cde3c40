"""What an issue says: the values that every later room reads.

`parse` makes them from bytes and `serialize` gives the same bytes back. Nothing here knows topics,
editions or links.
"""

from dataclasses import dataclass, field
from datetime import date

from mailer.issues.layout import Layout
from subscribers.errors import Problem


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The optional YAML head of an issue; None or empty where it is silent."""

    slug: str | None = None
    kind: str | None = None
    subject: str | None = None
    preheader: str | None = None
    subject_story: int | None = None  # position of the story that `subject` is about; 1 when None
    subjects: dict[str, str] = field(default_factory=dict)  # topic slug -> subject
    intro_for: dict[str, str] = field(default_factory=dict)  # topic slug -> paragraph
    topics: dict[int, tuple[str, ...]] = field(default_factory=dict)  # position -> slugs; () = everyone
    links: dict[str, str] = field(default_factory=dict)  # label -> URL
    lines: dict[str, int] = field(default_factory=dict, compare=False)  # "topics.3" -> line of the file


@dataclass(frozen=True, slots=True)
class Story:
    """One item. `number` is its position from 1; `citations` are the printed `[n]`."""

    id: str
    number: int
    emoji: str
    title: str
    citations: tuple[int, ...]
    region: str | None
    date_text: str | None
    date: date | None
    urls: tuple[str, ...]
    context: str | None
    key_point: str | None
    implication: str | None
    line: int


@dataclass(frozen=True, slots=True)
class FaqEntry:
    number: int  # position from 1
    question: str
    citations: tuple[int, ...]
    answer: tuple[str, ...]  # paragraphs
    line: int


@dataclass(frozen=True, slots=True)
class Point:
    """A line of "why it matters", without its bullet and `[n]`."""

    text: str
    citations: tuple[int, ...]
    line: int


@dataclass(frozen=True, slots=True)
class CallToAction:
    number: int  # position from 1
    emoji: str
    text: str  # the line without its emoji and its address
    line: int
    url: str | None = None  # typed with it; None: named elsewhere, or nowhere


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A line that has no place; listed, never dropped."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class IssueDocument:
    """The parts of an issue in its own order, with what is needed to print every byte again."""

    front_matter: FrontMatter
    intro: tuple[str, ...]  # paragraphs
    dive_deeper: tuple[str, ...]  # labels that want a link target
    stories: tuple[Story, ...]
    why_it_matters: tuple[Point, ...]
    calls_to_action: tuple[CallToAction, ...]
    faq: tuple[FaqEntry, ...]
    keywords: tuple[str, ...]
    references: tuple[str, ...]  # URLs, in printed order: `[n]` cites line n; "": that line has none
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[Problem, ...]
    layout: Layout = field(default=Layout(), compare=False, repr=False)  # how it was typed
