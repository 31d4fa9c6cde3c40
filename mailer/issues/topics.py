"""Which topics a story has: what the editor decided, else what its words suggest.

Words are looked for in title, context and key point. A keyword of a disease or a modality suggests its
topic; a weak one (a target, a drug) only where no topic has a stronger word. Nothing is decided here
for the editor: a suggestion is marked as one.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from mailer.config import TopicTable
from mailer.issues.document import IssueDocument, Story
from mailer.issues.values import StoryTopics

# Hyphens of all kinds; a keyword's parts may be joined by them, by space, or by nothing.
_HYPHENS = "\\-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"
_BETWEEN = rf"[\s{_HYPHENS}]{{0,3}}"
# Any sign that is no letter or digit ends a word; so does the x of "BCMAxCD3", typed for a ×.
_LEFT = r"(?:(?<![^\W_])|(?<=[A-Z0-9]x))"
_RIGHT = r"(?:(?![^\W_])|(?=x[A-Z]))"
# "MM" is a disease and "mm" a millimetre: an all-capital keyword this short matches capitals only.
CAPITALS_MAX_LETTERS = 4


def tag(document: IssueDocument, topics: Mapping[str, TopicTable]) -> dict[int, StoryTopics]:
    """Topics of each story by its number; slugs that are not declared (any more) do not count."""
    return {story.number: _of_story(story, document, topics) for story in document.stories}


def suggest(story: Story, topics: Mapping[str, TopicTable]) -> tuple[str, ...]:
    """Slugs that the words of a story suggest, in the order of the configuration."""
    text = _plain(" \n ".join(part for part in (story.title, story.context, story.key_point) if part))
    strong = _matching(text, ((slug, table.keywords) for slug, table in topics.items()))
    return strong or _matching(text, ((slug, table.weak_keywords) for slug, table in topics.items()))


def contains(text: str, keyword: str) -> bool:
    """Whether a text has a keyword as whole words, by the rules of topics."""
    return bool(_patterns((keyword,), _plain(text)))


def _of_story(story: Story, document: IssueDocument, topics: Mapping[str, TopicTable]) -> StoryTopics:
    decided = document.front_matter.topics.get(story.number)
    if decided is None:
        return StoryTopics(suggest(story, topics), suggested=True)
    known = tuple(slug for slug in decided if slug in topics)
    return StoryTopics(known, suggested=bool(decided) and not known)


def _matching(text: str, lists: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    return tuple(slug for slug, keywords in lists if _patterns(keywords, text))


def _patterns(keywords: tuple[str, ...], text: str) -> bool:
    return any(pattern.search(text) for pattern in _compiled(keywords))


@lru_cache(maxsize=256)
def _compiled(keywords: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """At most two patterns for a list: one for capitals, one for any case."""
    capitals = [keyword for keyword in keywords if _is_short_capitals(keyword)]
    others = [keyword for keyword in keywords if not _is_short_capitals(keyword)]
    patterns = []
    for words, flags in ((capitals, re.NOFLAG), (others, re.IGNORECASE)):
        alternatives = "|".join(filter(None, (_expression(word) for word in words)))
        if alternatives:
            # The x of "BCMAxCD3" is small whatever the case of the keyword.
            patterns.append(re.compile(f"(?-i:{_LEFT})(?:{alternatives})(?-i:{_RIGHT})", flags))
    return tuple(patterns)


def _expression(keyword: str) -> str:
    parts = re.split(rf"[\s{_HYPHENS}]+", _plain(keyword).strip())
    return _BETWEEN.join(re.escape(part) for part in parts if part)


def _is_short_capitals(keyword: str) -> bool:
    """Whether a keyword is all capitals and short; the small s of a plural does not count."""
    letters = [character for character in keyword if character.isalpha()]
    if len(letters) > 2 and letters[-1] == "s":  # CAR-Ts: no crash carts
        letters.pop()
    return 0 < len(letters) <= CAPITALS_MAX_LETTERS and all(letter.isupper() for letter in letters)


def _plain(text: str) -> str:
    """Text without accents and with straight quotes: "Sjögren’s" is "Sjogren's"."""
    decomposed = unicodedata.normalize("NFKD", text)
    letters = (character for character in decomposed if unicodedata.category(character) != "Mn")
    return "".join(letters).replace("’", "'").replace("‘", "'")
