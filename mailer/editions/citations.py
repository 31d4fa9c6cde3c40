"""What `[n]` means in an issue, and which number it gets in an edition.

`[n]` cites line n of References, or without such a list the URL of the story printed with `[n]`.
Numbers are given by first appearance in the order in which an edition is read: intro, stories (title,
key point, context, implication), "why it matters", questions. A number that cites nothing is left
out; titles are text and are never touched. It still stands for the story that prints it: whose line
or question it is does not depend on a source.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailer.issues.document import FaqEntry, IssueDocument, Point, Story

# `[n]` in running text, with the space before it; `[[1]]`, `[01]` and `[2026]` are text.
_IN_TEXT = re.compile(r"\s{0,4}(?<!\[)\[([1-9][0-9]{0,2})\](?!\])")


@dataclass(frozen=True, slots=True)
class Sources:
    """What the issue's numbers cite: `urls` by number; `stories` are those that a number stands for.

    A number may have one without the other: a story without a URL, a source of no story.
    """

    urls: Mapping[int, str]
    stories: Mapping[int, frozenset[int]]

    @property
    def has_numbers(self) -> bool:
        """Whether `[n]` means anything in this issue."""
        return bool(self.urls or self.stories)

    def knows(self, number: int) -> bool:
        return number in self.urls or number in self.stories

    def owners(self, numbers: Iterable[int]) -> frozenset[int]:
        """The stories that these numbers stand for; a source of its own stands for none."""
        return frozenset(story for number in numbers for story in self.stories.get(number, ()))


def sources_of(document: IssueDocument) -> Sources:
    """What each number of the issue cites, in the order of the numbers' list."""
    printed: dict[int, set[int]] = {}
    for story in document.stories:
        for number in story.citations:
            printed.setdefault(number, set()).add(story.number)
    if not document.references:
        return Sources(_story_urls(document.stories), {n: frozenset(found) for n, found in printed.items()})
    urls = {number: url for number, url in enumerate(document.references, start=1) if url}
    by_url: dict[str, set[int]] = {}
    for story in document.stories:
        for url in story.urls:
            by_url.setdefault(url, set()).add(story.number)
    owners = {number: by_url[url] for number, url in urls.items() if url in by_url} | printed
    return Sources(urls, {number: frozenset(found) for number, found in owners.items()})


def cited_in_text(text: str | None, sources: Sources) -> tuple[int, ...]:
    """The numbers of the issue that a running text carries, in its order."""
    found = (int(match[1]) for match in _IN_TEXT.finditer(text or ""))
    return tuple(number for number in found if sources.knows(number))


def numbers_of(line: Point | FaqEntry, sources: Sources) -> tuple[int, ...]:
    """The numbers that a line or question carries: the printed marks, else those in its text."""
    marked = tuple(number for number in line.citations if sources.knows(number))
    if marked:
        return marked
    texts = (line.text,) if isinstance(line, Point) else (line.question, *line.answer)
    return tuple(number for text in texts for number in cited_in_text(text, sources))


def renumbered(citations: Iterable[int], numbers: Mapping[int, int]) -> tuple[int, ...]:
    """The edition's numbers for an item's marks, each once; those that are not in `numbers` go."""
    return tuple(dict.fromkeys(numbers[number] for number in citations if number in numbers))


def renumbered_text(text: str, numbers: Mapping[int, int], sources: Sources) -> str:
    """A running text with the edition's numbers; those that are not in `numbers` go, with their space.

    In an issue without numbers brackets are text.
    """
    if not sources.has_numbers:
        return text

    def replace(match: re.Match[str]) -> str:
        number = numbers.get(int(match[1]))
        if number is None:
            return ""
        return f"{match[0][: match[0].index('[')]}[{number}]"

    changed = _IN_TEXT.sub(replace, text)
    return changed if changed == text else changed.strip()


def dangling(items: Iterable[Story | Point | FaqEntry], sources: Sources) -> Iterator[tuple[int, int]]:
    """(line, number) of each printed citation that points to nothing."""
    for item in items:
        texts: tuple[str | None, ...]
        match item:
            case Story():
                texts = (item.context, item.key_point, item.implication)
            case Point():
                texts = (item.text,)
            case FaqEntry():
                texts = (item.question, *item.answer)
        in_text = [int(match[1]) for text in texts for match in _IN_TEXT.finditer(text or "")]
        for number in dict.fromkeys((*item.citations, *(in_text if sources.has_numbers else ()))):
            if number not in sources.urls:
                yield item.line, number


def _story_urls(stories: Iterable[Story]) -> dict[int, str]:
    """Without References: the URL of the story printed with each number.

    A story printed `[1][3]` with two URLs has the first for `[1]` and the second for `[3]`; a story
    printed with that number alone or first goes before it.
    """
    first: dict[int, str] = {}
    later: dict[int, str] = {}
    for story in stories:
        for place, number in enumerate(story.citations):
            if story.urls:
                url = story.urls[min(place, len(story.urls) - 1)]
                (later if place else first).setdefault(number, url)
    return dict(sorted({**later, **first}.items()))
