"""What a person said of a revision: ready, approved; and whether that still holds.

A mark binds the hash of the revision and that of the e-mail templates: a newer draft needs its own approval,
changed templates need a new one. Marks are only ever added.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, insert, or_, select

from mailer.config import Settings
from mailer.house_models import MarkKind
from mailer.issues.values import Issue
from mailer.models import IssueKind
from mailer.tables import campaigns, issues, marks, revisions
from mailer.templates import template_folders
from subscribers.errors import NewsletterError

EMAIL_TEMPLATES = "email"


@dataclass(frozen=True, slots=True)
class Approved:
    """An issue that may go: at which revision, and by which mark."""

    approval_id: int
    issue_id: int
    issue: str
    revision_id: int
    revision: int
    by: str
    at: datetime


def templates_hash(settings: Settings) -> str:
    """SHA-256 over the e-mail templates in use: the site's own files, and ours where it has none."""
    files: dict[str, Path] = {}
    for folder in reversed(template_folders(settings)):
        root = folder / EMAIL_TEMPLATES
        files |= {path.relative_to(root).as_posix(): path for path in _files_below(root)}
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files_below(root: Path) -> Iterator[Path]:
    """Every file that a template may include, behind links too; not what editors leave behind."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in names if not name.startswith(".") and name[-1] != "~")


def mark(
    connection: Connection, issue: Issue, kind: MarkKind, *, templates: str, by: str, now: datetime
) -> int:
    """Say it of an issue's revision as it was looked at; the number of the mark."""
    return int(
        connection.execute(
            insert(marks)
            .values(
                issue_id=issue.issue_id,
                revision_id=issue.revision_id,
                kind=kind,
                revision_hash=issue.hash,
                templates_hash=templates,
                by=by,
                at=now,
            )
            .returning(marks.c.id)
        ).scalar_one()
    )


def of_revision(connection: Connection, revision_id: int, templates: str) -> Approved | None:
    """The approval of a revision that holds with these templates, the newest of several."""
    return _first(connection, marks.c.revision_id == revision_id, _holds(templates))


def require(connection: Connection, issue: Issue, templates: str) -> Approved:
    """The approval of this revision. Raises NewsletterError saying what is missing."""
    assert issue.revision_id is not None
    found = of_revision(connection, issue.revision_id, templates)
    if found is not None:
        return found
    other = _first(connection, marks.c.issue_id == issue.issue_id)
    if other is None:
        why = "is not approved"
    elif other.revision_id == issue.revision_id:
        why = "was approved with other templates than those in use"
    else:
        why = f"is approved at revision {other.revision}, and revision {issue.revision} is newer"
    raise NewsletterError(
        f"'{issue.slug}' {why}.", field="[approval] required", cure=f"'mailer approve {issue.slug}'."
    )


def waiting(connection: Connection, templates: str, *, at: datetime, now: datetime) -> list[Approved]:
    """Approved issues that never had a campaign, the oldest issue first: the weekly ones to come.

    Approved at `at` at the latest; an approval later than `now` is of a clock that was wrong, and counts.
    """
    newest = (
        select(func.max(marks.c.id))
        .join(revisions, revisions.c.id == marks.c.revision_id)
        .where(_holds(templates), or_(marks.c.at <= at, marks.c.at > now))
        .group_by(marks.c.issue_id)
    )
    has_campaign = exists().where(campaigns.c.issue_id == issues.c.id)
    rows = connection.execute(
        _marks()
        .where(marks.c.id.in_(newest), ~has_campaign, issues.c.kind != IssueKind.CORRECTION)
        .order_by(issues.c.id)
    )
    return [Approved(*row) for row in rows]


def states(connection: Connection, templates: str) -> dict[str, str]:
    """What was said of each issue's newest revision: "ready" or "approved", while it holds."""
    other = revisions.alias()
    newest = (
        select(func.max(other.c.number)).where(other.c.issue_id == revisions.c.issue_id).scalar_subquery()
    )
    rows = connection.execute(
        select(issues.c.slug, marks.c.kind)
        .join(revisions, revisions.c.id == marks.c.revision_id)
        .join(issues, issues.c.id == marks.c.issue_id)
        .where(revisions.c.number == newest, marks.c.templates_hash == templates)
    )
    said: dict[str, str] = {}
    for slug, kind in rows:
        if said.get(slug) != MarkKind.APPROVED:
            said[slug] = kind
    return said


def _holds(templates: str) -> ColumnElement[bool]:
    """The condition on `marks` with their `revisions`."""
    return and_(
        marks.c.kind == MarkKind.APPROVED,
        marks.c.templates_hash == templates,
        marks.c.revision_hash == revisions.c.hash,
    )


def _marks() -> Select[Any]:
    return (
        select(
            marks.c.id,
            issues.c.id,
            issues.c.slug,
            revisions.c.id,
            revisions.c.number,
            marks.c.by,
            marks.c.at,
        )
        .join(issues, issues.c.id == marks.c.issue_id)
        .join(revisions, revisions.c.id == marks.c.revision_id)
    )


def _first(connection: Connection, *conditions: ColumnElement[bool]) -> Approved | None:
    row = connection.execute(
        _marks().where(marks.c.kind == MarkKind.APPROVED, *conditions).order_by(marks.c.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Approved(*row)
