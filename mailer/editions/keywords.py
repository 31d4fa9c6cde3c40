"""Which keyword belongs to which stories and questions, decided once over the whole issue.

A keyword belongs wherever a text or URL contains it; one that occurs nowhere joins the stories of its
nearest neighbour in the list that does. Nothing here knows topics or readers.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus

import regex

from mailer.editions.words import UNSPACED
from mailer.issues.document import FaqEntry, Story

# DARZALEX is found in `darzalexr`; MRD must not be found in MRDX.
PREFIX_MIN_LETTERS = 5

# Typographic twins are the same to a reader.
_TWINS = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—−﹣-", "-"),
        **dict.fromkeys("‘’ʼ´`", "'"),
        **dict.fromkeys("“”„", '"'),
        "\u00ad": None,
        "\u200b": None,
    }
)
_PARTS = regex.compile(r"[-\s]+")
# Between two fields: no keyword reaches over it.
_GAP = "\0"
_BETWEEN = r"[-\s]*"
# A word goes on with a letter, mark or digit of its own kind of script.
_GOES_ON = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}]]"
_UNSPACED = regex.compile(f"[{UNSPACED}]")


@dataclass(frozen=True, slots=True)
class Homes:
    """The numbers of the stories and questions with which a keyword is printed."""

    stories: frozenset[int]
    faq: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.stories or self.faq)


# An issue is composed once per edition; its keywords' homes are the same each time.
@lru_cache(maxsize=8)
def keyword_homes(
    keywords: tuple[str, ...], stories: tuple[Story, ...], faq: tuple[FaqEntry, ...]
) -> tuple[Homes, ...]:
    """The homes of each keyword in turn; none anywhere when no keyword of the list occurs."""
    story_texts = {story.number: _story_text(story) for story in stories}
    faq_texts = {entry.number: _plain(_GAP.join((entry.question, *entry.answer))) for entry in faq}
    found = []
    for keyword in keywords:
        pattern = _pattern(keyword)
        at_stories = (number for number, text in story_texts.items() if pattern.search(text))
        at_faq = (number for number, text in faq_texts.items() if pattern.search(text))
        found.append(Homes(frozenset(at_stories), frozenset(at_faq)))
    return tuple(homes or _neighbour(found, place) for place, homes in enumerate(found))


def _neighbour(found: Sequence[Homes], place: int) -> Homes:
    """The stories of the nearest keyword that occurs somewhere, the one before on a tie."""
    matched = [other for other, homes in enumerate(found) if homes]
    if not matched:
        return Homes(frozenset(), frozenset())
    nearest = found[min(matched, key=lambda other: (abs(other - place), other))]
    # A neighbour that only questions mention has no story to join.
    return Homes(nearest.stories, frozenset() if nearest.stories else nearest.faq)


def _pattern(keyword: str) -> "regex.Pattern[str]":
    parts = [part for part in _PARTS.split(_plain(keyword)) if part]
    if not parts:
        return regex.compile(r"(?!)")
    first, last = parts[0][0], parts[-1][-1]
    letters = sum(character.isalpha() for part in parts for character in part)
    before = "" if _UNSPACED.match(first) else f"(?<!{_GOES_ON})"
    is_whole = letters < PREFIX_MIN_LETTERS and not _UNSPACED.match(last)
    after = f"(?!{_GOES_ON})" if is_whole else ""
    spelled = _BETWEEN.join(regex.escape(part, special_only=True) for part in parts)
    return regex.compile(f"{before}{spelled}{after}", regex.VERSION1)


def _story_text(story: Story) -> str:
    texts = (story.title, story.key_point, story.context, story.implication, story.region)
    urls = (unquote_plus(url).replace("_", " ") for url in story.urls)
    return _plain(_GAP.join((*(text for text in texts if text), *urls)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_TWINS).casefold()
