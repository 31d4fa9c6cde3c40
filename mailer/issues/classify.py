"""Which part each line of an issue stands in, and which lines begin a story.

A line that ends in `[n]` or `[REGION • date]` begins one, outside the FAQ; in lists whose lines may end
in `[n]` themselves it takes one sign more.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from mailer.issues import source as source_text
from mailer.issues import urls
from mailer.issues.emoji import split_emoji
from mailer.issues.headings import (
    NAMES_OF_ONE_SOURCE,
    Heading,
    Part,
    Vocabulary,
    fold,
    has_bullet,
    is_hash_heading,
    strip_bullet,
    strip_hashes,
    without_bold,
)
from mailer.issues.marks import Ending, read_citations
from mailer.issues.stories import read_title, title_parts

_QUESTION_MARKS = "?？؟\u037e"
_CLOSING_QUOTES = "\"'”’»)*_"
REFERENCE_NUMBER = re.compile(r"(?:\[\d{1,3}\]|\d{1,3}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Row:
    """A physical line, with what it says about itself."""

    number: int  # of the file, from 1
    lead: str
    core: str
    trail: str
    ending: str
    heading: Heading | None
    part: Part  # in which it stands
    marks: Ending | None  # it begins a story


def classify(lines: Sequence[tuple[str, str]], first: int, words: Vocabulary) -> list[Row]:
    """Say of each line in which part it stands and whether it begins a story."""
    rows: list[Row] = []
    part = Part.INTRO
    cores = [source_text.split_edges(line) for line, _ in lines]
    titles = [_title(core) for _, core, _ in cores]
    for index, (lead, core, trail) in enumerate(cores):
        heading = words.heading(core) if core else None
        if heading is not None and not _counts(heading, part, _cores_behind(cores, index), words):
            heading = None
        marks = None
        if heading is not None:
            part = heading.part if heading.part is not Part.DIVE_DEEPER else _after_dive_deeper(part)
        elif core and part is not Part.FAQ:
            marks = _story_marks(core, part, partial(_next_core, cores, index), words)
            if part is Part.CONTENTS and marks is not None and _comes_again(titles, index):
                # A list of contents, unless what belongs to a story follows.
                marks = marks if _continues_story(_next_core(cores, index), words) else None
            if marks is not None:
                part = Part.STORIES
        if heading is None and marks is None and part not in (Part.INTRO, Part.STORIES, Part.CONTENTS):
            unknown = is_hash_heading(core) and not (part is Part.FAQ and _is_question(core))
            part = Part.UNKNOWN if unknown else part
        rows.append(Row(first + index, lead, core, trail, lines[index][1], heading, part, marks))
    return rows


def _counts(heading: Heading, part: Part, behind: Iterable[str], words: Vocabulary) -> bool:
    """Whether a line that could be a heading is one where it stands.

    "Source" may as well name the source of one story or answer, and so may addresses on the same line:
    they begin the references only where no story, question or other list of references follows.
    """
    if part is Part.FAQ and not heading.rest and asks(heading.after):
        return False
    is_of_one = fold(heading.name) in NAMES_OF_ONE_SOURCE
    if heading.part is not Part.REFERENCES or not (is_of_one or heading.rest):
        return True
    if part in (Part.KEYWORDS, Part.REFERENCES):
        return True
    if part in (Part.INTRO, Part.CONTENTS) or (is_of_one and (heading.rest or part is Part.STORIES)):
        return False
    return not any(_begins_more(core, words) for core in behind)


def _begins_more(core: str, words: Vocabulary) -> bool:
    if asks(core) or ((heading := words.heading(core)) and heading.part is Part.REFERENCES):
        return True
    is_listed = has_bullet(core) or REFERENCE_NUMBER.match(core) or urls.is_meant_as_url(core)
    return not is_listed and read_title(core) is not None


def _title(core: str) -> tuple[str, tuple[int, ...]] | None:
    """The title and numbers of a line with the marks of a story, for comparison."""
    marks = read_title(core)
    return (fold(title_parts(core, marks).title), marks.citations) if marks else None


def _comes_again(titles: Sequence[tuple[str, tuple[int, ...]] | None], index: int) -> bool:
    """Whether a later line has this title; with other numbers it is another story's."""
    if (found := titles[index]) is None:
        return False
    title, numbers = found
    return any(
        later is not None and later[0] == title and (later[1] == numbers or not (later[1] and numbers))
        for later in titles[index + 1 :]
    )


def _after_dive_deeper(part: Part) -> Part:
    return Part.CONTENTS if part is Part.INTRO else part


def _story_marks(core: str, part: Part, following: Callable[[], str], words: Vocabulary) -> Ending | None:
    marks = read_title(core)
    if marks is None or not title_parts(core, marks).title:
        return None
    if part is Part.STORIES and marks.place is None and words.label(core) is not None:
        return None  # "Key point: as before [1]" cites, and begins nothing
    if part in (Part.INTRO, Part.CONTENTS, Part.STORIES, Part.UNKNOWN):
        return None if marks.place is None and urls.is_meant_as_url(core) else marks
    # In a list of lines that may carry `[n]` themselves, a story shows by something more.
    if has_bullet(core) or REFERENCE_NUMBER.match(core) or urls.is_meant_as_url(core):
        return None
    if marks.place is not None or split_emoji(core)[0]:
        return marks
    return marks if _continues_story(following(), words) else None


def _continues_story(line: str, words: Vocabulary) -> bool:
    return urls.is_meant_as_url(line) or words.label(line) is not None


def _next_core(cores: Sequence[tuple[str, str, str]], index: int) -> str:
    return next(_cores_behind(cores, index), "")


def _cores_behind(cores: Sequence[tuple[str, str, str]], index: int) -> Iterator[str]:
    return (cores[at][1] for at in range(index + 1, len(cores)) if cores[at][1])


def _is_question(core: str) -> bool:
    question = read_question(core)
    return asks(question.text) or bool(question.citations)


@dataclass(frozen=True, slots=True)
class Question:
    """A line of the FAQ taken apart: printed in the order of the fields."""

    before: str  # `#`, bullet, bold marks
    text: str
    between: str  # bold marks that close before the `[n]`
    citations: tuple[int, ...]
    cited: str  # the `[n]` as printed
    after: str


def read_question(core: str) -> Question:
    """`What? [1]`, `- What?`, `**What? [1]**`, `**What?** [1]`."""
    bare = strip_bullet(strip_hashes(core))
    before = core[: len(core) - len(bare)]
    inner, marks = without_bold(bare)
    text, citations, cited = read_citations(inner)
    if marks:
        return Question(before + marks, text, "", citations, cited, marks)
    inner, marks = without_bold(text)
    return Question(before + marks, inner, marks, citations, cited, "")


def asks(text: str) -> bool:
    """Whether a sentence ends in a question mark, quotes and bold marks behind it or not."""
    return text.rstrip().rstrip(_CLOSING_QUOTES).endswith(tuple(_QUESTION_MARKS))
