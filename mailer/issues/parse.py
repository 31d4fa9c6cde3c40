"""Bytes of a pasted issue -> IssueDocument, generous in what it reads and silent about nothing.

A line gets the one place that its own signs give it; what has none is listed as unplaced. Every fault
that makes the issue unsendable is collected and raised at once. Nothing is guessed: two readings of a
line mean that neither is taken.
"""

import re
from collections.abc import Callable, Collection, Sequence

from mailer.config_tables import HeadingsTable
from mailer.issues import check, frontmatter, urls
from mailer.issues import source as source_text
from mailer.issues.classify import Row, asks, classify, read_question
from mailer.issues.document import CallToAction, FaqEntry, IssueDocument, Point, Story
from mailer.issues.emoji import split_emoji
from mailer.issues.headings import (
    Heading,
    Label,
    Part,
    Vocabulary,
    has_bullet,
    strip_bullet,
    strip_hashes,
)
from mailer.issues.keywords import KeywordList
from mailer.issues.layout import Layout, Slot
from mailer.issues.marks import Ending, read_citations
from mailer.issues.references import ReferenceList
from mailer.issues.sheet import Sheet
from mailer.issues.stories import OpenStory, citations_slot, label_pieces, open_story, read_title
from mailer.issues.strays import strays_before_stories
from mailer.urls import fault_of
from subscribers.errors import NewsletterError

_STOPS = ".!。！…"
# Between the words of a call to action and its address, and behind that.
_BEFORE_URL = " \t:：-–—→>(<["
_AFTER_URL = " \t.)>]"


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
    sheet = Sheet()
    body = _Body(words, sheet)
    body.read(classify(lines[head.length :], head.length + 1, words))
    document = body.document(head, Layout(encoding, bom, (*head.lines, *sheet.lines)))
    faults = [*head.faults, *sheet.faults, *check.faults(document)]
    if faults:
        faults.sort(key=lambda problem: problem.line or 0)
        raise NewsletterError.of(faults, file=file)
    return document


