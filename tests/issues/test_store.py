"""Issues in the database: revisions, slugs, story ids that live on, and what was sent is closed."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from mailer.config import Settings
from mailer.database import Database
from mailer.issues.report import ImportReport
from mailer.issues.serialize import serialize
from mailer.issues.store import choose_slug, import_issue, list_issues, load_issue, load_revision
from mailer.models import CampaignStatus, Revision
from mailer.tables import campaigns, deliveries
from subscribers.errors import NewsletterError, NotFound
from tests.issues.reading import SMALL, small


@pytest.fixture
def imported(database: Database, settings: Settings, now: datetime) -> Any:
    def run(text: str, *, file: str = "Week 04.txt", slug: str | None = None) -> ImportReport:
        with database.ledger() as connection:
            return import_issue(
                connection, text.encode(), file=file, slug=slug, settings=settings, author="ed", now=now
            )

    return run


def revisions(database: Database) -> int:
    with database.reader() as connection:
        return int(connection.execute(select(func.count()).select_from(Revision)).scalar_one())


def test_the_same_bytes_change_nothing(imported: Any, database: Database) -> None:
    first = imported(SMALL)
    again = imported(SMALL)
    assert (first.issue.slug, first.issue.revision, first.is_changed) == ("week-04", 1, True)
    assert (again.issue.revision, again.issue.revision_id, again.is_changed) == (
        1,
        first.issue.revision_id,
        False,
    )
    assert again.as_json() == first.as_json()
    assert revisions(database) == 1


def test_other_bytes_make_a_revision_even_when_the_words_are_the_same(
    imported: Any, database: Database
) -> None:
    imported(SMALL)
    assert imported(SMALL + "\n").issue.revision == 2
    assert imported(SMALL).issue.revision == 3
    assert revisions(database) == 3


def test_what_was_stored_is_read_back(imported: Any, database: Database, settings: Settings) -> None:
    imported(SMALL)
    changed = imported(small("Second title", "A better title"))
    with database.reader() as connection:
        newest = load_issue(connection, "week-04", settings)
        first = load_issue(connection, "week-04", settings, revision=1)
        by_id = load_revision(connection, changed.issue.revision_id, settings)
    assert newest == changed.issue == by_id
    assert serialize(first.document).decode() == SMALL
    assert first.revision == 1


def test_story_ids_live_on_over_revisions(imported: Any, database: Database, settings: Settings) -> None:
    before = [story.id for story in imported(SMALL).issue.document.stories]
    text = small("First title", "Another name").replace(
        "https://example.com/two\nKey", "https://example.com/new\nKey"
    )
    after = imported(text)
    assert [story.id for story in after.issue.document.stories] == before  # by URL, by title
    with database.reader() as connection:
        assert [story.id for story in load_issue(connection, "week-04", settings).document.stories] == before


def test_a_story_that_moves_takes_its_id_along(imported: Any) -> None:
    one = "One [1]\nhttps://example.com/1\nKey point: x\n"
    two = "Two [2]\nhttps://example.com/2\nKey point: x\n"
    before = [story.id for story in imported(one + two).issue.document.stories]
    after = [story.id for story in imported(two + "New [3]\n" + one).issue.document.stories]
    assert (after[0], after[2]) == (before[1], before[0])
    assert after[1] not in before
    gone_and_back = (
        imported(one).issue.document.stories[0].id,
        imported(one + two).issue.document.stories[1].id,
    )
    assert gone_and_back == tuple(before)


def test_an_id_says_the_title_and_six_digits_of_the_url(imported: Any) -> None:
    stories = imported(
        "A “Great” Trial: Phase 2 [1]\nhttps://example.com/1\nעברית [2]\n"
    ).issue.document.stories
    assert stories[0].id.rpartition("-")[0] == "a-great-trial-phase-2"
    assert all(len(story.id.rpartition("-")[2]) == 6 for story in stories)


def test_two_equal_stories_have_two_ids(imported: Any) -> None:
    text = "Same [1]\nhttps://example.com/\nSame [2]\nhttps://example.com/\n"
    ids = [story.id for story in imported(text).issue.document.stories]
    assert len(set(ids)) == 2
    assert [story.id for story in imported(text + "\n").issue.document.stories] == ids


def add_campaign(database: Database, issue_id: int, revision_id: int, status: str, now: datetime) -> None:
    with database.ledger() as connection:
        connection.execute(
            insert(campaigns).values(
                issue_id=issue_id,
                revision_id=revision_id,
                status=status,
                created_at=now,
                # One that is only planned leaves room for a newer draft.
                frozen_at=None if status == CampaignStatus.PREPARING else now,
                audience={},
                sender={},
                proven=False,
            )
        )


@pytest.mark.parametrize("status", list(CampaignStatus))
def test_an_issue_that_was_sent_is_closed(
    imported: Any, database: Database, now: datetime, status: str
) -> None:
    first = imported(SMALL)
    add_campaign(database, first.issue.issue_id, first.issue.revision_id, status, now)
    assert imported(SMALL).is_changed is False
    if status in ("preparing", "cancelled"):
        assert imported(SMALL + "\n").issue.revision == 2
        return
    with pytest.raises(NewsletterError) as caught:
        imported(SMALL + "\n")
    assert "sent" in caught.value.message
    assert "--slug" in (caught.value.cure or "")
    assert "correction" in (caught.value.cure or "")
    assert imported(SMALL + "\n", slug="week-04-again").issue.revision == 1


def test_a_cancelled_campaign_that_had_begun_closes_the_issue_too(
    imported: Any, database: Database, now: datetime
) -> None:
    first = imported(SMALL)
    add_campaign(database, first.issue.issue_id, first.issue.revision_id, "cancelled", now)
    letter = {"campaign_id": 1, "issue_id": first.issue.issue_id, "edition_id": 1, "chunk_id": 1}
    with database.ledger() as connection:
        connection.execute(
            insert(deliveries).values(**letter, email="reader@example.com", handover="accepted")
        )
    with pytest.raises(NewsletterError, match="was sent already"):
        imported(SMALL + "\n")


@pytest.mark.parametrize("status", ["sending", "paused"])
def test_an_issue_whose_campaign_got_nothing_out_can_be_freed(
    imported: Any, database: Database, now: datetime, status: str
) -> None:
    first = imported(SMALL)
    add_campaign(database, first.issue.issue_id, first.issue.revision_id, status, now)
    with pytest.raises(NewsletterError) as caught:
        imported(SMALL + "\n")
    assert "already" not in caught.value.message
    assert "mailer cancel 1" in (caught.value.cure or "")


@pytest.mark.parametrize(
    ("given", "of_front_matter", "file", "slug"),
    [
        ("given", "front", "stem.txt", "given"),
        (None, "front", "stem.txt", "front"),
        (None, None, "examples/week-04.md", "week-04"),
        (None, None, "/tmp/Hématologie n° 4 (final).txt", "hematologie-n-4-final"),
        (None, None, "2026.01.24 issue.txt", "2026-01-24-issue"),
        (None, None, "UPPER__case.TXT", "upper-case"),
        (None, None, "Größere Øresund-Ausgabe.txt", "grossere-oresund-ausgabe"),
    ],
)
def test_a_slug_is_given_or_made_of_the_files_name(
    given: str | None, of_front_matter: str | None, file: str, slug: str
) -> None:
    assert choose_slug(given, of_front_matter, file) == slug


@pytest.mark.parametrize("given", ["Week 4", "week_4", "-week", "week--4", "", "é", "a/b", "x" * 81])
def test_a_given_slug_that_is_none_is_refused_with_a_cure(given: str) -> None:
    with pytest.raises(NewsletterError) as caught:
        choose_slug(given, None, "week.txt")
    assert "--slug" in (caught.value.cure or "")


def test_a_name_without_latin_letters_asks_for_a_slug() -> None:
    with pytest.raises(NewsletterError, match="--slug"):
        choose_slug(None, None, "第四周.txt")


def test_a_refused_issue_stores_nothing(imported: Any, database: Database) -> None:
    with pytest.raises(NewsletterError) as caught:
        imported("---\ntopics: {1: [cart]}\nslug: X\n---\n" + SMALL)
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    assert revisions(database) == 0


def test_an_issue_nobody_imported_is_not_found(imported: Any, database: Database, settings: Settings) -> None:
    imported(SMALL)
    with database.reader() as connection:
        with pytest.raises(NotFound, match="Did you mean 'week-04'"):
            load_issue(connection, "week-4", settings)
        with pytest.raises(NotFound, match="revision 7"):
            load_issue(connection, "week-04", settings, revision=7)
        with pytest.raises(NotFound):
            load_revision(connection, 99, settings)


def test_issues_are_listed_with_their_newest_revision(
    imported: Any, database: Database, now: datetime
) -> None:
    imported(SMALL)
    imported(SMALL + "\n")
    other = imported("---\nsubject: Mine\nkind: digest\n---\n" + SMALL, slug="other")
    add_campaign(database, other.issue.issue_id, other.issue.revision_id, "finished", now)
    with database.reader() as connection:
        lines = [
            (line.slug, line.kind, line.revision, line.stories, line.subject, line.is_sent)
            for line in list_issues(connection)
        ]
    assert lines == [("other", "digest", 1, 2, "Mine", True), ("week-04", "weekly", 2, 2, None, False)]


def test_the_report_has_the_shape_that_scripts_rely_on(imported: Any) -> None:
    report = imported(small("Why it matters", "A stray line\nWhy it matters")).as_json()
    assert set(report) == {
        *(
            "issue",
            "revision",
            "stories",
            "faq",
            "why_it_matters",
            "calls_to_action",
            "keywords",
            "references",
        ),
        *("warnings", "unplaced"),
    }
    assert report["unplaced"] == [{"line": 12, "text": "A stray line"}]
    assert [(warning["line"], set(warning)) for warning in report["warnings"]] == [
        (line, {"line", "message"}) for line in (4, 9, 16)
    ]
    story = report["stories"][0]
    assert story == {
        "id": story["id"],
        "number": 1,
        "title": "First title",
        "topics": [],
        "suggested": True,
        "url": "https://example.com/one",
        "urls": ["https://example.com/one"],
        "region": "US",
        "date": "2026-01-21",
        "date_text": "21 Jan 2026",
    }
