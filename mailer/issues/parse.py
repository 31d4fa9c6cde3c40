"""Bytes of a pasted issue -> IssueDocument, generous in what it reads and silent about nothing.

A line gets the one place that its own signs give it; what has none is listed as unplaced. Every fault
that makes the issue unsendable is collected and raised at once. Nothing is guessed: two readings of a
line mean that neither is taken.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mailer.config import HeadingsTable
from mailer.issues import check, frontmatter, urls
from mailer.issues import source as source_text
from mailer.issues.classify import REFERENCE_NUMBER, Row, asks, classify, read_question
from mailer.issues.document import CallToAction, FaqEntry, IssueDocument, Point, Story, Unplaced
from mailer.issues.emoji import split_emoji
from mailer.issues.headings import (
    Heading,
    Label,
    Part,
    Vocabulary,
    has_bullet,
    strip_bullet,
)
from mailer.issues.layout import Layout, Line, Slot
from mailer.issues.marks import Ending, read_citations, read_ending
from mailer.issues.stories import OpenStory, citations_slot, label_pieces, line_of, open_story
from subscribers.errors import NewsletterError, Problem

_STOPS = ".!。！…"


def parse(
    source: bytes, *, file: str, headings: HeadingsTable, topics: Collection[str] | None = None
) -> IssueDocument:
    """Read an issue. `topics`: the declared slugs, None: any slug will do.

    Raises NewsletterError with every fault that makes the issue unsendable.
    """
    text, encoding, bom = source_text.decode(source, file=file)
    lines = source_text.split_lines(text)
    if faults := source_text.control_characters(lines, encoding, bom=bom):
        raise NewsletterError.of(faults, file=file)
    head = frontmatter.read(lines, topics)
    if head.faults and not head.length:  # never closed: where the text begins is not known
        raise NewsletterError.of(head.faults, file=file)
    words = Vocabulary(headings)
    body = _Body(words)
    body.read(classify(lines[head.length :], head.length + 1, words))
    layout = Layout(encoding, bom, (*head.lines, *body.lines))
    document = body.document(head, layout)
    faults = [*head.faults, *body.faults, *check.faults(document)]
    if faults:
        faults.sort(key=lambda problem: problem.line or 0)
        raise NewsletterError.of(faults, file=file)
    return document


class _Body:
    """The parts of an issue as they fill up, line by line."""

    def __init__(self, words: Vocabulary) -> None:
        self._words = words
        self.lines: list[Line] = []
        self.faults: list[Problem] = []
        self._warnings: list[Problem] = []
        self._unplaced: list[Unplaced] = []
        self._story: OpenStory | None = None
        self._is_under_title = False  # also when the open story was closed for confusion
        self._stories: list[Story] = []
        self._last_story_row = -1
        self._intro: list[str] = []
        self._dive_deeper: list[str] = []
        self._points: list[Point] = []
        self._points_have_bullets = False
        self._points_are_over = False
        self._calls: list[CallToAction] = []
        self._faq: list[FaqEntry] = []
        self._keywords: list[str] = []
        self._keywords_are_over = False  # a full stop ended the list
        self._keywords_are_headed = False  # a line that nobody knows headed what follows
        self._references: list[str] = []
        self._references_are_prose = False  # their lines begin with words and no bullet
        self._strays: list[_Stray] = []

    def read(self, rows: Sequence[Row]) -> None:
        self._last_story_row = max((row.number for row in rows if row.marks is not None), default=-1)
        for row in rows:
            if not row.core:
                self._keep(row, row.lead + row.trail)
            elif row.heading is not None:
                self._heading(row, row.heading)
            elif row.marks is not None:
                self._begin_story(row, row.marks)
            else:
                _PARTS[row.part](self, row)
        self._close_story()

    def document(self, head: frontmatter.Head, layout: Layout) -> IssueDocument:
        document = IssueDocument(
            front_matter=head.values,
            intro=tuple(self._intro),
            dive_deeper=tuple(self._dive_deeper),
            stories=tuple(self._stories),
            why_it_matters=tuple(self._points),
            calls_to_action=tuple(self._calls),
            faq=tuple(self._faq),
            keywords=tuple(self._keywords),
            references=tuple(self._references),
            unplaced=tuple(self._unplaced),
            warnings=(),
            layout=layout,
        )
        return check.with_warnings(document, self._warnings)

    # -- headings and stories -------------------------------------------------------------------------

    def _heading(self, row: Row, heading: Heading) -> None:
        part = heading.part
        if part is Part.DIVE_DEEPER:
            slot = Slot(("dive_deeper", len(self._dive_deeper)), heading.name, heading.name)
            self._dive_deeper.append(heading.name)
            self._add(row, heading.before, slot, heading.after)
            return
        self._close_story()
        if part is Part.WHY_IT_MATTERS:
            self._points_are_over = False
        self._keywords_are_headed = False
        pieces: list[str | Slot] = [row.core[: len(row.core) - len(heading.rest)]]
        if heading.rest and part is Part.KEYWORDS:  # "Keywords: a; b"
            pieces += self._keyword_pieces(row, heading.rest)
            self._keywords_are_over = heading.rest.endswith((".", "。"))
        elif heading.rest:  # "References: https://…"
            self._settle_strays()
            pieces += self._reference_pieces(row, heading.rest)
        self._add(row, *pieces, anchor=part.value)

    def _begin_story(self, row: Row, marks: Ending) -> None:
        self._close_story()
        self._is_under_title = True
        self._story, pieces = open_story(len(self._stories), row.number, row.core, marks)
        self._add(row, *pieces)

    def _close_story(self) -> None:
        if self._story is not None:
            self._stories.append(self._story.finish())
            self._warnings += self._story.warnings()
            self._story = None

    def _in_story(self, row: Row) -> None:
        story = self._story
        if (label := self._words.label(row.core)) is not None:
            self._label_line(row, label)
        elif self._is_under_title and urls.is_meant_as_url(strip_bullet(row.core)):
            self._url_line(row)
        elif split_emoji(row.core)[0]:
            self._emoji_line(row)
        else:
            if story is not None:
                story.is_interrupted = True
            self._misplace(row)

    def _label_line(self, row: Row, label: Label) -> None:
        story = self._story
        if story is not None and story.takes_label(label.name):
            story.labels[label.name], pieces = label_pieces(story.position, label)
            self._add(row, *pieces)
        elif story is not None and not story.is_interrupted:
            name = label.name.replace("_", " ")
            message = f"story {story.position + 1} has a second {name}; this one is not printed."
            self._warnings.append(Problem(message, row.number, name, "Join the two on one line."))
            self._misplace(row)
        else:
            self._end_confused_story(row)

    def _url_line(self, row: Row) -> None:
        bare = strip_bullet(row.core)
        tokens = re.split(r"(\s+)", bare)
        for url in tokens[::2]:
            if (fault := urls.fault_of(url)) is not None:
                self._bad_url(row, url, fault)
                self._keep(row, row.lead + row.core + row.trail)
                return
        story = self._story
        if story is None or not story.takes_url():
            self._end_confused_story(row)
            return
        pieces: list[str | Slot] = [row.core[: len(row.core) - len(bare)]]
        for index, token in enumerate(tokens):
            if index % 2:
                pieces.append(token)
                continue
            pieces.append(Slot(("stories", story.position, "urls", len(story.urls)), token, token))
            story.urls.append(token)
        self._add(row, *pieces)

    def _end_confused_story(self, row: Row) -> None:
        """A line that the open story cannot have: most likely another story's, whose title was not seen."""
        if self._story is not None:
            self._close_story()
            cure = "A title line ends in [n] or [REGION • date], for example: 🧬 Title [1] [US • 21 Jan 2026]"
            message = "this line belongs to no story; the title line before it was not recognised."
            self._warnings.append(Problem(message, row.number, "title", cure))
        self._misplace(row)

    def _emoji_line(self, row: Row) -> None:
        """A call to action behind the last story; before it, a title that lacks its `[n]`."""
        self._close_story()
        if row.number < self._last_story_row or read_ending(row.core) is not None:
            self._misplace(row)
            return
        self._is_under_title = False
        self._points_are_over = True
        emoji, space, text = split_emoji(row.core)
        owner = ("calls_to_action", len(self._calls))
        self._calls.append(CallToAction(len(self._calls) + 1, emoji, text, row.number))
        self._add(row, Slot((*owner, "emoji"), emoji, emoji + space), Slot((*owner, "text"), text, text))

    # -- the other parts ------------------------------------------------------------------------------

    def _in_intro(self, row: Row) -> None:
        slot = Slot(("intro", len(self._intro)), row.core, row.core)
        self._intro.append(row.core)
        self._add(row, slot)

    def _in_contents(self, row: Row) -> None:
        self._misplace(row)

    def _in_points(self, row: Row) -> None:
        if split_emoji(row.core)[0]:
            self._emoji_line(row)
            return
        bare = strip_bullet(row.core)
        bulleted = has_bullet(row.core)
        if not bulleted and (self._points_have_bullets or self._points_are_over):
            self._misplace(row)
            return
        self._points_have_bullets = self._points_have_bullets or bulleted
        before = row.core[: len(row.core) - len(bare)]
        core, stop = (bare[:-1], bare[-1]) if bare.endswith("].") else (bare, "")
        text, numbers, cited = read_citations(core)
        owner = ("why_it_matters", len(self._points))
        slots = (Slot((*owner, "text"), text, text), citations_slot(owner, numbers, cited))
        self._points.append(Point(text, numbers, row.number))
        self._add(row, before, *slots, stop)

    def _in_faq(self, row: Row) -> None:
        if split_emoji(row.core)[0] and not read_citations(row.core)[1]:
            self._emoji_line(row)
        elif self._begins_question(row.core):
            self._question(row)
        elif not self._faq:
            self._misplace(row)
        else:
            entry = self._faq[-1]
            slot = Slot(("faq", len(self._faq) - 1, "answer", len(entry.answer)), row.core, row.core)
            self._faq[-1] = FaqEntry(
                entry.number, entry.question, entry.citations, (*entry.answer, row.core), entry.line
            )
            self._add(row, slot)

    def _begins_question(self, core: str) -> bool:
        question = read_question(core)
        body, numbers = question.text, question.citations
        if asks(body):
            return True
        # Without a question mark `[n]` may also end an answer: a full stop before it, or no answer yet.
        wants_answer = bool(self._faq) and not self._faq[-1].answer
        return bool(numbers) and not wants_answer and not body.endswith(tuple(_STOPS))

    def _question(self, row: Row) -> None:
        read = read_question(row.core)
        owner = ("faq", len(self._faq))
        self._faq.append(FaqEntry(len(self._faq) + 1, read.text, read.citations, (), row.number))
        question = Slot((*owner, "question"), read.text, read.text)
        citations = citations_slot(owner, read.citations, read.cited)
        self._add(row, read.before, question, read.between, citations, read.after)

    def _in_keywords(self, row: Row) -> None:
        if split_emoji(row.core)[0]:
            self._emoji_line(row)
            return
        bare = strip_bullet(row.core)
        bulleted = bare != row.core
        keywords = [keyword for keyword in re.split("[;；]", bare) if keyword.strip()]
        has_several = any(mark in bare for mark in ";；")
        self._keywords_are_headed = not has_several and (
            self._keywords_are_headed or bare.rstrip("*_").endswith((":", "："))
        )
        is_over = self._keywords_are_headed or (self._keywords_are_over and not bulleted)
        if is_over or (keywords and all(map(urls.spans, keywords))):
            self._misplace(row)
            return
        self._keywords_are_over = not bulleted and bare.endswith((".", "。"))
        pieces = self._keyword_pieces(row, bare)
        self._add(row, row.core[: len(row.core) - len(bare)], *pieces)

    def _keyword_pieces(self, row: Row, text: str) -> list[str | Slot]:
        """Keywords and what stands between them; an address is none, and stays where it is, unplaced."""
        pieces: list[str | Slot] = []
        body, stop = (text[:-1], text[-1]) if text.endswith((".", "。")) else (text, "")
        between = ""
        for token in re.split(r"([;；])", body):
            lead, keyword, trail = source_text.split_edges(token)
            if not keyword or keyword in (";", "；"):
                between += token
                continue
            if urls.spans(keyword):
                self._unplaced.append(Unplaced(row.number, keyword))
                between += token
                continue
            pieces += [between + lead, Slot(("keywords", len(self._keywords)), keyword, keyword)]
            between = trail
            self._keywords.append(keyword)
        return [piece for piece in (*pieces, between + stop) if piece != ""]

    def _in_references(self, row: Row) -> None:
        number = REFERENCE_NUMBER.match(row.core)
        bare = row.core[number.end() :] if number else strip_bullet(row.core)
        before = row.core[: len(row.core) - len(bare)]
        if split_emoji(row.core)[0]:
            self._emoji_line(row)
        elif urls.is_meant_as_url(bare) and urls.span_among_words(bare) is None:
            self._settle_strays()
            self._add(row, before, self._reference_slot(row, bare))
        elif (span := urls.span_among_words(bare)) and (
            before or self._references_are_prose or not self._references
        ):
            self._references_are_prose = not before and span[0] > 0
            self._settle_strays()
            self._add(row, before, *self._worded_reference(row, bare, span))
        else:
            self._strays.append(_Stray(row, len(self.lines), bare))
            self._misplace(row)
            if before:
                cure = "Put the address of the source on this line."
                message = "this line of the references has no good URL; its number leads nowhere."
                self._warnings.append(Problem(message, row.number, "references", cure))

    def _settle_strays(self) -> None:
        """A reference follows: the lines without a place before it count as lines of the list, too."""
        placed: set[int] = set()
        for stray in self._strays:
            row = stray.row
            before = row.core[: len(row.core) - len(stray.bare)]
            if span := urls.span_among_words(stray.bare):
                placed.add(row.number)
                pieces = (before, *self._worded_reference(row, stray.bare, span))
            elif before:
                pieces = (row.core, self._reference_slot(row, ""))
            else:
                message = (
                    "this line between the references has no URL, so the numbers behind it are in doubt."
                )
                cure = "Give it its URL, or move it out of the list."
                self.faults.append(Problem(message, row.number, "references", cure))
                continue
            self.lines[stray.place] = line_of(row.lead, pieces, row.trail, row.ending)
        self._strays.clear()
        if placed:
            self._unplaced = [line for line in self._unplaced if line.line not in placed]

    def _worded_reference(self, row: Row, bare: str, span: tuple[int, int]) -> tuple[str | Slot, ...]:
        """The pieces of "Example press release, https://…": the address is the reference."""
        start, end = span
        message = (
            f"only the address of reference {len(self._references) + 1} is printed, not the words beside it."
        )
        cure = "Put only the address of the source on this line."
        self._warnings.append(Problem(message, row.number, "references", cure))
        return bare[:start], self._reference_slot(row, bare[start:end]), bare[end:]

    def _reference_pieces(self, row: Row, text: str) -> list[str | Slot]:
        """The addresses of "References: https://… https://…" and what stands between them."""
        pieces: list[str | Slot] = []
        done = 0
        for start, end in urls.spans(text):
            pieces += [text[done:start], self._reference_slot(row, text[start:end])]
            done = end
        return [*pieces, text[done:]]

    def _reference_slot(self, row: Row, url: str) -> Slot:
        if url and (fault := urls.fault_of(url)) is not None:
            self._bad_url(row, url, fault)
        slot = Slot(("references", len(self._references)), url, url)
        self._references.append(url)
        return slot

    def _in_unknown(self, row: Row) -> None:
        if split_emoji(row.core)[0]:
            self._emoji_line(row)
        else:
            self._misplace(row)

    # -- lines ----------------------------------------------------------------------------------------

    def _bad_url(self, row: Row, url: str, fault: str) -> None:
        shown = url if len(url) <= 60 else url[:59] + "…"
        cure = "Write a whole address, for example https://www.example.com/page"
        if url.lower().startswith("www."):
            cure = f"Write https://{shown}"
        self.faults.append(Problem(f"'{shown}' {fault}.", row.number, "URL", cure))

    def _misplace(self, row: Row) -> None:
        self._unplaced.append(Unplaced(row.number, row.core))
        self._keep(row, row.lead + row.core + row.trail)

    def _keep(self, row: Row, text: str) -> None:
        self.lines.append(Line((text,) if text else (), row.ending))

    def _add(self, row: Row, *pieces: str | Slot, anchor: str = "") -> None:
        self.lines.append(line_of(row.lead, pieces, row.trail, row.ending, anchor))


@dataclass(frozen=True, slots=True)
class _Stray:
    """A line among the references that had no place when it was read."""

    row: Row
    place: int  # of its line in the layout
    bare: str  # without its bullet or number


_PARTS: dict[Part, Callable[[_Body, Row], None]] = {
    Part.INTRO: _Body._in_intro,
    Part.CONTENTS: _Body._in_contents,
    Part.STORIES: _Body._in_story,
    Part.WHY_IT_MATTERS: _Body._in_points,
    Part.FAQ: _Body._in_faq,
    Part.KEYWORDS: _Body._in_keywords,
    Part.REFERENCES: _Body._in_references,
    Part.UNKNOWN: _Body._in_unknown,
}
