"""Which number each `[n]` of an issue gets in an edition.

Numbers are given by first appearance in the order in which an edition is read: intro, stories (title,
key point, context, implication), "why it matters", questions. A number that cites nothing is left
out.
"""

import re
from collections.abc import Iterable, Mapping

from mailer.issues.citations import IN_TEXT, Sources, cited_in_text
from mailer.issues.document import FaqEntry, Point


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

    changed = IN_TEXT.sub(replace, text)
    return changed if changed == text else changed.strip()
