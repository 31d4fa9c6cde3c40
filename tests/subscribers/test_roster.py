"""People one by one: added, leaving, pausing, coming back, measured or not, erased."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mailer import dialect
from subscribers import consent, roster, suppression
from subscribers.addresses import parse_address
from subscribers.errors import NewsletterError, NotFound
from subscribers.models import SubscriberStatus, SuppressionReason
from subscribers.names import NAME_MAX_CHARACTERS, clean_name
from subscribers.tables import consent as consent_table
from subscribers.tables import subscriber
from tests import databases
from tests.subscribers.people_site import BASIS, LATER, NOW, SECRET, PeopleSite

AGENT = "Example Browser 1.0 of one person"


def row_of(site: PeopleSite, subscriber_id: int) -> Any:
    with site.database.reader() as connection:
        return roster.find_id(connection, subscriber_id)


def test_somebody_added_is_shown_with_what_they_agreed_to(site: PeopleSite) -> None:
    site.add(
        "Jane@Example.com",
        name="Jane  Doe\x00",
        topics=("myeloma", "car-t"),
        lists=("Congress 2026 booth",),
        timezone="europe/paris",
        track_consent=True,
        wording="You may count what I open.",
    )
    shown = site.show("jane@example.com")
    assert shown["email"] == "Jane@example.com"
    assert shown["name"] == "Jane Doe"
    assert shown["status"] == "active"
    assert shown["topics"] == ["car-t", "myeloma"]
    assert shown["lists"] == ["congress-2026-booth"]
    assert shown["timezone"] == "Europe/Paris"
    assert shown["track_consent"] is True
    assert shown["letters"] == []
    assert [(row["purpose"], row["action"], row["basis"]) for row in shown["consents"]] == [
        ("receive", "given", BASIS),
        ("track", "given", BASIS),
    ]
    assert {row["at"] for row in shown["consents"]} == {"2026-04-10T05:30:00Z"}


def test_a_reader_of_all_topics_is_shown_as_such(site: PeopleSite) -> None:
    site.add("jane@example.com")
    assert site.show("jane@example.com")["topics"] == ["all"]


def test_other_floors_add_what_they_know(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.reader() as connection:
        shown = roster.show(connection, reader, {"letters": lambda _, number: [{"issue": f"of {number}"}]})
    assert shown["letters"] == [{"issue": f"of {reader}"}]


def test_nobody_is_added_twice(site: PeopleSite) -> None:
    site.add("jane@example.com")
    with pytest.raises(NewsletterError, match="here already"):
        site.add("JANE@example.com")


def test_staff_cannot_bring_back_who_left(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, reader, now=NOW, source="one-click")
    with pytest.raises(NewsletterError, match="left"):
        site.add("jane@example.com")


def test_a_suppressed_address_is_not_added(site: PeopleSite) -> None:
    with site.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=suppression.key_hash("jane@example.com", SECRET),
            reason=SuppressionReason.COMPLAINT,
            now=NOW,
        )
    with pytest.raises(NewsletterError, match="suppressed"):
        site.add("jane@example.com")


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "Europe/"])
def test_an_unknown_zone_is_refused(site: PeopleSite, zone: str) -> None:
    with pytest.raises(NewsletterError, match="time zone"):
        site.add("jane@example.com", timezone=zone)
    assert not site.exists("jane@example.com")


def test_leaving_is_written_down_once(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        assert roster.unsubscribe(connection, reader, now=LATER, source="one-click", agent=AGENT)
        assert not roster.unsubscribe(connection, reader, now=LATER + timedelta(days=1), source="page")
    row = row_of(site, reader)
    assert (row.status, row.unsubscribed_at) == (SubscriberStatus.UNSUBSCRIBED, LATER)
    last = site.show("jane@example.com")["consents"][-1]
    assert (last["action"], last["purpose"], last["source"]) == ("withdrawn", "receive", "one-click")
    assert len(site.show("jane@example.com")["consents"]) == 2


def test_only_their_own_word_brings_somebody_back(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, reader, now=NOW, source="one-click")
        assert roster.resubscribe(
            connection, reader, now=LATER, source="confirm page", wording="I subscribe."
        )
        assert not roster.resubscribe(connection, reader, now=LATER, source="confirm page", wording="again")
    row = row_of(site, reader)
    assert (row.status, row.confirmed_at, row.unsubscribed_at) == (SubscriberStatus.ACTIVE, LATER, None)
    assert [each["action"] for each in site.show("jane@example.com")["consents"]] == [
        "given",
        "withdrawn",
        "given",
    ]


def test_a_fresh_sign_up_does_not_lift_a_suppression(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, reader, now=NOW, source="one-click")
        key_hash = suppression.key_hash("jane@example.com", SECRET)
        suppression.suppress(connection, key_hash=key_hash, reason=SuppressionReason.COMPLAINT, now=NOW)
        with pytest.raises(NewsletterError, match="suppressed"):
            roster.resubscribe(connection, reader, now=LATER, source="confirm page", wording="I subscribe.")


def test_who_comes_back_finds_everything_as_it_was_and_their_words_are_kept(site: PeopleSite) -> None:
    reader = site.add("jane@example.com", topics=("car-t",), lists=("Booth",), track_consent=True)
    before = site.show("jane@example.com")
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, reader, now=NOW, source="one-click")
        roster.resubscribe(
            connection,
            reader,
            now=LATER,
            source="preferences page",
            wording="Send it again.",
            wording_version="1",
        )
    after = site.show("jane@example.com")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"confirmed_at", "consents"}
    proof = after["consents"][-1]
    assert (proof["action"], proof["purpose"], proof["source"]) == ("given", "receive", "preferences page")
    assert (proof["wording"], proof["wording_version"]) == ("Send it again.", "1")


def test_the_place_of_an_erased_person_never_comes_back(site: PeopleSite) -> None:
    reader = erased_site(site)
    with site.database.ledger() as connection, pytest.raises(NotFound):
        roster.resubscribe(connection, reader, now=LATER, source="preferences page", wording="Again.")


def test_measurement_is_allowed_and_forbidden_in_person(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:

        def say(given: bool) -> bool:
            return consent.set_track_consent(connection, reader, given, now=NOW, source="preferences page")

        assert [say(True), say(True), say(False), say(False), say(True)] == [True, False, True, False, True]
        rows = [row.action for row in consent.of(connection, reader) if row.purpose == "track"]
    assert rows == ["given", "withdrawn", "given"]
    assert row_of(site, reader).track_consent is True


def test_a_no_to_measurement_counts_even_of_who_never_said_yes(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        assert not consent.set_track_consent(connection, reader, False, now=NOW, source="preferences page")
        rows = [row.action for row in consent.of(connection, reader) if row.purpose == "track"]
    assert rows == ["withdrawn"]


def test_a_pause_begins_and_ends(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    with site.database.ledger() as connection:
        assert roster.pause(connection, reader, LATER)
        assert not roster.pause(connection, reader, LATER)
        assert row_until(connection, reader) == LATER
        assert roster.pause(connection, reader, None)
        assert row_until(connection, reader) is None


def row_until(connection: Any, reader: int) -> Any:
    return connection.execute(select(subscriber.c.paused_until).where(subscriber.c.id == reader)).scalar_one()


def test_nobody_is_found_under_an_address_that_nobody_has(site: PeopleSite) -> None:
    with site.database.reader() as connection:
        assert roster.find(connection, "nobody@example.com") is None
        with pytest.raises(NotFound):
            roster.require(connection, "nobody@example.com")
        with pytest.raises(NotFound):
            roster.show(connection, 4711)


# -- erasure ------------------------------------------------------------------------------------

TRACES = ("zebedee", "quixworth", "unique-hospital", "one person", "by zebedee", "told-by")


def erased_site(site: PeopleSite, steps: tuple[roster.EraseStep, ...] = ()) -> int:
    """Somebody with traces in every column, erased, and the log emptied."""
    site.import_rows(
        "email,name,topics,lists,timezone,track_consent,consent_at,consent_source,consent_wording,hospital\n"
        "zebedee@example.com,Zed Quixworth,car-t,Booth,Europe/Paris,yes,2026-01-01,told-by zebedee,"
        "said by zebedee,unique-hospital\n"
        "stays@example.com,Stays,car-t,Booth,Europe/Paris,yes,2026-01-01,form,words,other\n"
    )
    reader = site.id_of("zebedee@example.com")
    with site.database.ledger() as connection:
        consent.set_track_consent(connection, reader, False, now=NOW, source="page of zebedee", agent=AGENT)
        connection.execute(
            update(subscriber).where(subscriber.c.id == reader).values(name="Zed Quixworth II")
        )
    with site.database.ledger() as connection:
        assert roster.erase(connection, reader, steps, now=LATER)
    dialect.truncate_journal(site.database.ledger_engine)
    return reader


def test_an_erased_person_leaves_no_byte_in_database_or_log(site: PeopleSite) -> None:
    before = databases.contents(site.database)
    reader = erased_site(site)
    found = databases.contents(site.database)
    assert len(found) >= len(before)
    assert b"stays@example.com" in found
    for trace in TRACES:
        assert trace.encode() not in found.lower(), trace
    row = row_of(site, reader)
    assert (row.email, row.email_key, row.key_hash) == ("", f"erased:{reader}", f"erased:{reader}")
    assert (row.name, row.attributes, row.timezone, row.topic_mask) == (None, {}, None, 0)
    assert row.status == SubscriberStatus.UNSUBSCRIBED


def test_proof_of_consent_outlives_an_erasure_without_a_name(site: PeopleSite) -> None:
    reader = erased_site(site)
    with site.database.reader() as connection:
        rows = connection.execute(select(consent_table).where(consent_table.c.subscriber_id == reader)).all()
    assert [(row.purpose, row.action) for row in rows] == [
        ("receive", "given"),
        ("track", "given"),
        ("track", "withdrawn"),
    ]
    assert {(row.agent, row.source, row.wording) for row in rows} == {(None, "", "")}
    assert rows[0].basis == BASIS


def test_an_erased_address_is_never_mailed_or_imported_again(site: PeopleSite) -> None:
    erased_site(site)
    report = site.import_rows("email\nzebedee@example.com\n", name="again.csv")
    assert (report.added, report.suppressed) == (0, 1)
    assert not site.exists("zebedee@example.com")
    with pytest.raises(NewsletterError, match="erased"):
        site.add("zebedee@example.com")


def test_other_floors_blank_their_tables_in_the_same_transaction(site: PeopleSite) -> None:
    seen: list[tuple[int, str]] = []
    reader = erased_site(site, (lambda _, number, email: seen.append((number, email)),))
    assert seen == [(reader, "zebedee@example.com")]


def test_erasing_twice_changes_nothing(site: PeopleSite) -> None:
    reader = erased_site(site)
    with site.database.ledger() as connection:
        assert not roster.erase(connection, reader, now=LATER)


def test_an_erasure_forgets_what_an_earlier_suppression_told(site: PeopleSite) -> None:
    reader = site.add("jane@example.com")
    key_hash = suppression.key_hash("jane@example.com", SECRET)
    with site.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=key_hash,
            reason=SuppressionReason.HARD_BOUNCE,
            detail="jane's mailbox is full",
            now=NOW,
        )
        roster.erase(connection, reader, now=LATER)
        row = suppression.find(connection, key_hash)
    assert row is not None
    assert (row.reason, row.detail) == ("erased", "")


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Jane  ", "Jane"),
        ("", None),
        (" \t ", None),
        ("\x00\x07", None),
        ("Jane\r\nBcc: x@example.com", "Jane Bcc: x@example.com"),
        ('<b>{{ 7*7 }}</b> [[x]] -name- \\ "q"', '<b>{{ 7*7 }}</b> [[x]] -name- \\ "q"'),
        ("محمد", "محمد"),
        ("a" * 150, "a" * 100),
        ("a" * 99 + "e\u0301", "a" * 99),
    ],
)
def test_a_name_stays_literal_and_short(typed: str, kept: str | None) -> None:
    assert clean_name(typed) == kept


def test_a_name_is_not_cut_inside_a_joined_emoji() -> None:
    found = clean_name("👩" + "\u200d👩" * 80)
    assert found is not None
    assert found.endswith("👩")
    assert len(found) <= NAME_MAX_CHARACTERS


def test_an_erasure_blanks_a_basis_that_names_the_person_and_keeps_any_other(site: PeopleSite) -> None:
    bases = {
        "jane@example.com": "card of Jane@Example.com, filed",
        "doe@example.com": "Ms Doe Smith asked us by telephone",
        "kim@example.com": "signed up at the booth of a kimono shop",
    }
    names = {"doe@example.com": "Doe Smith", "kim@example.com": "Kim"}
    kept = {}
    for email, basis in bases.items():
        with site.database.ledger() as connection:
            person = roster.NewPerson(parse_address(email), basis=basis, name=names.get(email, ""))
            number = roster.add(connection, person, suppression_key=SECRET, source="command line", now=NOW)
            roster.erase(connection, number, now=LATER)
            kept[email] = [row.basis for row in consent.of(connection, number)]
    assert list(kept.values()) == [[""], [""], [bases["kim@example.com"]]]


def test_a_no_in_person_outlasts_an_import_even_without_an_earlier_yes(site: PeopleSite) -> None:
    number = site.add("jane@example.com")
    with site.database.ledger() as connection:
        for _ in range(2):
            consent.set_track_consent(connection, number, False, now=NOW, source="preferences")
    site.import_rows("email,track_consent\njane@example.com,yes\n", now=LATER)
    shown = site.show("jane@example.com")
    assert shown["track_consent"] is False
    assert [row["action"] for row in shown["consents"] if row["purpose"] == "track"] == ["withdrawn"]
