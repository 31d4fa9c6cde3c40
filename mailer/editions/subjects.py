"""Subject, preheader, headline and opening words of an edition: the editor's, else from its stories.

The editor's subject speaks of one story and is used where that story is. A derived one is cut from
the first story that matches the reader's topics, never from one that is for everyone while such a
story is there.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

import regex

from mailer.config import Settings
from mailer.editions.content import Selection
from mailer.editions.words import has_unspaced, is_function_word
from mailer.issues import dates
from mailer.issues.document import Story
from mailer.issues.values import Issue

# Phones show 35 to 60 characters of a subject.
DERIVED_MAX_CHARACTERS = 60

_BRACKET = re.compile(r"\s*\[([^\[\]]*)\]")
_NUMBER = re.compile(r"[0-9]{1,3}")
_JOINT = re.compile("[•·|]")
_EMOJI = regex.compile(
    r"\p{Regional_Indicator}{1,2}"
    r"|[0-9#*]\uFE0F?\u20E3"
    r"|[\p{Emoji}--[0-9#*\u00A9\u00AE\u2122]]\uFE0F"
    r"|[\u00A9\u00AE\u2122]\uFE0F"
    r"|[\p{Extended_Pictographic}--[\u00A9\u00AE\u2122\u203C\u2049\u3030]]"
    r"|\p{Emoji_Presentation}|\p{Emoji_Modifier}"
    r"|[\uFE0E\uFE0F\u20E3\U000E0020-\U000E007F]",
    regex.VERSION1,
)
# A joiner holds emoji together, but also letters of many scripts: only one that lost its emoji goes.
_LOOSE_JOINER = re.compile("(?:(?<=\\s)|^)\u200d+|\u200d+(?=\\s|$)")
_TRAILING = " ,;:–—-‒/&+(["
_GRAPHEME = regex.compile(r"\X")


def subject_of(issue: Issue, selection: Selection, settings: Settings) -> str:
    """The subject of an edition: one line, whoever wrote it."""
    editors = _editors_subject(issue, selection)
    if editors:
        return editors
    lead = lead_story(issue, selection)
    return (cut(_bare(lead.title)) if lead else "") or one_line(settings.newsletter.name)


def headline_of(issue: Issue, selection: Selection, settings: Settings) -> str:
    """The edition's h1: the editor's subject, else the lead's title, uncut."""
    lead = lead_story(issue, selection)
    return (
        _editors_subject(issue, selection)
        or (_bare(lead.title) if lead else "")
        or one_line(settings.newsletter.name)
    )


def preheader_of(issue: Issue, selection: Selection, subject: str) -> str:
    """What inboxes print after the subject; never the subject again, empty when nothing else is there."""
    head = issue.document.front_matter
    if head.preheader and _has_subject_story(issue, selection):
        return one_line(head.preheader)
    lead = lead_story(issue, selection)
    if lead is None:
        return ""
    following = (story.title for story in _topic_stories(issue, selection) if story is not lead)
    texts = (lead.key_point, lead.context, lead.implication, lead.title, *following)
    derived = (cut(_bare(text)) for text in texts if text)
    return next((text for text in derived if text and not subject.startswith(text)), "")


def intro_of(issue: Issue, selection: Selection) -> tuple[str, ...]:
    """The paragraphs that open an edition: the topic's own words in front of the issue's."""
    own = None if selection.is_full else _per_topic(issue, selection, issue.document.front_matter.intro_for)
    paragraphs = re.split(r"\n\s*\n", own) if own else []
    return (*(one_line(text) for text in paragraphs if text.strip()), *issue.document.intro)


def lead_story(issue: Issue, selection: Selection) -> Story | None:
    """The first story that matches a topic, else the first there is."""
    return next(iter(_topic_stories(issue, selection)), None) or next(
        (story for story in issue.document.stories if story.number in selection.stories), None
    )


def one_line(text: str) -> str:
    """A text without line ends, control characters or runs of spaces: fit for a header."""
    kept = ("" if unicodedata.category(part) == "Cs" else part for part in text)
    spaced = (" " if unicodedata.category(part) in ("Cc", "Zl", "Zp") else part for part in kept)
    return " ".join("".join(spaced).split())


def cut(text: str, most: int = DERIVED_MAX_CHARACTERS) -> str:
    """At most `most` characters, cut between words; the cut leaves no "and" or comma hanging."""
    if len(text) <= most:
        return text
    end = text.rfind(" ", 0, most + 1)
    broken = text[end + 1 :].split(" ", 1)[0]
    if end <= 0 or has_unspaced(broken):
        return _whole_graphemes(text, most).rstrip(_TRAILING)
    words = text[:end].split(" ")
    while len(words) > 1 and is_function_word(words[-1].strip(_TRAILING)):
        words.pop()
    return " ".join(words).rstrip(_TRAILING) or _whole_graphemes(text, most)


def _editors_subject(issue: Issue, selection: Selection) -> str | None:
    """The editor's words for this edition.

    In a partial edition the topic of its first matching story speaks first, then the issue's subject
    where its story is, then the other topics; in the full edition the issue's subject goes before all.
    """
    head = issue.document.front_matter
    general = head.subject if head.subject and _has_subject_story(issue, selection) else None
    of_topics = list(_values(issue, selection, head.subjects))
    lead = lead_story(issue, selection)
    of_lead = [text for number, text in of_topics if lead is not None and number == lead.number]
    others = [text for _, text in of_topics]
    order = [general, *others] if selection.is_full else [*of_lead[:1], general, *others]
    return next((line for text in order if text and (line := one_line(text))), None)


def _per_topic(issue: Issue, selection: Selection, values: Mapping[str, str]) -> str | None:
    """Of the values for the edition's topics, that of the first topic-matching story."""
    return next((text for _, text in _values(issue, selection, values)), None)


def _values(issue: Issue, selection: Selection, values: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for story in _topic_stories(issue, selection):
        for slug in issue.topics[story.number].topics:
            if slug in values and (selection.is_full or slug in selection.topics):
                yield story.number, values[slug]


def _topic_stories(issue: Issue, selection: Selection) -> list[Story]:
    return [story for story in issue.document.stories if story.number in selection.topic_stories]


def _has_subject_story(issue: Issue, selection: Selection) -> bool:
    number = issue.document.front_matter.subject_story or 1
    return selection.is_full or number in selection.stories


def _bare(text: str) -> str:
    """A title or sentence without emoji, `[n]` and `[REGION • date]`."""
    without = _EMOJI.sub("", _BRACKET.sub(_unless_mark, text))
    return one_line(_LOOSE_JOINER.sub("", without))


def _unless_mark(bracket: re.Match[str]) -> str:
    """A bracket that is text, as `[CD19|CD22]` is."""
    joined = _JOINT.split(bracket[1])
    says_when = len(joined) > 1 and any(dates.understand(part) for part in joined)
    return "" if says_when or _NUMBER.fullmatch(bracket[1]) else bracket[0]


def _whole_graphemes(text: str, most: int) -> str:
    """The start of a text without spaces, cut where no character is broken apart."""
    end = 0
    for grapheme in _GRAPHEME.finditer(text):
        if grapheme.end() > most:
            break
        end = grapheme.end()
    return text[:end]
