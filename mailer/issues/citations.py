"""What `[n]` means in an issue.

`[n]` cites line n of References, or without such a list the URL of the story printed with `[n]`. It
stands for the story that prints it whether or not it has a source: whose line or question it is does
not depend on one. Titles are text and are never looked into.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mailer.issues.document import FaqEntry, IssueDocument, Point, Story
from mailer.issues.headings import LABELS
from mailer.issues.layout import Path, first_lines

# `[n]` in running text, with the space before it; `[[1]]`, `[01]` and `[2026]` are text.
IN_TEXT = re.compile(r"\s{0,4}(?<!\[)\[([1-9][0-9]{0,2})\](?!\])")


@dataclass(frozen=True, slots=True)
class Sources:
    """What the issue's numbers cite: `urls` by number; `stories` are those that a number stands for.

    A number may have one without the other: a story without a URL, a source of no story. Where nothing
    is printed with a number and no reference is listed, brackets are text: `has_numbers` is false.
    """

    urls: Mapping[int, str]
    stories: Mapping[int, frozenset[int]]
    has_numbers: bool

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
        marked: list[Story | Point | FaqEntry] = [*document.stories, *document.why_it_matters, *document.faq]
        has_numbers = any(part.citations for part in marked)
        owned = {number: frozenset(found) for number, found in printed.items()}
        return Sources(_story_urls(document.stories), owned, has_numbers)
    urls = {number: url for number, url in enumerate(document.references, start=1) if url}
    by_url: dict[str, set[int]] = {}
    for story in document.stories:
        for url in story.urls:
            by_url.setdefault(url, set()).add(story.number)
    owners = {number: by_url[url] for number, url in urls.items() if url in by_url} | printed
    return Sources(urls, {number: frozenset(found) for number, found in owners.items()}, has_numbers=True)


def cited_in_text(text: str | None, sources: Sources) -> tuple[int, ...]:
    """The numbers of the issue that a running text carries, in its order."""
    found = (int(match[1]) for match in IN_TEXT.finditer(text or ""))
    return tuple(number for number in found if sources.knows(number))


@dataclass(frozen=True, slots=True)
class Dangling:
    """A printed `[n]` that cites nothing; editions leave it out."""

    owner: Path  # ("stories", 2), ("faq", 0), ("intro", 1): the part that prints it
    number: int
    line: int


def dangling(document: IssueDocument, sources: Sources) -> Iterator[Dangling]:
    """Every number that cites nothing, once a part; in an issue without numbers brackets are text."""
    lines: dict[Path, int] = {}
    for owner, item, texts in _parts(document):
        at = 0 if isinstance(item, str) else item.line
        printed = () if isinstance(item, str) else item.citations
        found = dict.fromkeys((number for number in printed if number not in sources.urls), at)
        for path, text in texts if sources.has_numbers else ():
            numbers = {int(match[1]) for match in IN_TEXT.finditer(text or "")}
            for number in sorted(n for n in numbers if n not in sources.urls and n not in found):
                lines = lines or first_lines(document.layout)
                found[number] = lines.get(path, at)
        yield from (Dangling(owner, number, line) for number, line in found.items())


_Item: TypeAlias = str | Story | Point | FaqEntry


def _parts(document: IssueDocument) -> Iterator[tuple[Path, _Item, list[tuple[Path, str | None]]]]:
    """(owner, part, texts with their paths) of every part in which `[n]` is a number."""
    for index, text in enumerate(document.intro):
        yield ("intro", index), text, [(("intro", index), text)]
    for index, story in enumerate(document.stories):
        labelled = [(("stories", index, label), getattr(story, label)) for label in LABELS]
        yield ("stories", index), story, list(labelled)
    for index, point in enumerate(document.why_it_matters):
        yield ("why_it_matters", index), point, [(("why_it_matters", index, "text"), point.text)]
    for index, entry in enumerate(document.faq):
        answers = [(("faq", index, "answer", place), text) for place, text in enumerate(entry.answer)]
        yield ("faq", index), entry, [(("faq", index, "question"), entry.question), *answers]


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
