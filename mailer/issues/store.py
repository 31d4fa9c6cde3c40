"""Issues in the database: every save is a revision, and an issue that was sent is closed.

The pasted bytes are kept and read again; the stored document is for queries and carries the story
ids, which live on over revisions. Nothing here commits: the caller owns the transaction.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, insert, or_, select, update

from mailer.config import Settings
from mailer.issues import targets
from mailer.issues.document import IssueDocument, Story
from mailer.issues.frontmatter import SLUG_MAX_CHARACTERS, is_slug
from mailer.issues.parse import parse
from mailer.issues.report import ImportReport, story_json
from mailer.issues.stories import slugify
from mailer.issues.topics import tag
from mailer.issues.values import Issue, StoryTopics
from mailer.models import CampaignStatus, Handover, IssueKind
from mailer.tables import campaigns, deliveries, issues, revisions
from subscribers.errors import NewsletterError, NotFound, Problem
from subscribers.nearest import did_you_mean

# One that is not frozen keeps its own revision, whatever draft comes after it.
_PROMISED = and_(campaigns.c.frozen_at.is_not(None), campaigns.c.status != CampaignStatus.CANCELLED)
_UNFINISHED = and_(_PROMISED, campaigns.c.status != CampaignStatus.FINISHED)


@dataclass(frozen=True, slots=True)
class IssueLine:
    """One issue in a list, at its newest revision."""

    slug: str
    kind: str
    revision: int
    stories: int
    subject: str | None  # the editor's own; None: made from the first story
    at: datetime
    is_sent: bool


def import_issue(
    connection: Connection,
    source: bytes,
    *,
    file: str,
    slug: str | None = None,
    settings: Settings,
    author: str = "",
    now: datetime,
) -> ImportReport:
    """Store an issue or its next revision; the same bytes change nothing.

    Raises NewsletterError with every fault of the text, or when the issue was sent already.
    """
    document = parse(source, file=file, headings=settings.headings, topics=tuple(settings.topics))
    name = choose_slug(slug, document.front_matter.slug, file)
    digest = hashlib.sha256(source).hexdigest()
    row = connection.execute(select(issues).where(issues.c.slug == name)).one_or_none()
    kept = _revisions(connection, row.id) if row is not None else []
    document = _with_kept_ids(document, [revision.document for revision in kept])
    topics = tag(document, settings.topics)
    kind = document.front_matter.kind or IssueKind.WEEKLY.value
    if kept and kept[0].hash == digest:
        return _report(_issue(row, kept[0], document, topics), settings, is_changed=False)
    if row is not None and was_sent(connection, row.id):
        raise _refusal_of_sent(connection, row.id, name, file)
    issue_id = row.id if row is not None else _add_issue(connection, name, kind, now)
    if row is not None and row.kind != kind:
        connection.execute(update(issues).where(issues.c.id == issue_id).values(kind=kind))
    number = kept[0].number + 1 if kept else 1
    revision_id = connection.execute(
        insert(revisions)
        .values(
            issue_id=issue_id,
            number=number,
            source=source,
            document=document_json(document, topics),
            hash=digest,
            author=author,
            at=now,
        )
        .returning(revisions.c.id)
    ).scalar_one()
    issue = Issue(name, kind, number, revision_id, issue_id, digest, document, topics)
    return _report(issue, settings, is_changed=True)


def load_issue(connection: Connection, slug: str, settings: Settings, revision: int | None = None) -> Issue:
    """An issue at its newest revision, or at that number, read from its bytes and tagged anew."""
    query = _joined().where(issues.c.slug == slug)
    if revision is not None:
        query = query.where(revisions.c.number == revision)
    row = connection.execute(query.order_by(revisions.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        raise _not_found(connection, slug, revision)
    return _read(row, settings)


def load_revision(connection: Connection, revision_id: int, settings: Settings) -> Issue:
    """The issue as it was at one stored revision."""
    row = connection.execute(_joined().where(revisions.c.id == revision_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no revision {revision_id}.", cure="'mailer issues' lists what is stored.")
    return _read(row, settings)


def list_issues(connection: Connection) -> list[IssueLine]:
    """All issues, the newest first."""
    newest = _newest_number()
    query = (
        select(
            issues,
            revisions.c.number,
            revisions.c.document,
            revisions.c.at,
            _sent_clause(issues.c.id).label("sent"),
        )
        .join(revisions, revisions.c.issue_id == issues.c.id)
        .where(revisions.c.number == newest)
        .order_by(issues.c.created_at.desc(), issues.c.id.desc())
    )
    return [
        IssueLine(
            slug=row.slug,
            kind=row.kind,
            revision=row.number,
            stories=len(row.document["stories"]),
            subject=row.document["subject"],
            at=row.at,
            is_sent=bool(row.sent),
        )
        for row in connection.execute(query)
    ]


def read_unstored(source: bytes, *, file: str, slug: str | None, settings: Settings) -> ImportReport:
    """Read and tag an issue without a database: what `import` would say."""
    document = parse(source, file=file, headings=settings.headings, topics=tuple(settings.topics))
    name = choose_slug(slug, document.front_matter.slug, file)
    topics = tag(document, settings.topics)
    kind = document.front_matter.kind or IssueKind.WEEKLY.value
    digest = hashlib.sha256(source).hexdigest()
    return _report(Issue(name, kind, 1, None, None, digest, document, topics), settings, is_changed=True)


def choose_slug(given: str | None, of_front_matter: str | None, file: str) -> str:
    """`--slug`, else the front matter's, else the file's stem; only a stem is made fit."""
    if given is not None:
        if not is_slug(given):
            suggestion = slugify(given, SLUG_MAX_CHARACTERS) or "week-04"
            raise NewsletterError(
                f"'{given}' is no slug (small letters, digits, hyphens; {SLUG_MAX_CHARACTERS} at most).",
                field="slug",
                cure=f"For example --slug {suggestion}",
            )
        return given
    if of_front_matter is not None:
        return of_front_matter
    made = slugify(PurePath(file).stem, SLUG_MAX_CHARACTERS)
    if not made:
        raise NewsletterError(
            "no slug can be made from this file's name.",
            file=file,
            field="slug",
            cure="Give one: --slug week-04",
        )
    return made


def was_sent(connection: Connection, issue_id: int) -> bool:
    """Whether a campaign of the issue is on its way or done, or a letter of it has left."""
    return bool(connection.execute(select(_sent_clause(issue_id))).scalar_one())


def document_json(document: IssueDocument, topics: Mapping[int, StoryTopics]) -> dict[str, Any]:
    """What queries and pages may read of a revision without reading its source again."""
    return {
        "subject": document.front_matter.subject,
        "intro": list(document.intro),
        "stories": [
            story_json(story, topics[story.number])
            | {"emoji": story.emoji, "citations": list(story.citations), "line": story.line}
            for story in document.stories
        ],
        "faq": len(document.faq),
        "why_it_matters": len(document.why_it_matters),
        "calls_to_action": [call.text for call in document.calls_to_action],
        "keywords": list(document.keywords),
        "references": list(document.references),
        "unplaced": [{"line": line.line, "text": line.text} for line in document.unplaced],
    }


def _report(issue: Issue, settings: Settings, *, is_changed: bool) -> ImportReport:
    found = [*issue.document.warnings, *targets.warnings(issue.document, settings), *_undecided(issue)]
    found.sort(key=lambda problem: problem.line or 0)
    return ImportReport(issue, is_changed, tuple(found))


def _undecided(issue: Issue) -> list[Problem]:
    return [
        Problem(
            f"story {story.number} has no topic, so it goes to everyone.",
            story.line,
            f"topics.{story.number}",
            f"Decide in the front matter, for example topics: {{{story.number}: everyone}}",
        )
        for story in issue.document.stories
        if issue.topics[story.number].is_undecided
    ]


def _refusal_of_sent(connection: Connection, issue_id: int, slug: str, file: str) -> NewsletterError:
    message = f"the issue '{slug}' was sent already, and this text differs from what was sent."
    cure = f"Import it as a new issue with --slug {slug}-2 (or any new slug)"
    cure += "; to mend what readers got, send a correction later."
    if not connection.execute(select(_letters_left(issue_id))).scalar_one():
        bound = select(campaigns.c.id).where(campaigns.c.issue_id == issue_id, _UNFINISHED)
        if (campaign := connection.execute(bound).scalars().first()) is not None:
            message = f"campaign {campaign} is to be sent with another text of the issue '{slug}'; "
            message += "nothing of it was accepted yet."
            cure = f"'mailer cancel {campaign}' frees the issue. {cure}"
    return NewsletterError(message, file=file, field="slug", cure=cure)


def _add_issue(connection: Connection, slug: str, kind: str, now: datetime) -> int:
    adding = insert(issues).values(slug=slug, kind=kind, created_at=now).returning(issues.c.id)
    return int(connection.execute(adding).scalar_one())


def _revisions(connection: Connection, issue_id: int) -> Sequence[Row[Any]]:
    """All revisions, the newest first."""
    query = select(revisions).where(revisions.c.issue_id == issue_id).order_by(revisions.c.number.desc())
    return connection.execute(query).all()


def _sent_clause(issue_id: Any) -> Any:
    promised = exists().where(campaigns.c.issue_id == issue_id, _PROMISED)
    return or_(promised, _letters_left(issue_id))


def _letters_left(issue_id: Any) -> Any:
    return exists().where(deliveries.c.issue_id == issue_id, deliveries.c.handover == Handover.ACCEPTED)


def _newest_number() -> Any:
    revision = revisions.alias()
    return select(func.max(revision.c.number)).where(revision.c.issue_id == issues.c.id).scalar_subquery()


def _joined() -> Select[Any]:
    return select(revisions, issues.c.slug, issues.c.kind).join(issues, revisions.c.issue_id == issues.c.id)


def _read(row: Any, settings: Settings) -> Issue:
    document = parse(row.source, file=row.slug, headings=settings.headings)
    stored = {story["number"]: story["id"] for story in row.document["stories"]}
    document = _with_ids(document, [stored.get(story.number, story.id) for story in document.stories])
    topics = tag(document, settings.topics)
    return Issue(row.slug, row.kind, row.number, row.id, row.issue_id, row.hash, document, topics)


def _issue(row: Any, revision: Any, document: IssueDocument, topics: Mapping[int, StoryTopics]) -> Issue:
    return Issue(row.slug, row.kind, revision.number, revision.id, row.id, revision.hash, document, topics)


def _not_found(connection: Connection, slug: str, revision: int | None) -> NotFound:
    slugs = list(connection.execute(select(issues.c.slug)).scalars())
    if slug in slugs:
        return NotFound(f"the issue '{slug}' has no revision {revision}.", cure="'mailer issues' lists them.")
    cure = f"{did_you_mean(slug, slugs)}'mailer issues' lists what is stored."
    return NotFound(f"there is no issue '{slug}'.", cure=cure)


def _with_kept_ids(document: IssueDocument, earlier: Sequence[Mapping[str, Any]]) -> IssueDocument:
    """Give stories the ids they had: by first URL, else by title; the newest revision speaks first."""
    by_url: dict[str, str] = {}
    by_title: dict[str, str] = {}
    for revision in earlier:
        for story in revision["stories"]:
            by_title.setdefault(story["title"], story["id"])
            if story["url"]:
                by_url.setdefault(story["url"], story["id"])
    ids: dict[int, str] = {}
    given: set[str] = set()
    for lookup, key in ((by_url, _first_url), (by_title, _title)):
        for story in document.stories:
            known = lookup.get(key(story))
            if story.number not in ids and known is not None and known not in given:
                ids[story.number] = known
                given.add(known)
    return _with_ids(document, [ids.get(story.number, story.id) for story in document.stories])


def _first_url(story: Story) -> str:
    return story.urls[0] if story.urls else ""


def _title(story: Story) -> str:
    return story.title


def _with_ids(document: IssueDocument, ids: Sequence[str]) -> IssueDocument:
    """The document with these story ids, told apart where two are equal."""
    taken: set[str] = set()
    stories = []
    for story, wanted in zip(document.stories, ids, strict=True):
        unique, count = wanted, 1
        while unique in taken:
            count += 1
            unique = f"{wanted}-{count}"
        taken.add(unique)
        stories.append(replace(story, id=unique))
    return replace(document, stories=tuple(stories))
