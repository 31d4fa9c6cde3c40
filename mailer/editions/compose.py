"""An issue and a selection become one edition: what follows its stories, renumbered, in order.

Pure: the same issue, selection and settings give the same content; no database, clock or reader.
References, questions, "why it matters" lines and keywords follow the selected stories; nothing of a
story that was not selected is printed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from mailer.config import Settings
from mailer.editions.affinity import followed_stories
from mailer.editions.citations import numbers_of, renumbered, renumbered_text
from mailer.editions.content import (
    EditionContent,
    EditionFaq,
    EditionPoint,
    EditionStory,
    LinkedText,
    Reference,
    Selection,
)
from mailer.editions.keywords import keyword_homes
from mailer.editions.outlinks import shown_host, tagged
from mailer.editions.select import whole_of
from mailer.editions.subjects import headline_of, intro_of, preheader_of, subject_of
from mailer.editions.words import count_words
from mailer.issues.citations import Sources, cited_in_text, dangling, sources_of
from mailer.issues.document import FaqEntry, IssueDocument, Point, Story
from mailer.issues.targets import target_of
from mailer.issues.values import Issue

# Adults read 200 to 260 words of plain prose a minute.
WORDS_PER_MINUTE = 230

FULL_LABEL = "Full edition"
EVERYONE_LABEL = "For everyone"


def compose(issue: Issue, selection: Selection, settings: Settings) -> EditionContent:
    """The content of one edition of an issue; `selection` is one of this issue's."""
    document = issue.document
    kept = _keep(document, selection, intro_of(issue, selection))
    numbers = _numbers(kept, selection, settings)
    intro = _texts(kept.intro, numbers.shared, kept.sources)
    stories = tuple(_story(story, issue, numbers, kept.sources, settings) for story in kept.stories)
    points = tuple(shown for point in kept.points if (shown := _point(point, numbers, kept.sources)).text)
    faq = tuple(
        _faq(entry, numbers.of_stories if entry in kept.faq_of_stories else numbers.shared, kept.sources)
        for entry in kept.faq
    )
    dive_deeper, calls_to_action = _linked_lines(document, settings)
    subject = subject_of(issue, selection, settings)
    return EditionContent(
        issue_slug=issue.slug,
        selection=selection,
        label=label_of(selection, settings),
        subject=subject,
        preheader=preheader_of(issue, selection, subject),
        headline=headline_of(issue, selection, settings),
        intro=intro,
        date_text=_newest_date(kept.stories),
        reading_minutes=_reading_minutes(intro, stories, points, faq),
        stories_in_issue=len(document.stories),
        everyone_stories=len(selection.stories) - len(selection.topic_stories),
        stories=stories,
        dive_deeper=dive_deeper,
        why_it_matters=points,
        calls_to_action=calls_to_action,
        faq=faq,
        keywords=_keywords(document, selection, kept),
        references=_references(numbers, kept, settings),
        warnings=(
            *_topic_warnings(issue, kept),
            *_number_warnings(document, kept),
            *_link_warnings((*dive_deeper, *calls_to_action)),
        ),
    )


def whole(issue: Issue, settings: Settings) -> EditionContent:
    """The content of the whole issue, as the archive and a reader of all topics have it."""
    return compose(issue, whole_of(issue, settings), settings)


def label_of(selection: Selection, settings: Settings) -> str:
    """What staff call an edition: "CAR-T + Myeloma"; readers never see it."""
    if selection.is_full:
        return FULL_LABEL
    names = (settings.topics[slug].name if slug in settings.topics else slug for slug in selection.topics)
    return " + ".join(names) or EVERYONE_LABEL


