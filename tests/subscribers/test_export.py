"""People written out, safe to open in a spreadsheet, and read in the same."""

import csv
import stat
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from subscribers import choices, consent, roster
from subscribers.errors import NewsletterError, NotFound
from subscribers.models import ChosenBy, SubscriberStatus, SuppressionReason
from subscribers.suppression import key_hash, suppress
from subscribers.tables import subscriber
from subscribers.transfer import ExportOptions, export_csv
from subscribers.transfer.guard import guard, unguard
from tests.subscribers.people_site import LATER, NOW, SECRET, PeopleSite, counts, make_site, refused

AFTER = LATER + timedelta(days=40)
ROOT = Path(__file__).parents[2]
PEOPLE = (
    "email,name,topics,lists,timezone,track_consent,consent_at,consent_source,consent_wording,hospital\n"
    'ada@example.com,"Lovelace, Ada",car-t;myeloma,Booth;Internal,Europe/Paris,yes,2026-01-01T10:00:00Z,'
    "form,You may.,St X\n"
    "ben@example.com,Ben,all,,,no,2026-01-02,form,,\n"
    "cleo@example.com,,none,Booth,,,,,,St Y\n"
)


def export(site: PeopleSite, name: str = "out.csv", **options: Any) -> list[dict[str, str]]:
    path = site.folder / name
    written = export_csv(site.database, path, ExportOptions(**options))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == written
    return rows


def people_of(site: PeopleSite) -> list[dict[str, Any]]:
    with site.database.reader() as connection:
        rows = [roster.find_id(connection, number) for number in range(1, 200)]
        shown = [roster.show(connection, row.id) for row in rows if row is not None]
    kept = ("email", "name", "status", "topics", "lists", "timezone", "track_consent", "attributes")
    return [{name: person[name] for name in kept} for person in sorted(shown, key=lambda each: each["email"])]


def test_an_export_has_the_columns_of_an_import(site: PeopleSite) -> None:
    site.import_rows(PEOPLE)
    rows = {row["email"]: row for row in export(site)}
    assert rows["ada@example.com"] == {
        "email": "ada@example.com",
        "name": "Lovelace, Ada",
        "topics": "car-t;myeloma",
        "lists": "Booth;Internal",
        "timezone": "Europe/Paris",
        "track_consent": "yes",
        "consent_at": "2026-01-01T10:00:00Z",
        "consent_source": "form",
        "consent_wording": "You may.",
        "newsletter_status": "active",
        "newsletter_left_at": "",
        "newsletter_topics_chosen_at": "",
        "newsletter_track_withdrawn_at": "",
        "hospital": "St X",
    }
    assert (rows["ben@example.com"]["topics"], rows["cleo@example.com"]["topics"]) == ("all", "none")


def test_an_export_changes_nothing_when_it_comes_back(site: PeopleSite) -> None:
    site.import_rows(PEOPLE)
    site.add("added@example.com", name="By hand", lists=("VIP",))
    export(site)
    assert counts(site.import_file(site.folder / "out.csv", now=LATER, basis="another")) == (0, 0, 4, 0, 0)


def test_the_shipped_example_goes_round(site: PeopleSite, tmp_path: Path) -> None:
    assert counts(site.import_file(ROOT / "examples" / "subscribers.csv")) == (20, 0, 0, 0, 0)
    export(site)
    other = make_site(tmp_path / "other")
    assert counts(other.import_file(site.folder / "out.csv")) == (20, 0, 0, 0, 0)
    assert people_of(other) == people_of(site)
    export(other, "again.csv")
    assert (other.folder / "again.csv").read_bytes() == (site.folder / "out.csv").read_bytes()
    other.database.close()


def test_who_left_or_must_not_be_mailed_is_not_exported_by_default(site: PeopleSite) -> None:
    site.import_rows("email\na@example.com\nb@example.com\nc@example.com\nd@example.com\n")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, 1, now=NOW, source="one-click")
        reason = SuppressionReason.COMPLAINT
        suppress(connection, key_hash=key_hash("b@example.com", SECRET), reason=reason, now=NOW)
        roster.erase(connection, 3, now=NOW)
    assert [row["email"] for row in export(site)] == ["d@example.com"]
    assert [row["email"] for row in export(site, status="unsubscribed")] == ["a@example.com"]


