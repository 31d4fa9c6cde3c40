"""Which topics a story has: what the editor decided, else what its words suggest.

Words are looked for in title, context and key point. A keyword of a disease or a modality suggests its
topic; a weak one (a target, a drug) only where no topic has a stronger word. Nothing is decided here
for the editor: a suggestion is marked as one.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from mailer.config_tables import TopicTable
from mailer.issues.document import IssueDocument, Story
from mailer.issues.values import StoryTopics

# Hyphens of all kinds; a keyword's parts may be joined by them, by space, or by nothing.
_HYPHENS = "\\-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"
_BETWEEN = rf"[\s{_HYPHENS}]"
# A part may be a possessive where the next one stands apart: Evans' syndrome, Evans's syndrome.
_JOINED = rf"(?:{_BETWEEN}{{0,3}}|'s?{_BETWEEN}{{1,3}})"
# Any sign that is no letter or digit ends a word; so does the x of "BCMAxCD3", typed for a ×.
_LEFT = r"(?:(?<![^\W_])|(?<=[A-Z0-9]x))"
_RIGHT = r"(?:(?![^\W_])|(?=x[A-Z]))"
_TWINS = str.maketrans({"’": "'", "‘": "'", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"})
# British "ae" and "oe" are "e" in America (oedema is the shortest such word); abbreviations are shorter.
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
_BRITISH = re.compile("[ao]e", re.IGNORECASE)
# "MM" is a disease and "mm" a millimetre: an all-capital keyword this short matches capitals only.
CAPITALS_MAX_LETTERS = 4


def tag(document: IssueDocument, topics: Mapping[str, TopicTable]) -> dict[int, StoryTopics]:
    """Topics of each story by its number; slugs that are not declared (any more) do not count."""
    return {story.number: _of_story(story, document, topics) for story in document.stories}


def suggest(story: Story, topics: Mapping[str, TopicTable]) -> tuple[str, ...]:
    """Slugs that the words of a story suggest, in the order of the configuration."""
    text = _plain(" \n ".join(part for part in (story.title, story.context, story.key_point) if part))
    texts = {slug: _without(table.passed_over, text) for slug, table in topics.items()}
    strong = tuple(slug for slug, table in topics.items() if _has_any(table.keywords, texts[slug]))
    weak = (slug for slug, table in topics.items() if _has_any(table.weak_keywords, texts[slug]))
    return strong or tuple(weak)


def contains(text: str, keyword: str) -> bool:
    """Whether a text has a keyword as whole words, by the rules of topics."""
    return _has_any((keyword,), _plain(text))


def _of_story(story: Story, document: IssueDocument, topics: Mapping[str, TopicTable]) -> StoryTopics:
    decided = document.front_matter.topics.get(story.number)
    if decided is None:
        return StoryTopics(suggest(story, topics), suggested=True)
    known = tuple(slug for slug in decided if slug in topics)
    return StoryTopics(known, suggested=bool(decided) and not known)


def _has_any(keywords: tuple[str, ...], text: str) -> bool:
    pattern = _compiled(keywords)
    return pattern is not None and pattern.search(text) is not None


def _without(names: tuple[str, ...], text: str) -> str:
    """The text with a stop in the place of each of these names: what stood around it does not meet."""
    pattern = _compiled(names)
    return pattern.sub(" . ", text) if pattern else text


# Three lists of each of many topics; a list is compiled once.
@lru_cache(maxsize=256)
def _compiled(keywords: tuple[str, ...]) -> re.Pattern[str] | None:
    """One pattern for a list, the longest keyword first: LC-MS/MS goes before LC-MS."""
    longest = sorted(keywords, key=len, reverse=True)
    alternatives = "|".join(filter(None, map(_expression, longest)))
    return re.compile(f"{_LEFT}(?:{alternatives}){_RIGHT}") if alternatives else None


def _expression(keyword: str) -> str:
    parts = re.split(rf"[\s{_HYPHENS}]+", _plain(keyword).strip())
    spelled = _JOINED.join(re.escape(part) for part in parts if part)
    return spelled if not spelled or _is_short_capitals(keyword) else f"(?i:{spelled})"


def _is_short_capitals(keyword: str) -> bool:
    """Whether a keyword is all capitals and short; the small s of a plural does not count."""
    letters = [character for character in keyword if character.isalpha()]
    if len(letters) > 2 and letters[-1] == "s":  # CAR-Ts: no crash carts
        letters.pop()
    return 0 < len(letters) <= CAPITALS_MAX_LETTERS and all(letter.isupper() for letter in letters)


def _plain(text: str) -> str:
    """Text in one spelling: "Sjögren’s" is "Sjogren's", "haemolytic" is "hemolytic"."""
    decomposed = unicodedata.normalize("NFKD", text)
    letters = (character for character in decomposed if unicodedata.category(character) != "Mn")
    plain = "".join(letters).translate(_TWINS)
    return _LONG_WORD.sub(lambda word: _BRITISH.sub("e", word[0]), plain)