@dataclass(frozen=True, slots=True)
class _Kept:
    """The parts of an issue that an edition shows, still with the issue's numbers."""

    sources: Sources
    intro: tuple[str, ...]
    stories: tuple[Story, ...]
    points: tuple[Point, ...]
    faq: tuple[FaqEntry, ...]
    faq_of_stories: tuple[FaqEntry, ...]  # those that print numbers of the edition's stories, and no others


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The edition's number of each of the issue's: `own` in a story, `shared` in every other part."""

    own: Mapping[int, int]
    shared: Mapping[int, int]
    of_stories: Mapping[int, int]  # without sources of no story


def _keep(document: IssueDocument, selection: Selection, intro: tuple[str, ...]) -> _Kept:
    sources = sources_of(document)
    chosen = frozenset(selection.stories)

    def is_kept(line: Point | FaqEntry, text: str) -> bool:
        if selection.is_full:
            return True
        owners = sources.owners(numbers_of(line, sources)) or followed_stories(text, document.stories)
        return owners is None or bool(owners & chosen)

    faq = [entry for entry in document.faq if is_kept(entry, "\n".join((entry.question, *entry.answer)))]
    of_stories = [entry for entry in faq if sources.owners(_cited_by(entry, sources)) & chosen]
    return _Kept(
        sources,
        intro,
        tuple(story for story in document.stories if story.number in chosen),
        tuple(point for point in document.why_it_matters if is_kept(point, point.text)),
        tuple(faq),
        () if selection.is_full else tuple(of_stories),
    )


def _numbers(kept: _Kept, selection: Selection, settings: Settings) -> _Numbers:
    """Number what the edition cites by first appearance; what nobody cites comes last, when full."""
    sources, chosen = kept.sources, frozenset(selection.stories)

    def is_shown(number: int) -> bool:
        owners = sources.stories.get(number, frozenset())
        return number in sources.urls and (not owners or bool(owners & chosen))

    cited = [number for number, in_story in _appearances(kept) if in_story or is_shown(number)]
    listed = (*cited, *(sources.urls if selection.is_full else ()))
    order = dict.fromkeys(number for number in listed if number in sources.urls)
    is_original = settings.editions.numbering == "original"
    own = {number: number if is_original else place for place, number in enumerate(order, start=1)}
    shared = {number: printed for number, printed in own.items() if is_shown(number)}
    of_stories = {number: printed for number, printed in shared.items() if sources.stories.get(number)}
    return _Numbers(own, shared, of_stories)


def _appearances(kept: _Kept) -> Iterable[tuple[int, bool]]:
    """(number, whether a story cites it) in the order of reading."""
    sources = kept.sources
    for text in kept.intro:
        yield from ((number, False) for number in cited_in_text(text, sources))
    for story in kept.stories:
        yield from ((number, True) for number in story.citations)
        for part in (story.key_point, story.context, story.implication):
            yield from ((number, True) for number in cited_in_text(part, sources))
    for point in kept.points:
        yield from ((number, False) for number in (*cited_in_text(point.text, sources), *point.citations))
    for entry in kept.faq:
        is_of_stories = entry in kept.faq_of_stories
        for number in _cited_by(entry, sources):
            if not is_of_stories or sources.stories.get(number):
                yield number, False


def _cited_by(entry: FaqEntry, sources: Sources) -> tuple[int, ...]:
    """The numbers that a question prints, in the order of reading."""
    in_answer = (number for text in entry.answer for number in cited_in_text(text, sources))
    return (*cited_in_text(entry.question, sources), *entry.citations, *in_answer)


def _story(
    story: Story, issue: Issue, numbers: _Numbers, sources: Sources, settings: Settings
) -> EditionStory:
    def printed(text: str | None) -> str | None:
        return renumbered_text(text, numbers.own, sources) or None if text else None

    tagged_as = issue.topics.get(story.number)
    return EditionStory(
        number=story.number,
        emoji=story.emoji,
        title=story.title,
        citations=renumbered(story.citations, numbers.own),
        region=story.region,
        date_text=story.date_text,
        date=story.date,
        urls=tuple(dict.fromkeys(tagged(url, settings.links) for url in story.urls)),
        host=shown_host(story.urls[0]) if story.urls else None,
        context=printed(story.context),
        key_point=printed(story.key_point),
        implication=printed(story.implication),
        topics=tagged_as.topics if tagged_as else (),
    )


def _point(point: Point, numbers: _Numbers, sources: Sources) -> EditionPoint:
    text = renumbered_text(point.text, numbers.shared, sources)
    return EditionPoint(text, renumbered(point.citations, numbers.shared))


def _faq(entry: FaqEntry, numbers: Mapping[int, int], sources: Sources) -> EditionFaq:
    return EditionFaq(
        number=entry.number,
        question=renumbered_text(entry.question, numbers, sources),
        citations=renumbered(entry.citations, numbers),
        answer=_texts(entry.answer, numbers, sources),
    )


def _texts(texts: Iterable[str], numbers: Mapping[int, int], sources: Sources) -> tuple[str, ...]:
    changed = (renumbered_text(text, numbers, sources) for text in texts)
    return tuple(text for text in changed if text)


def _keywords(document: IssueDocument, selection: Selection, kept: _Kept) -> tuple[str, ...]:
    if selection.is_full:
        return document.keywords
    stories = frozenset(story.number for story in kept.stories)
    questions = frozenset(entry.number for entry in kept.faq)
    homes = keyword_homes(document.keywords, document.stories, document.faq)
    return tuple(
        keyword
        for keyword, home in zip(document.keywords, homes, strict=True)
        if home.stories & stories or home.faq & questions
    )


def _references(numbers: _Numbers, kept: _Kept, settings: Settings) -> tuple[Reference, ...]:
    titles = {
        number: story.title
        for story in reversed(kept.stories)
        for number, owners in kept.sources.stories.items()
        if story.number in owners
    }
    return tuple(
        Reference(printed, original, tagged(url, settings.links), shown_host(url), titles.get(original))
        for original, printed in sorted(numbers.own.items(), key=lambda pair: pair[1])
        for url in (kept.sources.urls[original],)
    )


def _linked_lines(
    document: IssueDocument, settings: Settings
) -> tuple[tuple[LinkedText, ...], tuple[LinkedText, ...]]:
    """Dive deeper and the calls to action with their targets; the same in every edition."""

    def linked(text: str, emoji: str, place: str, own: str | None = None) -> LinkedText:
        url = own or target_of(text, document, settings)
        return LinkedText(text, emoji, tagged(url, settings.links) if url else None, place)

    dive_deeper = (
        linked(label, "", f"dive:{place}") for place, label in enumerate(document.dive_deeper, start=1)
    )
    calls = (
        linked(call.text, call.emoji, f"cta:{call.number}", call.url) for call in document.calls_to_action
    )
    return tuple(dive_deeper), tuple(calls)


def _newest_date(stories: Iterable[Story]) -> str | None:
    """The date of the newest story as it was typed, else the first that somebody typed."""
    dated = [story for story in stories if story.date_text]
    certain = [story for story in dated if story.date]
    if certain:
        return max(certain, key=lambda story: story.date or date.min).date_text
    return dated[0].date_text if dated else None


def _reading_minutes(
    intro: Iterable[str],
    stories: Iterable[EditionStory],
    points: Iterable[EditionPoint],
    faq: Iterable[EditionFaq],
) -> int:
    texts = [*intro, *(point.text for point in points)]
    for story in stories:
        texts += [story.title, story.key_point or "", story.context or "", story.implication or ""]
    for entry in faq:
        texts += [entry.question, *entry.answer]
    return max(1, round(sum(map(count_words, texts)) / WORDS_PER_MINUTE))


def _topic_warnings(issue: Issue, kept: _Kept) -> Iterable[str]:
    for story in kept.stories:
        tagged_as = issue.topics.get(story.number)
        if tagged_as is None or tagged_as.is_undecided:
            yield f"story {story.number} has no topic and goes to everyone: decide with 'topics:'."


def _number_warnings(document: IssueDocument, kept: _Kept) -> Iterable[str]:
    """What the import said of the lines that this edition prints."""
    printed = {("intro", place) for place, text in enumerate(document.intro) if text in kept.intro}
    for name, items, shown in (
        ("stories", document.stories, kept.stories),
        ("why_it_matters", document.why_it_matters, kept.points),
        ("faq", document.faq, kept.faq),
    ):
        printed |= {(name, place) for place, item in enumerate(items) if item in shown}
    for found in dangling(document, kept.sources):
        if found.owner in printed:
            yield f"line {found.line}: [{found.number}] cites nothing and is left out."


def _link_warnings(lines: Iterable[LinkedText]) -> Iterable[str]:
    for line in lines:
        if line.url is None:
            yield f"'{line.text}' leads nowhere and is left out: name its target under 'links:'."