def site_of_every_kind(site: PeopleSite) -> None:
    """Somebody who left, who chose, who took back consent to measurement, who never confirmed."""
    site.import_rows(PEOPLE)
    site.import_rows(
        "email,topics,lists,track_consent\nleft@example.com,myeloma,Booth,yes\nchose@example.com,all,,yes\n"
    )
    site.add("pending@example.com")
    with site.database.ledger() as connection:
        left, chose = (roster.require(connection, f"{name}@example.com").id for name in ("left", "chose"))
        roster.unsubscribe(connection, left, now=LATER, source="one-click")
        choices.set_choices(connection, chose, ["car-t"], by=ChosenBy.READER, now=LATER)
        consent.set_track_consent(connection, chose, False, now=LATER, source="preferences page")
        pending = update(subscriber).where(subscriber.c.email == "pending@example.com")
        connection.execute(pending.values(status=SubscriberStatus.PENDING))


def test_an_export_of_everybody_makes_the_same_people_elsewhere(site: PeopleSite, tmp_path: Path) -> None:
    site_of_every_kind(site)
    assert len(export(site, status="all")) == 6
    other = make_site(tmp_path / "other")
    assert counts(other.import_file(site.folder / "out.csv", now=AFTER)) == (6, 0, 0, 0, 0)
    assert people_of(other) == people_of(site)
    export(other, "again.csv", status="all")
    assert (other.folder / "again.csv").read_bytes() == (site.folder / "out.csv").read_bytes()
    for here in (other, site):
        assert counts(here.import_file(site.folder / "out.csv", now=AFTER, basis="more")) == (0, 0, 6, 0, 0)
    left = other.show("left@example.com")
    assert (left["status"], left["unsubscribed_at"]) == ("unsubscribed", "2026-05-10T05:30:00Z")
    assert [(row["action"], row["purpose"]) for row in left["consents"]] == [
        ("given", "receive"),
        ("given", "track"),
        ("withdrawn", "receive"),
    ]
    other.database.close()


def test_what_was_said_in_person_wins_over_later_files_on_the_other_site_too(
    site: PeopleSite, tmp_path: Path
) -> None:
    site_of_every_kind(site)
    export(site, status="all")
    other = make_site(tmp_path / "other")
    other.import_file(site.folder / "out.csv", now=AFTER)
    later = "email,topics,track_consent\nchose@example.com,immunology,yes\nleft@example.com,all,yes\n"
    assert counts(other.import_rows(later, now=AFTER)) == (0, 0, 2, 0, 0)
    other.database.close()


def test_what_was_said_in_person_elsewhere_wins_over_what_a_file_said_here(
    site: PeopleSite, tmp_path: Path
) -> None:
    site_of_every_kind(site)
    export(site, status="all")
    other = make_site(tmp_path / "other")
    other.import_rows("email,topics\nchose@example.com,immunology\nleft@example.com,all\n")
    assert counts(other.import_file(site.folder / "out.csv", now=AFTER)) == (4, 2, 0, 0, 0)
    chose, left = other.show("chose@example.com"), other.show("left@example.com")
    assert (chose["topics"], chose["consents"][-1]["action"]) == (["car-t"], "withdrawn")
    assert (left["status"], left["unsubscribed_at"]) == ("unsubscribed", "2026-05-10T05:30:00Z")
    assert counts(other.import_file(site.folder / "out.csv", now=AFTER)) == (0, 0, 6, 0, 0)
    other.database.close()


def test_an_old_file_does_not_undo_that_somebody_came_back(site: PeopleSite) -> None:
    site_of_every_kind(site)
    export(site, status="unsubscribed")
    number = site.id_of("left@example.com")
    with site.database.ledger() as connection:
        roster.resubscribe(connection, number, now=AFTER, source="preferences page", wording="Again, please.")
    assert counts(site.import_file(site.folder / "out.csv", now=AFTER)) == (0, 0, 1, 0, 0)
    old = "email,UNSUB_TIME\nleft@example.com,2026-05-10 05:30:00\n"
    assert counts(site.import_rows(old, now=AFTER, status="unsubscribed")) == (0, 0, 1, 0, 0)
    assert site.show("left@example.com")["status"] == "active"
    new = "email,UNSUB_TIME\nleft@example.com,2026-06-19 12:00:00\n"
    assert counts(site.import_rows(new, now=AFTER, status="unsubscribed")) == (0, 1, 0, 0, 0)


def test_a_status_that_there_is_not_refuses_its_row(site: PeopleSite) -> None:
    report = site.import_rows("email,newsletter_status\na@example.com,gone\nb@example.com,Active\n")
    assert refused(report) == {2: "newsletter_status is 'gone': say pending, active, unsubscribed"}


