"""Which number each `[n]` of an issue gets in an edition.

Numbers are given by first appearance in the order in which an edition is read: intro, stories (title,
key point, context, implication), "why it matters", questions. A number that cites nothing is left
out.
"""

import re
from collections.abc import Iterable, Mapping

from mailer.issues.citations import IN_TEXT, Sources, cited_in_text
from mailer.issues.document import FaqEntry, Point

# Words and signs between the numbers of a list: "[1], [2] and [3]".
_AND = "and|or|und|oder|sowie|et|ou|y|o|e|ed|en|of|och|og|i|и"
_JOINT = rf"\s{{0,4}}(?:[,;/&+–—-]\s{{0,4}})?(?:(?i:{_AND})\s{{1,4}})?(?=\[)"
_LIST = rf"{IN_TEXT.pattern}(?:{_JOINT}{IN_TEXT.pattern})*"
_LISTED = re.compile(rf"\s{{0,4}}\(\s?{_LIST}\s?\)|{_LIST}")


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

    What joined a number that goes to the next one goes with it: "[1], [2] and [3]" becomes "[1] and [2]".
    In an issue without numbers brackets are text.
    """
    if not sources.has_numbers:
        return text

    def replace(match: re.Match[str]) -> str:
        printed = match[0]
        cited = list(IN_TEXT.finditer(printed))
        kept = [f"[{numbers[number]}]" for found in cited if (number := int(found[1])) in numbers]
        if not kept:
            return ""
        starts = [printed.index("[", found.start()) for found in cited]
        joints = [printed[found.end() : start] for found, start in zip(cited, starts[1:], strict=False)]
        joints = [*joints[: max(len(kept) - 2, 0)], *joints[-1:]]  # the last one says "and"
        listed = "".join(number + joint for number, joint in zip(kept[:-1], joints, strict=False))
        return printed[: starts[0]] + listed + kept[-1] + printed[cited[-1].end() :]

    changed = _LISTED.sub(replace, text)
    return changed if changed == text else changed.strip()
