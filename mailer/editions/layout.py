"""What the two templates of an edition print: the same stories, numbers and addresses for both.

Everything is decided here, so that HTML and text cannot differ; the templates only say where it
stands. Nothing is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mailer.config import Settings
from mailer.config_tables import NewsletterTable, TopicTable
from mailer.editions.colours import Theme, readable, theme_of
from mailer.editions.content import EditionContent, EditionFaq, EditionStory, LinkedText
from mailer.editions.links import faq_sources
from mailer.editions.outlinks import shown_host
from mailer.links import Links
from mailer.templates import direction, language_tag

# Mail clients show the start of the letter after a short preheader; blank characters keep it out.
PREHEADER_CHARACTERS = 110
_PREHEADER_BLANK = "\u034f\u200c\u00a0"


@dataclass(frozen=True, slots=True)
class Anchor:
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A topic's tag; its colours are mended where the configured pair cannot be read."""

    slug: str
    name: str
    text: str
    ground: str
    text_dark: str
    ground_dark: str


@dataclass(frozen=True, slots=True)
class StoryView:
    number: int
    is_lead: bool
    emoji: str
    title: str
    marks: str  # "[1][3]"
    meta: tuple[str, ...]  # region, date, marks: what there is of them
    chips: tuple[Chip, ...]
    href: str | None
    sources: tuple[Anchor, ...]  # every URL of the story, by host
    key_point: str | None
    context: str | None
    implication: str | None


@dataclass(frozen=True, slots=True)
class LineView:
    emoji: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class PointView:
    text: str
    marks: str


@dataclass(frozen=True, slots=True)
class SourceView:
    number: int
    host: str
    title: str | None
    href: str


@dataclass(frozen=True, slots=True)
class FaqView:
    question: str
    marks: str
    answer: tuple[str, ...]
    sources: tuple[SourceView, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the issue an edition holds: "2 of 8, and 1 for everyone"."""

    matching: int
    everyone: int
    of: int


@dataclass(frozen=True, slots=True)
class EditionView:
    """One edition as its templates see it."""

    newsletter: NewsletterTable
    initials: str
    language: str
    direction: str  # "ltr" or "rtl"
    start: str  # "left", or "right" where lines begin there
    end: str
    theme: Theme
    subject: str
    preheader: str
    preheader_blank: str
    headline: str | None  # None: it would only repeat the lead story's title
    intro: tuple[str, ...]
    date_text: str | None
    reading_minutes: int
    share: Share | None  # None: the whole issue
    stories: tuple[StoryView, ...]
    chips: tuple[Chip, ...]  # every chip of the letter, once
    dive_deeper: tuple[LineView, ...]
    why_it_matters: tuple[PointView, ...]
    calls_to_action: tuple[LineView, ...]
    faq: tuple[FaqView, ...]
    keywords: tuple[str, ...]
    references: tuple[SourceView, ...]
    links: Links


def lay_out(content: EditionContent, settings: Settings, links: Links) -> EditionView:
    """The letter of an edition's content."""
    newsletter = settings.newsletter
    theme = theme_of(newsletter.brand_colour)
    way = direction(newsletter.language)
    lead = _lead(content)
    chips = {slug: _chip(slug, settings.topics[slug]) for slug in _slugs(content, settings)}
    return EditionView(
        newsletter=newsletter,
        initials=initials(newsletter.name),
        language=language_tag(newsletter.language),
        direction=way,
        start="right" if way == "rtl" else "left",
        end="left" if way == "rtl" else "right",
        theme=theme,
        subject=content.subject,
        preheader=content.preheader,
        preheader_blank=_PREHEADER_BLANK * max(0, PREHEADER_CHARACTERS - len(content.preheader)),
        headline=None if lead and content.headline == lead.title else content.headline,
        intro=content.intro,
        date_text=content.date_text,
        reading_minutes=content.reading_minutes,
        share=_share(content),
        stories=tuple(_story(story, chips, links, is_lead=story is lead) for story in content.stories),
        chips=tuple(chips.values()),
        dive_deeper=_lines(content.dive_deeper, links),
        why_it_matters=tuple(
            PointView(point.text, _marks(point.citations)) for point in content.why_it_matters
        ),
        calls_to_action=_lines(content.calls_to_action, links),
        faq=tuple(_faq(content, entry, links) for entry in content.faq),
        keywords=content.keywords,
        references=tuple(
            SourceView(
                reference.number,
                reference.host,
                reference.title,
                links.target(f"reference:{reference.original}", reference.url),
            )
            for reference in content.references
        ),
        links=links,
    )


def initials(name: str) -> str:
    """Up to two capitals for the brand mark: "Hematology Weekly" -> "HW"."""
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()


def _slugs(content: EditionContent, settings: Settings) -> list[str]:
    used = {slug for story in content.stories for slug in story.topics}
    return [slug for slug in settings.topics if slug in used]


def _chip(slug: str, topic: TopicTable) -> Chip:
    return Chip(
        slug,
        topic.name,
        text=readable(topic.chip, topic.chip_ground),
        ground=topic.chip_ground,
        text_dark=readable(topic.chip_dark, topic.chip_ground_dark),
        ground_dark=topic.chip_ground_dark,
    )


def _lead(content: EditionContent) -> EditionStory | None:
    """The story that weighs most: the first one, in a part of the issue the first that was chosen."""
    chosen = () if content.selection.is_full else content.selection.topic_stories
    return next((story for story in content.stories if not chosen or story.number in chosen), None)


def _share(content: EditionContent) -> Share | None:
    if content.selection.is_full:
        return None
    return Share(len(content.selection.topic_stories), content.everyone_stories, content.stories_in_issue)


def _story(story: EditionStory, chips: dict[str, Chip], links: Links, *, is_lead: bool) -> StoryView:
    place = f"story:{story.number}"
    hrefs = [links.target(place, url, story_number=story.number) for url in story.urls]
    marks = _marks(story.citations)
    return StoryView(
        number=story.number,
        is_lead=is_lead,
        emoji=story.emoji,
        title=story.title,
        marks=marks,
        meta=tuple(part for part in (story.region, story.date_text, marks) if part),
        chips=tuple(chips[slug] for slug in story.topics if slug in chips),
        href=hrefs[0] if hrefs else None,
        sources=tuple(Anchor(name, href) for name, href in zip(_host_names(story.urls), hrefs, strict=True)),
        key_point=story.key_point,
        context=story.context,
        implication=story.implication,
    )


def _host_names(urls: Sequence[str]) -> list[str]:
    """A name for each URL: its host, counted when several lead to the same one."""
    hosts = [shown_host(url) for url in urls]
    return [
        f"{host} ({hosts[: place + 1].count(host)})" if hosts.count(host) > 1 else host
        for place, host in enumerate(hosts)
    ]


def _lines(lines: Sequence[LinkedText], links: Links) -> tuple[LineView, ...]:
    return tuple(
        LineView(line.emoji, line.text, links.target(line.place, line.url)) for line in lines if line.url
    )


def _faq(content: EditionContent, entry: EditionFaq, links: Links) -> FaqView:
    place = f"faq:{entry.number}"
    return FaqView(
        question=entry.question,
        marks=_marks(entry.citations),
        answer=entry.answer,
        sources=tuple(
            SourceView(number, shown_host(url), None, links.target(place, url))
            for number, url in faq_sources(content, entry)
        ),
    )


def _marks(citations: Sequence[int]) -> str:
    return "".join(f"[{number}]" for number in citations)
