"""What an issue becomes for today's readers: editions with their audience, and who gets nothing and why."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection

from mailer.config import Settings
from mailer.delivery import campaigns
from mailer.delivery import plan as planning
from mailer.delivery.audience import Audience
from mailer.editions.check import edition_warnings
from mailer.editions.compose import compose as compose_edition
from mailer.editions.content import EditionContent, Selection
from mailer.editions.render import render_preview
from mailer.editions.select import (
    EVERY_SELECTION_MAX_CHOSEN,
    every_selection,
    most_chosen,
    select,
    topics_in_use,
)
from mailer.issues import store
from mailer.issues.values import Issue
from mailer.service import people
from mailer.service.rooms import Rooms
from subscribers.errors import NewsletterError

# (done, of how many)
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ComposedEdition:
    """One edition as `compose --json` prints it; sizes in bytes of UTF-8, the longest slots filled."""

    key: str
    label: str
    topics: tuple[str, ...]
    stories: tuple[int, ...]
    subject: str
    preheader: str
    html_bytes: int
    text_bytes: int
    audience: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """The editions of an issue, the full one first; `skipped` counts readers by reason."""

    issue: str
    editions: tuple[ComposedEdition, ...]
    skipped: Mapping[str, int]
    remark: str | None = field(default=None, kw_only=True)  # what "every edition" leaves out

    def __iter__(self) -> Iterator[ComposedEdition]:
        return iter(self.editions)

    def as_json(self) -> dict[str, Any]:
        return {
            "issue": self.issue,
            "editions": [asdict(edition) for edition in self.editions],
            "skipped": dict(self.skipped),
            **({"warnings": [self.remark]} if self.remark else {}),
        }


@dataclass(frozen=True, slots=True)
class PlannedCampaign(Composition):
    """A composition for one audience, ready to be frozen; `newest`: the issue's last campaign, 0 for none."""

    of_issue: Issue
    audience: Audience
    newest: int

    @property
    def readers(self) -> int:
        return sum(edition.audience for edition in self.editions)


@dataclass(frozen=True, slots=True)
class Preview:
    """One edition with sample links: the same revision, topics and configuration give the same bytes."""

    issue: str
    key: str
    label: str
    topics: tuple[str, ...]
    stories: tuple[int, ...]
    subject: str
    preheader: str
    html: str
    text: str
    mjml: str
    html_bytes: int
    text_bytes: int

    def as_json(self) -> dict[str, Any]:
        """What is known of it, without its bodies."""
        return {name: value for name, value in asdict(self).items() if name not in ("html", "text", "mjml")}


def compose(
    rooms: Rooms, issue: Issue, *, every: bool = False, on_progress: Progress | None = None
) -> Composition:
    """The editions that readers' choices give; `every`: every possible one, whoever reads.

    Whoever has the issue already is in no audience, but their editions can be looked at again.
    """
    with rooms.database.reader() as connection:
        planned = _planned(rooms, connection, issue, Audience(), after_sending=True)
    if not every:
        return Composition(issue.slug, _composed(rooms, planned, None), planned.skipped)
    editions = _composed(rooms, planned, every_selection(issue, rooms.settings), on_progress)
    return Composition(issue.slug, editions, planned.skipped, remark=_left_out(issue, rooms.settings))


def _left_out(issue: Issue, settings: Settings) -> str | None:
    """What a person should know of "every edition": it holds readers of a few topics, and of all."""
    used, most = len(topics_in_use(issue, settings)), most_chosen(issue, settings)
    if most in (used, EVERY_SELECTION_MAX_CHOSEN):
        return None
    return (
        f"stories of {used} topics make too many selections to show: those of up to {most} topics are here. "
        f"'mailer preview {issue.slug} --topics a,b' shows any other."
    )


def plan(rooms: Rooms, issue: Issue, audience: Audience) -> PlannedCampaign:
    """Whom a campaign of this audience would reach now."""
    with rooms.database.reader() as connection:
        # First: one that is made meanwhile is newer than what was looked at.
        newest = campaigns.newest(connection, issue.issue_id) if issue.issue_id is not None else 0
        planned = _planned(rooms, connection, issue, audience)
    return PlannedCampaign(
        issue.slug, _composed(rooms, planned, None), planned.skipped, issue, audience, newest
    )


def chosen_selections(rooms: Rooms, issue: Issue) -> list[Selection]:
    """The selections that readers' choices give, sent already or not, the full one first."""
    with rooms.database.reader() as connection:
        planned = _planned(rooms, connection, issue, Audience(), after_sending=True)
    return [edition.selection for edition in planned.editions]


def preview(rooms: Rooms, issue: Issue, topics: Sequence[str] | None) -> Preview:
    """The edition of a reader of these topics. Raises NewsletterError when it would be empty."""
    selection = select(issue, people.chosen(rooms, topics), rooms.settings)
    if selection is None:
        raise NewsletterError(
            f"'{issue.slug}' has no story for {', '.join(topics or ())}: such a reader gets no letter.",
            field="topics",
            cure=f"Topics with a story: {', '.join(_topics_with_story(issue)) or 'none'}.",
        )
    content = compose_edition(issue, selection, rooms.settings)
    rendered = render_preview(content, rooms.settings)
    return Preview(
        issue=issue.slug,
        key=selection.key,
        label=content.label,
        topics=selection.topics,
        stories=selection.stories,
        subject=content.subject,
        preheader=content.preheader,
        html=rendered.html,
        text=rendered.text,
        mjml=rendered.mjml,
        html_bytes=rendered.html_bytes,
        text_bytes=rendered.text_bytes,
    )


def stories_per_topic(rooms: Rooms) -> dict[str, int]:
    """How many stories each topic has, over all issues at their newest revision."""
    with rooms.database.reader() as connection:
        return dict(
            Counter(
                topic
                for line in store.list_issues(connection)
                for topics in store.load_issue(connection, line.slug, rooms.settings).topics.values()
                for topic in topics.topics
            )
        )


def _planned(
    rooms: Rooms, connection: Connection, issue: Issue, audience: Audience, *, after_sending: bool = False
) -> planning.Plan:
    return planning.make(
        connection,
        issue,
        audience,
        settings=rooms.settings,
        leaves=rooms.leaves(connection),
        now=rooms.now(),
        after_sending=after_sending,
    )


def _composed(
    rooms: Rooms,
    planned: planning.Plan,
    selections: Sequence[Selection] | None,
    on_progress: Progress | None = None,
) -> tuple[ComposedEdition, ...]:
    readers = {edition.selection.key: edition.audience for edition in planned.editions}
    wanted = [edition.selection for edition in planned.editions] if selections is None else selections
    editions = []
    for done, selection in enumerate(wanted, start=1):
        content = compose_edition(planned.issue, selection, rooms.settings)
        editions.append(_edition(rooms, content, readers.get(selection.key, 0)))
        if on_progress is not None:
            on_progress(done, len(wanted))
    return tuple(editions)


def _edition(rooms: Rooms, content: EditionContent, audience: int) -> ComposedEdition:
    rendered = render_preview(content, rooms.settings)
    return ComposedEdition(
        key=content.selection.key,
        label=content.label,
        topics=content.selection.topics,
        stories=content.selection.stories,
        subject=content.subject,
        preheader=content.preheader,
        html_bytes=rendered.html_bytes,
        text_bytes=rendered.text_bytes,
        audience=audience,
        warnings=edition_warnings(content, rendered.html_bytes),
    )


def _topics_with_story(issue: Issue) -> list[str]:
    return sorted({topic for topics in issue.topics.values() for topic in topics.topics})
