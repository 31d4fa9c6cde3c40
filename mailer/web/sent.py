"""Issues that went out, as anybody may read them: whole, without a reader and without tracking."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, exists, func, or_, select

from mailer.config import Settings
from mailer.editions.compose import whole
from mailer.editions.links import TestTarget, urls_of
from mailer.issues.values import Issue
from mailer.models import ChunkState, FenceState
from mailer.tables import campaign_stories, campaigns, chunks, editions, fences, issues, occurrences

# Titles under an issue in the archive's list.
TITLES_SHOWN = 3
# The archive's list; older issues are reached by their address.
ISSUES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class SentIssue:
    """One line of the archive; `revision_id` is the one that was sent."""

    slug: str
    revision_id: int
    sent_at: datetime
    subject: str
    titles: tuple[str, ...]
    stories: int


def sent_issues(connection: Connection, slug: str | None = None) -> list[SentIssue]:
    """Issues of which letters have left, the newest first; an issue sent twice stands once.

    What is in doubt alone is nobody's to read yet: a letter that did arrive ends the doubt by its events.
    Neither is what was handed over ahead of its time: until then it can be taken back.
    """
    is_spent = exists().where(fences.c.id == chunks.c.fence_id, fences.c.state == FenceState.SPENT)
    has_left = exists().where(
        chunks.c.campaign_id == campaigns.c.id,
        chunks.c.state == ChunkState.ACCEPTED,
        or_(chunks.c.fence_id.is_(None), is_spent),
    )
    # A planned one begins to be made ahead of its time.
    went = case((occurrences.c.at > campaigns.c.started_at, occurrences.c.at), else_=campaigns.c.started_at)
    first = func.min(went).over(partition_by=campaigns.c.issue_id)
    query = (
        select(campaigns.c.id, issues.c.slug, campaigns.c.revision_id, first.label("sent_at"))
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .outerjoin(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .where(has_left)
        .order_by(campaigns.c.started_at.desc(), campaigns.c.id.desc())
        .limit(ISSUES_SHOWN)
    )
    if slug is not None:
        query = query.where(issues.c.slug == slug)
    newest = {row.slug: row for row in reversed(connection.execute(query).all())}
    rows = sorted(newest.values(), key=lambda row: row.sent_at, reverse=True)
    return [_described(connection, row.id, row.slug, row.revision_id, row.sent_at) for row in rows]


def test_url(issue: Issue, settings: Settings, target: TestTarget) -> str | None:
    """Where a test letter's link leads; None when the place has no such URL."""
    urls = urls_of(whole(issue, settings), target.place)
    return urls[target.index] if 0 <= target.index < len(urls) else None


def _described(
    connection: Connection, campaign_id: int, slug: str, revision_id: int, sent_at: datetime
) -> SentIssue:
    titles = (
        connection.execute(
            select(campaign_stories.c.title)
            .where(campaign_stories.c.campaign_id == campaign_id)
            .order_by(campaign_stories.c.number)
        )
        .scalars()
        .all()
    )
    # The subject of the edition that shows most: of the full one, when there is one.
    subject = connection.execute(
        select(editions.c.subject)
        .where(editions.c.campaign_id == campaign_id)
        .order_by(editions.c.html_bytes.desc())
        .limit(1)
    ).scalar_one_or_none()
    return SentIssue(slug, revision_id, sent_at, subject or slug, tuple(titles[:TITLES_SHOWN]), len(titles))