class _Body:
    """The parts of an issue as they fill up, line by line."""

    def __init__(self, words: Vocabulary, sheet: Sheet) -> None:
        self._words = words
        self._sheet = sheet
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
        self._faq_is_over = False  # a call to action came behind it
        self._keywords = KeywordList(sheet)
        self._references = ReferenceList(sheet)

    def read(self, rows: Sequence[Row]) -> None:
        self._last_story_row = max((row.number for row in rows if row.marks is not None), default=-1)
        strays = strays_before_stories(rows, self._words)
        for index, row in enumerate(rows):
            if not row.core:
                self._sheet.keep(row)
            elif row.number in strays:
                self._stray(row, is_first=row.number - 1 not in strays)
            elif row.heading is not None:
                self._heading(row, row.heading)
            elif row.marks is not None:
                self._begin_story(row, row.marks)
            elif (
                row.part in _ENDED_BY_EMOJI
                and _begins_with_emoji(row)
                and not self._keeps_in_faq(rows, index)
            ):
                self._emoji_line(row)
            else:
                _PARTS[row.part](self, row)
        self._close_story()
        self._keywords.finish()

    def document(self, head: frontmatter.Head, layout: Layout) -> IssueDocument:
        document = IssueDocument(
            front_matter=head.values,
            intro=tuple(self._intro),
            dive_deeper=tuple(self._dive_deeper),
            stories=tuple(self._stories),
            why_it_matters=tuple(self._points),
            calls_to_action=tuple(self._calls),
            faq=tuple(self._faq),
            keywords=tuple(self._keywords.names),
            references=tuple(self._references.urls),
            unplaced=tuple(self._sheet.unplaced),
            warnings=(),
            layout=layout,
        )
        return check.with_warnings(document, self._sheet.warnings)

    # -- headings and stories -------------------------------------------------------------------------

    def _heading(self, row: Row, heading: Heading) -> None:
        part = heading.part
        if part is Part.DIVE_DEEPER:
            slot = Slot(("dive_deeper", len(self._dive_deeper)), heading.name, heading.name)
            self._dive_deeper.append(heading.name)
            self._sheet.add(row, heading.before, slot, heading.after)
            return
        self._close_story()
        if part is Part.WHY_IT_MATTERS:
            self._points_are_over = False
        elif part is Part.FAQ:
            self._faq_is_over = False
        self._keywords.end_head()
        pieces: list[str | Slot] = [row.core[: len(row.core) - len(heading.rest)]]
        if heading.rest and part is Part.KEYWORDS:  # "Keywords: a; b"
            pieces += self._keywords.read_behind_heading(row, heading.rest)
        elif heading.rest:  # "References: https://…"
            pieces += self._references.read_behind_heading(row, heading.rest)
        self._sheet.add(row, *pieces, anchor=part.value)

    def _begin_story(self, row: Row, marks: Ending) -> None:
        self._close_story()
        self._is_under_title = True
        self._story, pieces = open_story(len(self._stories), row.number, row.core, marks)
        self._sheet.add(row, *pieces)

    def _close_story(self) -> None:
        if self._story is not None:
            self._stories.append(self._story.finish())
            self._sheet.warnings += self._story.warnings()
            self._story = None

    def _in_story(self, row: Row) -> None:
        story = self._story
        if (label := self._words.label(row.core)) is not None:
            self._label_line(row, label)
        elif self._is_under_title and urls.is_meant_as_url(_undecorated(row.core)):
            self._url_line(row)
        elif split_emoji(row.core)[0]:
            self._emoji_line(row)
        else:
            if story is not None:
                story.is_interrupted = True
            self._sheet.misplace(row)

    def _label_line(self, row: Row, label: Label) -> None:
        story = self._story
        if story is not None and story.takes_label(label.name):
            story.labels[label.name], pieces = label_pieces(story.position, label)
            self._sheet.add(row, *pieces)
        elif story is not None and not story.is_interrupted:
            name = label.name.replace("_", " ")
            message = f"story {story.position + 1} has a second {name}; this one is not printed."
            self._sheet.warn(message, row, name, "Join the two on one line.")
            self._sheet.misplace(row)
        else:
            self._end_confused_story(row)

    def _url_line(self, row: Row) -> None:
        bare = _undecorated(row.core)
        tokens = re.split(r"(\s+)", bare)
        for url in tokens[::2]:
            if (fault := fault_of(url)) is not None:
                self._sheet.refuse_url(row, url, fault)
                self._sheet.keep(row)
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
        self._sheet.add(row, *pieces)

    def _end_confused_story(self, row: Row) -> None:
        """A line that the open story cannot have: most likely another story's, whose title was not seen."""
        is_first = self._story is not None
        self._close_story()
        self._stray(row, is_first=is_first)

    def _stray(self, row: Row, *, is_first: bool) -> None:
        """A line of a story whose title was not seen."""
        if is_first:
            cure = "A title line ends in [n] or [REGION • date], for example: 🧬 Title [1] [US • 21 Jan 2026]"
            message = "this line belongs to no story; its title line was not recognised."
            self._sheet.warn(message, row, "title", cure)
        self._sheet.misplace(row)

    def _emoji_line(self, row: Row) -> None:
        """A call to action behind the last story; before it, a title that lacks its `[n]`."""
        self._close_story()
        if row.number < self._last_story_row or read_title(row.core) is not None:
            self._sheet.misplace(row)
            return
        self._is_under_title = False
        self._points_are_over = self._faq_is_over = True
        emoji, space, core = split_emoji(row.core)
        text, between, url, after = _with_own_url(core)
        owner = ("calls_to_action", len(self._calls))
        self._calls.append(CallToAction(len(self._calls) + 1, emoji, text, row.number, url))
        pieces: list[str | Slot] = [
            Slot((*owner, "emoji"), emoji, emoji + space),
            Slot((*owner, "text"), text, text),
        ]
        if url is not None:
            pieces += [between, Slot((*owner, "url"), url, url), after]
        self._sheet.add(row, *pieces)

    # -- the other parts ------------------------------------------------------------------------------

    def _in_intro(self, row: Row) -> None:
        text = strip_hashes(row.core)
        slot = Slot(("intro", len(self._intro)), text, text)
        self._intro.append(text)
        self._sheet.add(row, row.core[: len(row.core) - len(text)], slot)

    def _in_contents(self, row: Row) -> None:
        self._sheet.misplace(row)

    def _in_points(self, row: Row) -> None:
        bare = strip_bullet(row.core)
        bulleted = has_bullet(row.core)
        if not bulleted and (self._points_have_bullets or self._points_are_over):
            self._sheet.misplace(row)
            return
        self._points_have_bullets = self._points_have_bullets or bulleted
        before = row.core[: len(row.core) - len(bare)]
        core, stop = (bare[:-1], bare[-1]) if bare.endswith("].") else (bare, "")
        text, numbers, cited = read_citations(core)
        owner = ("why_it_matters", len(self._points))
        slots = (Slot((*owner, "text"), text, text), citations_slot(owner, numbers, cited))
        self._points.append(Point(text, numbers, row.number))
        self._sheet.add(row, before, *slots, stop)

    def _in_faq(self, row: Row) -> None:
        if self._begins_question(row.core):
            self._question(row)
        elif not self._faq:
            self._sheet.misplace(row)
        else:
            entry = self._faq[-1]
            slot = Slot(("faq", len(self._faq) - 1, "answer", len(entry.answer)), row.core, row.core)
            self._faq[-1] = FaqEntry(
                entry.number, entry.question, entry.citations, (*entry.answer, row.core), entry.line
            )
            self._sheet.add(row, slot)

    def _keeps_in_faq(self, rows: Sequence[Row], index: int) -> bool:
        """Whether a line with an emoji in front is of the FAQ: its questions or answers have them."""
        core = rows[index].core
        if rows[index].part is not Part.FAQ or self._faq_is_over:
            return False
        if asks(read_question(core).text):
            following = next((rows[at] for at in range(index + 1, len(rows)) if rows[at].core), None)
            if following is None or following.heading is not None or following.part is not Part.FAQ:
                return False
            has_precedent = not self._faq or any(split_emoji(entry.question)[0] for entry in self._faq)
            return has_precedent or not split_emoji(following.core)[0]
        if not self._faq:
            return False
        said = self._faq[-1].answer
        return not said or split_emoji(said[-1])[0] == split_emoji(core)[0]

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
        self._sheet.add(row, read.before, question, read.between, citations, read.after)

    def _in_keywords(self, row: Row) -> None:
        self._keywords.read(row)

    def _in_references(self, row: Row) -> None:
        self._references.read(row)

    def _in_unknown(self, row: Row) -> None:
        self._sheet.misplace(row)


def _undecorated(core: str) -> str:
    """A line under a title without bullet or emoji: `🔗 https://…`."""
    return split_emoji(strip_bullet(core))[2]


def _with_own_url(text: str) -> tuple[str, str, str | None, str]:
    """(text, between, address, after) of "Join us: https://…"; without one at its end, the text alone."""
    span = urls.span_among_words(text)
    label = text[: span[0]].rstrip(_BEFORE_URL) if span else ""
    if not span or not label or text[span[1] :].strip(_AFTER_URL):
        return text, "", None, ""
    return label, text[len(label) : span[0]], text[slice(*span)], text[span[1] :]


def _begins_with_emoji(row: Row) -> bool:
    """Whether a line may be a call to action; a question with an emoji shows by its `[n]`."""
    if not split_emoji(row.core)[0]:
        return False
    return row.part is not Part.FAQ or not read_citations(row.core)[1]


# Parts that a line with an emoji in front ends: it is a call to action, or has no place.
_ENDED_BY_EMOJI = (Part.WHY_IT_MATTERS, Part.FAQ, Part.KEYWORDS, Part.REFERENCES, Part.UNKNOWN)


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
