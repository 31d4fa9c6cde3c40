"""What the parts of an issue say about each other: numbers that lead nowhere, keys without a story.

A fault makes the issue unsendable; everything else is a warning, told with its line and never mended
here.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from mailer.issues.document import IssueDocument
from mailer.issues.headings import LABELS
from mailer.issues.layout import Path, enumerate_lines, slots_of
from subscribers.errors import Problem

_IN_TEXT = re.compile(r"(?<!\[)\[([1-9][0-9]{0,2})\](?!\])")


def faults(document: IssueDocument) -> list[Problem]:
    """What makes the issue unsendable, beside what single lines say."""
    found = []
    count = len(document.stories)
    if not count:
        cure = "A title line ends in [n] or [REGION • date], for example: 🧬 Title [1] [US • 21 Jan 2026]"
        found.append(Problem("there is no story in this issue.", None, "stories", cure))
        return found
    front = document.front_matter
    for number in front.topics:
        if number > count:
            found.append(_no_such_story(number, count, f"topics.{number}", front.lines))
    if front.subject_story is not None and front.subject_story > count:
        found.append(_no_such_story(front.subject_story, count, "subject_story", front.lines))
    return found


def with_warnings(document: IssueDocument, of_lines: Sequence[Problem]) -> IssueDocument:
    """The document with all its warnings in the order of their lines."""
    found = [*of_lines, *_citations(document), *_references(document), *_faq(document), *_twins(document)]
    found.sort(key=lambda problem: problem.line or 0)
    return replace(document, warnings=tuple(found))


def cited_url(document: IssueDocument, number: int) -> str | None:
    """What `[n]` cites: line n of References, or without a list the URL of the story printed with it."""
    if document.references:
        return document.references[number - 1] or None if number <= len(document.references) else None
    for story in document.stories:
        if number in story.citations and story.urls:
            return story.urls[0]
    return None


def _no_such_story(number: int, count: int, name: str, lines: dict[str, int]) -> Problem:
    stories = "1 story" if count == 1 else f"{count} stories"
    cure = f"Stories are counted from 1 in the order of the issue, which has {stories}."
    return Problem(f"there is no story {number}.", lines.get(name), name, cure)


def _citations(document: IssueDocument) -> list[Problem]:
    cited = [(f"story {story.number}", story.line, story.citations) for story in document.stories]
    cited += [("this line", point.line, point.citations) for point in document.why_it_matters]
    cited += [(f"question {entry.number}", entry.line, entry.citations) for entry in document.faq]
    cited += [("this text", line, numbers) for line, numbers in _numbers_in_texts(document)]
    where = "in References" if document.references else "to a story with a URL"
    found = []
    for name, line, numbers in cited:
        for number in numbers:
            if cited_url(document, number) is None:
                message = f"[{number}] of {name} leads nowhere."
                cure = f"Correct the number: it must lead {where}."
                found.append(Problem(message, line, "citation", cure))
    return found


def _numbers_in_texts(document: IssueDocument) -> list[tuple[int, tuple[int, ...]]]:
    """(line, numbers) of running texts; editions print these numbers anew, too."""
    found = []
    for number, line in enumerate_lines(document.layout):
        texts = [slot.printed for slot in slots_of(line) if _is_running_text(slot.field)]
        numbers = tuple(int(digits) for text in texts for digits in _IN_TEXT.findall(text))
        if numbers:
            found.append((number, numbers))
    return found


def _is_running_text(field: Path) -> bool:
    return field[0] == "intro" or field[-1] in LABELS or "answer" in field


def _references(document: IssueDocument) -> list[Problem]:
    """A story's number should cite the story's own source, or the list has slipped."""
    found = []
    for story in document.stories if document.references else ():
        cited = {cited_url(document, number) for number in story.citations}
        if story.urls and None not in cited and cited and not cited & set(story.urls):
            numbers = "".join(f"[{number}]" for number in story.citations)
            message = f"{numbers} of story {story.number} cites another address than the story's."
            cure = "Compare the list of references with the stories."
            found.append(Problem(message, story.line, "citation", cure))
    return found


def _faq(document: IssueDocument) -> list[Problem]:
    return [
        Problem(f"question {entry.number} has no answer.", entry.line, "FAQ", "Write it on the next line.")
        for entry in document.faq
        if not entry.answer
    ]


def _twins(document: IssueDocument) -> list[Problem]:
    found = []
    first: dict[str, int] = {}
    for story in document.stories:
        for key in (story.title.casefold(), *story.urls[:1]):
            twin = first.setdefault(key, story.number)
            if twin != story.number:
                message = f"story {story.number} has the title or the URL of story {twin}."
                found.append(Problem(message, story.line, "title", "Delete one of them, or correct the URL."))
                break
    return found