def test_columns_of_another_system_that_sound_like_ours_are_attributes(
    site: PeopleSite, tmp_path: Path
) -> None:
    foreign = (
        "email,subscription,status,unsubscribed_at,topics_chosen_at,track_withdrawn_at\n"
        "a@example.com,premium,lapsed,never,by phone,n/a\n"
        "b@example.com,unsubscribed,unsubscribed,2026-01-01,2026-01-01,2026-01-01\n"
    )
    assert counts(site.import_rows(foreign)) == (2, 0, 0, 0, 0)
    shown = site.show("a@example.com")
    assert (shown["status"], shown["attributes"]) == (
        "active",
        {
            "subscription": "premium",
            "status": "lapsed",
            "unsubscribed_at": "never",
            "topics_chosen_at": "by phone",
            "track_withdrawn_at": "n/a",
        },
    )
    assert site.show("b@example.com")["status"] == "active"
    export(site, status="all")
    other = make_site(tmp_path / "other")
    assert counts(other.import_file(site.folder / "out.csv")) == (2, 0, 0, 0, 0)
    assert people_of(other) == people_of(site)
    other.database.close()


def test_people_are_chosen_by_list_and_topic(site: PeopleSite) -> None:
    site.import_rows(PEOPLE)
    assert [row["email"] for row in export(site, in_list="Booth")] == ["ada@example.com", "cleo@example.com"]
    assert [row["email"] for row in export(site, topic="car-t")] == ["ada@example.com", "ben@example.com"]
    assert [row["email"] for row in export(site, topic="never-used")] == ["ben@example.com"]
    with pytest.raises(NotFound, match="no list"):
        export(site, in_list="absent")


def test_the_file_is_for_its_owner_only(site: PeopleSite) -> None:
    export(site)
    assert stat.S_IMODE((site.folder / "out.csv").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_named(site: PeopleSite) -> None:
    with pytest.raises(NewsletterError, match="cannot be written"):
        export_csv(site.database, site.folder / "absent" / "out.csv")


@pytest.mark.parametrize("cell", ["=1+1", "+49 30 1", "-5", "@cmd", "'=1", "\t=1", "\r=1"])
def test_formulas_are_disarmed(cell: str) -> None:
    assert guard(cell) == "'" + cell
    assert unguard(guard(cell)) == cell


@given(st.text())
def test_the_guard_is_undone_exactly(cell: str) -> None:
    assert unguard(guard(cell)) == cell
    assert not guard(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_no_cell_of_an_export_is_a_formula(site: PeopleSite) -> None:
    site.import_rows(
        'email,name,=cmd,note\n+jane@example.com,=HYPERLINK("x"),@SUM(1),-2\n'.replace('"x"', "x"),
        name="bad.csv",
    )
    assert site.show("+jane@example.com")["attributes"] == {"=cmd": "@SUM(1)", "note": "-2"}
    export(site)
    with (site.folder / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert counts(site.import_file(site.folder / "out.csv", now=LATER)) == (0, 0, 1, 0, 0)


TEXT = st.text(
    st.one_of(
        st.sampled_from("=+-@'\",;\t\r\n \\<é🧬\x07\u200b\u2028"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=12,
)
PERSON = st.fixed_dictionaries(
    {
        "name": TEXT,
        "topics": st.sampled_from(["", "all", "none", "car-t", "Myeloma;immunology", "car-t,immunology"]),
        "lists": st.lists(st.sampled_from(["Booth", "O'Hara list", "Ünïque", "=sum", "A B"]), max_size=2).map(
            ";".join
        ),
        "timezone": st.sampled_from(["", "Europe/Paris", "utc"]),
        "track_consent": st.sampled_from(["", "yes", "no"]),
        "consent_at": st.sampled_from(["", "2026-01-01", "2025-06-01T10:11:12.131415+02:00"]),
        "consent_source": TEXT,
        "consent_wording": TEXT,
        "hospital": TEXT,
        "=a 'column'": TEXT,
    }
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PERSON, min_size=4, max_size=12))
def test_whatever_was_imported_is_exported_and_imports_to_the_same(people: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = make_site(Path(folder) / "first"), make_site(Path(folder) / "second")
        source = first.folder / "people.csv"
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["email", *people[0]], quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows({"email": f"+r{n}@example.com", **person} for n, person in enumerate(people))
        assert first.import_file(source).added == len(people)
        export(first)
        exported = first.folder / "out.csv"
        assert second.import_file(exported, basis="other").added == len(people)
        assert people_of(second) == people_of(first)
        assert first.import_file(exported, now=LATER, basis="other").unchanged == len(people)
        first.database.close()
        second.database.close()
