"""Which story a line without a number belongs to: the one with which it shares the most rare words.

A word that few stories have says more: it weighs 1 / (stories that have it). Words say nothing when
they are function words or when most stories have them. Nothing here knows topics or readers.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from mailer.editions.words import telling_words
from mailer.issues.document import Story

# One word that at most two stories have. A line that shares less is about no story: it is for everyone.
LEAST_WEIGHT = Fraction(1, 2)
# From this many stories on, a word that more than half of them have is as common as a function word.
FREQUENCY_RULE_STORIES = 4


def followed_stories(text: str, stories: Sequence[Story]) -> frozenset[int] | None:
    """The numbers of the stories that a text follows, several on a tie; None: it is for everyone."""
    words = telling_words(text)
    told = _told_words(tuple(stories))
    counts = _story_counts(told)
    weights = {
        story.number: sum((Fraction(1, counts[word]) for word in words & own if word in counts), Fraction())
        for story, own in zip(stories, told, strict=True)
    }
    most = max(weights.values(), default=Fraction())
    if most < LEAST_WEIGHT:
        return None
    return frozenset(number for number, weight in weights.items() if weight == most)


# An issue is composed once per edition; its words are the same each time.
@lru_cache(maxsize=8)
def _told_words(stories: tuple[Story, ...]) -> tuple[frozenset[str], ...]:
    return tuple(telling_words(_told(story)) for story in stories)


@lru_cache(maxsize=8)
def _story_counts(told: tuple[frozenset[str], ...]) -> dict[str, int]:
    counts = Counter(word for words in told for word in words)
    most = len(told) / 2 if len(told) >= FREQUENCY_RULE_STORIES else len(told)
    return {word: count for word, count in counts.items() if count <= most}


def _told(story: Story) -> str:
    parts = (story.title, story.key_point, story.context, story.implication)
    return "\n".join(part for part in parts if part)
