"""A choice that the reader made wins over every file."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from subscribers import choices, consent, roster, topics
from subscribers.models import ChosenBy, SubscriberStatus, SuppressionReason
from subscribers.suppression import key_hash, suppress
from subscribers.tables import subscriber, topic_choice
from tests.subscribers.people_site import BASIS, LATER, NOW, SECRET, PeopleSite, counts, refused

JANE = "jane@example.com"


def track(site: PeopleSite) -> list[tuple[str, str]]:
    with site.database.reader() as connection:
        rows = consent.of(connection, site.id_of(JANE))
    return [(row.action, row.source) for row in rows if row.purpose == "track"]


def choose(site: PeopleSite, wanted: set[str] | None, now: datetime = NOW) -> None:
    with site.database.ledger() as connection:
        choices.set_choices(connection, site.id_of(JANE), wanted, now=now, by=ChosenBy.READER)


def test_an_import_never_revives_who_left(site: PeopleSite) -> None:
    site.import_rows(f"email,topics,track_consent\n{JANE},car-t,no\n")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, site.id_of(JANE), now=NOW, source="one-click")
    before = site.show(JANE)
    report = site.import_rows(
        f"email,name,topics,lists,track_consent\n{JANE},New,myeloma,Booth,yes\n", now=LATER
    )
    assert counts(report) == (0, 0, 1, 0, 0)
    assert site.show(JANE) == before
    assert before["status"] == "unsubscribed"


def test_an_import_never_revives_a_suppressed_person(site: PeopleSite) -> None:
    site.import_rows(f"email,name\n{JANE},Jane\n")
    with site.database.ledger() as connection:
        reason = SuppressionReason.HARD_BOUNCE
        suppress(connection, key_hash=key_hash(JANE, SECRET), reason=reason, now=NOW)
    assert counts(site.import_rows(f"email,name\n{JANE},Other\n", now=LATER)) == (0, 0, 0, 1, 0)
    shown = site.show(JANE)
    assert (shown["name"], shown["suppressed"]) == ("Jane", "hard_bounce")


def test_tracking_consent_is_not_turned_on_after_a_withdrawal(site: PeopleSite) -> None:
    site.import_rows(f"email,track_consent,consent_at\n{JANE},yes,2026-01-01\n")
    with site.database.ledger() as connection:
        consent.set_track_consent(connection, site.id_of(JANE), False, now=NOW, source="preferences page")
    report = site.import_rows(f"email,track_consent,consent_at\n{JANE},yes,2026-01-01\n", now=LATER)
    assert counts(report) == (0, 0, 1, 0, 0)
    assert site.show(JANE)["track_consent"] is False
    assert [action for action, _ in track(site)] == ["given", "withdrawn"]


def test_a_no_given_in_person_holds_even_where_no_yes_came_before(site: PeopleSite) -> None:
    site.import_rows(f"email\n{JANE}\n")
    with site.database.ledger() as connection:
        consent.set_track_consent(connection, site.id_of(JANE), False, now=NOW, source="preferences page")
    site.import_rows(f"email,track_consent\n{JANE},yes\n", now=LATER)
    assert site.show(JANE)["track_consent"] is False


def test_a_file_may_bring_and_take_back_its_own_tracking_consent(site: PeopleSite) -> None:
    site.import_rows(f"email\n{JANE}\n")
    assert counts(site.import_rows(f"email,track_consent\n{JANE},yes\n", now=LATER)) == (0, 1, 0, 0, 0)
    assert track(site) == [("given", "import:people.csv")]
    assert counts(site.import_rows(f"email,track_consent\n{JANE},\n", now=LATER)) == (0, 0, 1, 0, 0)
    assert counts(site.import_rows(f"email,track_consent\n{JANE},no\n", now=LATER)) == (0, 1, 0, 0, 0)
    assert [action for action, _ in track(site)] == ["given", "withdrawn"]
    site.import_rows(f"email,track_consent\n{JANE},yes\n", now=LATER)
    assert site.show(JANE)["track_consent"] is False  # a withdrawal, whoever wrote it down, holds


def test_a_yes_given_in_person_is_not_taken_back_by_a_file(site: PeopleSite) -> None:
    site.import_rows(f"email\n{JANE}\n")
    with site.database.ledger() as connection:
        consent.set_track_consent(connection, site.id_of(JANE), True, now=NOW, source="preferences page")
    assert counts(site.import_rows(f"email,track_consent\n{JANE},no\n", now=LATER)) == (0, 0, 1, 0, 0)
    assert site.show(JANE)["track_consent"] is True


@pytest.mark.parametrize(
    ("before", "cell", "options", "after"),
    [
        # adds
        ("car-t", "myeloma", {}, ["car-t", "myeloma"]),
        ("car-t", "", {}, ["car-t"]),
        ("car-t", "all", {}, ["all"]),
        ("car-t", "none", {}, ["car-t"]),
        ("all", "car-t", {}, ["all"]),
        ("none", "car-t", {}, ["car-t"]),
        # replaces
        ("car-t", "myeloma", {"replace_topics": True}, ["myeloma"]),
        ("car-t", "", {"replace_topics": True}, ["car-t"]),
        ("all", "car-t;myeloma", {"replace_topics": True}, ["car-t", "myeloma"]),
        ("car-t", "all", {"replace_topics": True}, ["all"]),
        ("car-t", "none", {"replace_topics": True}, []),
    ],
)
@pytest.mark.parametrize("in_person", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_topics_change_only_where_nobody_chose_in_person(
    site: PeopleSite,
    before: str,
    cell: str,
    options: dict[str, Any],
    after: list[str],
    in_person: bool,
    overwrite: bool,
) -> None:
    site.import_rows(f"email,topics\n{JANE},{before}\n")
    was = site.show(JANE)["topics"]
    if in_person:
        with site.database.ledger() as connection:
            connection.execute(update(subscriber).values(chose_at=NOW))
    report = site.import_rows(
        f"email,topics\n{JANE},{cell}\n", now=LATER, overwrite_choices=overwrite, **options
    )
    expected = was if in_person and not overwrite else after
    assert site.show(JANE)["topics"] == expected
    assert counts(report) == ((0, 0, 1, 0, 0) if expected == was else (0, 1, 0, 0, 0))
    with site.database.reader() as connection:
        assert topics.drift(connection) == []


def test_choices_that_stay_keep_their_date_and_author(site: PeopleSite) -> None:
    site.import_rows(f"email,topics\n{JANE},car-t\n")
    choose(site, {"car-t", "myeloma"})
    site.import_rows(f"email,topics\n{JANE},immunology;car-t\n", now=LATER, overwrite_choices=True)
    with site.database.reader() as connection:
        rows = connection.execute(select(topic_choice).order_by(topic_choice.c.topic)).all()
    assert [(row.topic, row.chosen_by, row.chosen_at) for row in rows] == [
        ("car-t", "import", NOW),
        ("immunology", "import", LATER),
        ("myeloma", "reader", NOW),
    ]


def test_an_empty_cell_and_an_absent_column_leave_what_is_there(site: PeopleSite) -> None:
    site.import_rows(f"email,name,timezone,lists,hospital\n{JANE},Jane,Europe/Paris,Booth,St X\n")
    before = site.show(JANE)
    assert counts(site.import_rows(f"email,name,timezone,lists,hospital\n{JANE},,,,\n", now=LATER))[2] == 1
    assert counts(site.import_rows(f"email\n{JANE}\n", now=LATER))[2] == 1
    assert site.show(JANE) == before


def test_facts_are_brought_up_to_date_and_the_rest_stays(site: PeopleSite) -> None:
    site.import_rows(f"email,name,timezone,lists,hospital,role\n{JANE},Jane,Europe/Paris,Booth,St X,nurse\n")
    report = site.import_rows(
        f"email,name,timezone,lists,hospital\n{JANE},Jane D,Europe/Rome,Booth;Internal,St Y\n", now=LATER
    )
    assert counts(report) == (0, 1, 0, 0, 0)
    shown = site.show(JANE)
    assert (shown["name"], shown["timezone"], shown["lists"]) == (
        "Jane D",
        "Europe/Rome",
        ["booth", "internal"],
    )
    assert shown["attributes"] == {"hospital": "St Y", "role": "nurse"}


def test_proof_of_consent_is_not_written_twice(site: PeopleSite) -> None:
    site.import_rows(f"email,consent_at\n{JANE},2026-01-01\n")
    site.import_rows(
        f"email,consent_at\n{JANE},2026-01-01\n", now=LATER, name="other.csv", basis="other basis"
    )
    assert len(site.show(JANE)["consents"]) == 1
    site.import_rows(f"email,consent_at\n{JANE},2026-02-01\n", now=LATER)
    assert [row["at"] for row in site.show(JANE)["consents"]] == [
        "2026-01-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
    ]


def test_a_new_basis_is_new_proof(site: PeopleSite) -> None:
    site.import_rows(f"email\n{JANE}\n")
    assert counts(site.import_rows(f"email\n{JANE}\n", now=LATER, basis="asked again")) == (0, 1, 0, 0, 0)
    assert counts(site.import_rows(f"email\n{JANE}\n", now=LATER, basis=BASIS)) == (0, 0, 1, 0, 0)
    assert [row["basis"] for row in site.show(JANE)["consents"]] == [BASIS, "asked again"]


def test_a_pending_sign_up_becomes_active(site: PeopleSite) -> None:
    site.add(JANE)
    with site.database.ledger() as connection:
        connection.execute(update(subscriber).values(status=SubscriberStatus.PENDING))
    assert counts(site.import_rows(f"email\n{JANE}\n", now=LATER)) == (0, 1, 0, 0, 0)
    assert site.show(JANE)["status"] == "active"


def test_new_known_and_suppressed_people_share_a_file(site: PeopleSite) -> None:
    site.import_rows("email,name\nold@example.com,Old\nsame@example.com,Same\n")
    with site.database.ledger() as connection:
        reason = SuppressionReason.MANUAL
        suppress(connection, key_hash=key_hash("never@example.com", SECRET), reason=reason, now=NOW)
    report = site.import_rows(
        "email,name,topics\nnew@example.com,New,car-t\nold@example.com,Newer,\nnever@example.com,Never,\n"
        "same@example.com,Same,\nbroken,,\nnewer@example.com,,myeloma\n",
        now=LATER,
    )
    assert counts(report) == (2, 1, 1, 1, 1)
    assert refused(report).keys() == {6}
    assert site.show("new@example.com")["topics"] == ["car-t"]
    assert site.show("newer@example.com")["topics"] == ["myeloma"]
