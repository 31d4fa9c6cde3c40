"""What the parts of an issue say about each other: numbers that lead nowhere, keys without a story.

A fault makes the issue unsendable; everything else is a warning, told with its line and never mended
here.
"""

from collections.abc import Sequence
from dataclasses import replace

from mailer.issues.citations import Sources, dangling, sources_of
from mailer.issues.document import IssueDocument
from mailer.issues.layout import Path
from subscribers.errors import Problem


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
    sources = sources_of(document)
    of_numbers = (*_citations(document, sources), *_references(document, sources))
    found = [*of_lines, *of_numbers, *_faq(document), *_twins(document)]
    found.sort(key=lambda problem: problem.line or 0)
    return replace(document, warnings=tuple(found))


def _no_such_story(number: int, count: int, name: str, lines: dict[str, int]) -> Problem:
    stories = "1 story" if count == 1 else f"{count} stories"
    cure = f"Stories are counted from 1 in the order of the issue, which has {stories}."
    return Problem(f"there is no story {number}.", lines.get(name), name, cure)


def _citations(document: IssueDocument, sources: Sources) -> list[Problem]:
    unsourced = {
        number: story.number for story in document.stories if not story.urls for number in story.citations
    }

    def cure(number: int) -> str:
        if document.references:
            return f"Correct the number: References has {len(document.references)} lines."
        if number in unsourced:
            return f"Give story {unsourced[number]} its URL."
        return "Correct the number: it must be that of a story with a URL."

    return [
        Problem(
            f"[{found.number}] of {_named(found.owner)} cites nothing and is left out.",
            found.line,
            "citation",
            cure(found.number),
        )
        for found in dangling(document, sources)
    ]


def _named(owner: Path) -> str:
    part, index = owner[0], int(owner[1])
    names = {"stories": f"story {index + 1}", "faq": f"question {index + 1}"}
    return names.get(str(part), "this line")


def _references(document: IssueDocument, sources: Sources) -> list[Problem]:
    """A story's number should cite the story's own source, or the list has slipped."""
    found = []
    for story in document.stories if document.references else ():
        cited = {sources.urls.get(number) for number in story.citations}
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
