"""Which stories a reader gets: the topics somebody chose become an ordered selection.

Pure: no database, no clock, no readers. A selection knows nothing of references, questions or
subjects; `compose` makes an edition of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from mailer.config import Settings
from mailer.editions.content import Selection
from mailer.issues.values import Issue

FULL_KEY = "full"
# Few readers choose more, short of all.
EVERY_SELECTION_MAX_CHOSEN = 6
# Different ones, each rendered at about 20 ms: up to 6 of 16 topics, in some five minutes.
EVERY_SELECTION_MAX = 16_000

Choice: TypeAlias = frozenset[str] | None  # None: every topic


def select(issue: Issue, choice: Choice, settings: Settings) -> Selection | None:
    """The stories of somebody who chose these topics; None when too few stories match ("no_stories").

    Topics that the issue has no story of change nothing.
    """
    return selections_for(issue, (choice,), settings)[choice]


def whole_of(issue: Issue, settings: Settings) -> Selection:
    """Every story: the selection of somebody who reads all topics."""
    return _full(_tagged(issue, settings))


def selections_for(
    issue: Issue, choices: Iterable[Choice], settings: Settings
) -> dict[Choice, Selection | None]:
    """The selection of each distinct choice; choices that pick the same stories share one value."""
    stories = _tagged(issue, settings)
    made: dict[int, Selection] = {}
    full = _full(stories)

    def selection_of(choice: Choice) -> Selection | None:
        if choice is None:
            return full
        matched = stories.matched(choice)
        if matched.bit_count() < settings.editions.minimum_topic_stories:
            return full if settings.editions.when_empty == "full" else None
        if matched | stories.everyone == stories.all:
            return full
        if not matched | stories.everyone:
            return None
        if matched not in made:
            made[matched] = _partial(stories, matched)
        return made[matched]

    return {choice: selection_of(choice) for choice in choices}


def every_selection(issue: Issue, settings: Settings) -> list[Selection]:
    """Every selection of a reader of up to `most_chosen` topics: the full one first, then by their number."""
    choices: list[Choice] = [None, *(choice for size in _choices_by_size(issue, settings) for choice in size)]
    selections = selections_for(issue, choices, settings).values()
    return list({selection.key: selection for selection in selections if selection}.values())


def selection_of_each_topic(issue: Issue, settings: Settings) -> list[Selection]:
    """The full selection, then that of a reader of one topic, for each topic of the issue."""
    choices: list[Choice] = [None, *(frozenset({slug}) for slug in topics_in_use(issue, settings))]
    selections = selections_for(issue, choices, settings).values()
    return list({selection.key: selection for selection in selections if selection}.values())


def most_chosen(issue: Issue, settings: Settings) -> int:
    """How many of the issue's topics `every_selection` takes together: as many as keep it in bounds."""
    if len(made := _choices_by_size(issue, settings)) == EVERY_SELECTION_MAX_CHOSEN:
        return EVERY_SELECTION_MAX_CHOSEN
    return min(len(made), len(topics_in_use(issue, settings)))


def _choices_by_size(issue: Issue, settings: Settings) -> list[list[frozenset[str]]]:
    """Of each set of stories one smallest choice that picks it, by the number of its topics."""
    topics = _tagged(issue, settings).topics
    found: dict[int, frozenset[str]] = {}
    newest: dict[int, frozenset[str]] = {0: frozenset()}
    sizes: list[list[frozenset[str]]] = []
    for _ in range(min(len(topics), EVERY_SELECTION_MAX_CHOSEN)):
        larger: dict[int, frozenset[str]] = {}
        for matched, choice in newest.items():
            for slug, stories in topics:
                if (both := matched | stories) not in found:
                    larger.setdefault(both, choice | {slug})
            if sizes and len(found) + len(larger) > EVERY_SELECTION_MAX:
                return sizes
        found |= larger
        newest = larger
        sizes.append(list(larger.values()))
    return sizes


def topics_in_use(issue: Issue, settings: Settings) -> list[str]:
    """The topics of the issue's stories, in the order of the configuration."""
    return [slug for slug, _ in _tagged(issue, settings).topics]


@dataclass(frozen=True, slots=True)
class _Tagged:
    """The stories of an issue as bits, the first story being bit 0."""

    numbers: tuple[int, ...]
    topics: tuple[tuple[str, int], ...]  # those in use, in config order, each with its stories
    everyone: int

    @property
    def all(self) -> int:
        return (1 << len(self.numbers)) - 1

    def matched(self, choice: frozenset[str]) -> int:
        matched = 0
        for slug, stories in self.topics:
            if slug in choice:
                matched |= stories
        return matched

    def listed(self, bits: int) -> tuple[int, ...]:
        return tuple(number for place, number in enumerate(self.numbers) if bits >> place & 1)


def _tagged(issue: Issue, settings: Settings) -> _Tagged:
    by_topic: dict[str, int] = {}
    everyone = 0
    for place, story in enumerate(issue.document.stories):
        tagged = issue.topics.get(story.number)
        if tagged is None or not tagged.topics:
            everyone |= 1 << place
            continue
        for slug in tagged.topics:
            by_topic[slug] = by_topic.get(slug, 0) | 1 << place
    order = [slug for slug in settings.topics if slug in by_topic]
    order += sorted(by_topic.keys() - settings.topics.keys())
    numbers = tuple(story.number for story in issue.document.stories)
    return _Tagged(numbers, tuple((slug, by_topic[slug]) for slug in order), everyone)


def _full(stories: _Tagged) -> Selection:
    matched = stories.all & ~stories.everyone
    topics = smallest_cover(matched, stories.topics)
    return Selection(FULL_KEY, topics, stories.numbers, stories.listed(matched), is_full=True)


def _partial(stories: _Tagged, matched: int) -> Selection:
    numbers = stories.listed(matched | stories.everyone)
    key = "-".join(map(str, numbers))
    topics = smallest_cover(matched, stories.topics)
    return Selection(key, topics, numbers, stories.listed(matched), is_full=False)


def smallest_cover(wanted: int, topics: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """The fewest topics whose stories together are exactly `wanted`; of equal ones, the first in order.

    `wanted` must be the union of some of them.
    """
    usable: Mapping[str, int] = {slug: stories for slug, stories in topics if not stories & ~wanted}

    @cache
    def is_coverable(left: int, budget: int) -> bool:
        if not left:
            return True
        if not budget:
            return False
        # The story with the fewest topics decides soonest.
        story = min(_bits(left), key=lambda bit: sum(1 for stories in usable.values() if stories & bit))
        return any(
            is_coverable(left & ~stories, budget - 1) for stories in usable.values() if stories & story
        )

    budget = next(size for size in range(len(usable) + 1) if is_coverable(wanted, size))
    cover: list[str] = []
    for slug, stories in usable.items():
        if wanted & stories and is_coverable(wanted & ~stories, budget - 1):
            cover.append(slug)
            wanted, budget = wanted & ~stories, budget - 1
    return tuple(cover)


def _bits(mask: int) -> Iterable[int]:
    while mask:
        lowest = mask & -mask
        yield lowest
        mask ^= lowest
