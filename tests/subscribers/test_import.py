"""What a file brings: columns, lines, repetition, resuming."""

import pytest
from sqlalchemy import func, select

from subscribers import topics
from subscribers.errors import NewsletterError
from subscribers.tables import consent, list_member, mailing_list, subscriber, topic_choice
from subscribers.transfer import ImportOptions, applying, import_csv
from tests.subscribers.people_site import BASIS, LATER, NOW, SECRET, TOPICS, PeopleSite, counts, refused

HEADER = "email,name,topics,lists,timezone,track_consent,consent_at,consent_source,consent_wording,hospital\n"
JANE = (
    'jane@example.com,Jane,"car-t; Myeloma",Booth;Internal,europe/paris,yes,2025-11-03T09:00:00Z,'
    "form,You may.,St X\n"
)


def sizes(site: PeopleSite) -> list[int]:
    with site.database.reader() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (subscriber, topic_choice, mailing_list, list_member, consent)
        ]


def test_every_column_finds_its_place(site: PeopleSite) -> None:
    assert counts(site.import_rows(HEADER + JANE)) == (1, 0, 0, 0, 0)
    shown = site.show("jane@example.com")
    assert (shown["name"], shown["status"], shown["timezone"]) == ("Jane", "active", "Europe/Paris")
    assert (shown["topics"], shown["lists"]) == (["car-t", "myeloma"], ["booth", "internal"])
    assert (shown["track_consent"], shown["attributes"]) == (True, {"hospital": "St X"})
    assert shown["source"] == "import:people.csv"
    assert shown["consents"] == [
        {
            "at": "2025-11-03T09:00:00Z",
            "action": "given",
            "purpose": purpose,
            "basis": BASIS,
            "wording": "You may.",
            "wording_version": "",
            "source": "import:people.csv: form",
        }
        for purpose in ("receive", "track")
    ]


def test_a_bare_address_is_a_reader_of_everything_with_proof_of_today(site: PeopleSite) -> None:
    site.import_rows("email\njane@example.com\n")
    shown = site.show("jane@example.com")
    assert (shown["topics"], shown["track_consent"], shown["name"]) == (["all"], False, None)
    assert [(row["at"], row["basis"], row["source"]) for row in shown["consents"]] == [
        ("2026-04-10T05:30:00Z", BASIS, "import:people.csv")
    ]


def test_an_import_without_a_basis_is_refused(site: PeopleSite) -> None:
    with pytest.raises(NewsletterError, match="basis"):
        site.import_rows("email\njane@example.com\n", basis=" ")
    assert sizes(site)[0] == 0


def test_the_same_file_again_changes_nothing(site: PeopleSite) -> None:
    rows = HEADER + JANE + "joe@example.com,Joe,all,,,no,,,,\namy@example.com,,none,,,,,,,\n"
    assert counts(site.import_rows(rows)) == (3, 0, 0, 0, 0)
    before = sizes(site)
    assert counts(site.import_rows(rows, now=LATER)) == (0, 0, 3, 0, 0)
    assert counts(site.import_rows(rows, now=LATER, name="copy.csv")) == (0, 0, 3, 0, 0)
    assert sizes(site) == before


def test_the_last_of_equal_addresses_wins_and_the_others_name_its_line(site: PeopleSite) -> None:
    report = site.import_rows(
        'email,name\njane@example.com,"one\nJane"\nJoe@example.com,Joe\nJANE@EXAMPLE.com,two\n\njane@Example.com,three\n'
    )
    assert counts(report) == (2, 0, 0, 0, 2)
    assert refused(report) == {2: "repeated on line 7", 5: "repeated on line 7"}
    assert [each.line for each in report.refused] == [2, 5]
    assert site.show("jane@example.com")["name"] == "three"


def test_a_refused_repetition_does_not_beat_a_good_row(site: PeopleSite) -> None:
    report = site.import_rows("email,topics\njane@example.com,car-t\njane@example.com,cart\n")
    assert refused(report) == {3: "the topic 'cart' is not declared; did you mean 'car-t'?"}
    assert site.show("jane@example.com")["topics"] == ["car-t"]


def test_every_refused_row_has_its_line_and_its_reason(site: PeopleSite) -> None:
    report = site.import_rows(
        "email,topics,timezone,track_consent,consent_at,lists\r\n"
        "nobody,,,,,\r\n"
        "a@example.com,lymphoma,,,,\r\n"
        "b@example.com,,Mars/Base,,,\r\n"
        "c@example.com,,,maybe,,\r\n"
        "d@example.com,,,,yesterday,\r\n"
        "e@example.com,,,,2031-01-01,\r\n"
        "f@example.com,,,,,!!!\r\n"
        "g@example.com,,,,,,more\r\n"
        ",,,,,Booth\r\n"
        "ok@example.com,,,,,,\r\n"
        "short@example.com\r\n"
    )
    assert counts(report) == (2, 0, 0, 0, 9)
    reasons = refused(report)
    assert sorted(reasons) == list(range(2, 11))
    for line, part in {
        2: "@-sign",
        3: "'lymphoma' is not declared",
        4: "'Mars/Base' is no time zone",
        5: "'maybe': say yes or no",
        6: "'yesterday', which is no date",
        7: "lies in the future",
        8: "neither letter nor digit",
        9: "7 cells, the header 6",
        10: "no address",
    }.items():
        assert part in reasons[line]
    assert sizes(site)[2] == 0  # a refused row makes no list


def test_unknown_topics_can_be_ignored(site: PeopleSite) -> None:
    report = site.import_rows(
        "email,topics\na@example.com,car-t;lymphoma\nb@example.com,lymphoma\n", unknown_topics="ignore"
    )
    assert counts(report) == (1, 0, 0, 0, 1)
    assert refused(report) == {3: "none of its topics is declared"}
    assert not site.exists("b@example.com")


def test_who_is_here_already_is_updated_although_none_of_the_topics_is_declared(site: PeopleSite) -> None:
    site.import_rows("email,name,topics\na@example.com,Ada,car-t\n")
    rows = "email,name,topics\na@example.com,Ada Lovelace,lymphoma\n"
    report = site.import_rows(rows, unknown_topics="ignore", replace_topics=True)
    assert counts(report) == (0, 1, 0, 0, 0)
    shown = site.show("a@example.com")
    assert (shown["name"], shown["topics"]) == ("Ada Lovelace", ["car-t"])
    assert counts(site.import_rows(rows, unknown_topics="ignore")) == (0, 0, 1, 0, 0)
    assert site.show("a@example.com")["topics"] == ["car-t"]


def test_who_leaves_is_believed_whatever_their_topics_were(site: PeopleSite) -> None:
    site.add("b@example.com")
    rows = "email,topics\nb@example.com,lymphoma\n"
    report = site.import_rows(rows, unknown_topics="ignore", status="unsubscribed")
    assert counts(report) == (0, 1, 0, 0, 0)
    assert site.show("b@example.com")["status"] == "unsubscribed"


@pytest.mark.parametrize(
    ("cell", "topics"),
    [
        ("car-t;myeloma", ["car-t", "myeloma"]),
        ('"car-t, MYELOMA"', ["car-t", "myeloma"]),
        ("Car-T", ["car-t"]),
        ("Plasma Cells;car-t", ["car-t", "plasma"]),
        ("ALL", ["all"]),
        ("car-t;all", ["all"]),
        ("none", []),
        ("", ["all"]),
        (" ; ", ["all"]),
    ],
)
def test_topics_are_slugs_or_names_between_semicolons_or_commas(
    site: PeopleSite, cell: str, topics: list[str]
) -> None:
    names = TOPICS | {"plasma": "Plasma cells"}
    site.import_rows(f"email,topics\njane@example.com,{cell}\n", topics=names)
    assert site.show("jane@example.com")["topics"] == topics


def test_tags_in_quotes_become_lists(site: PeopleSite) -> None:
    site.import_rows('email,TAGS,lists\njane@example.com,"""Booth, 2026"",""VIP""",Internal\n')
    assert site.show("jane@example.com")["lists"] == ["booth-2026", "internal", "vip"]


def test_two_names_of_one_list_are_one_list(site: PeopleSite) -> None:
    rows = "email,lists,tags\njane@example.com,Booth;BOOTH;A B,a-b\njoe@example.com,booth,\n"
    assert counts(site.import_rows(rows)) == (2, 0, 0, 0, 0)
    assert site.show("jane@example.com")["lists"] == ["a-b", "booth"]
    assert counts(site.import_rows(rows, now=LATER)) == (0, 0, 2, 0, 0)
    more = "email,lists\njoe@example.com,a b;A-B;booth\n"
    assert counts(site.import_rows(more, now=LATER)) == (0, 1, 0, 0, 0)


def test_ip_columns_are_read_past(site: PeopleSite) -> None:
    report = site.import_rows(
        "email,OPTIN_IP,signup ip,IP address,ipAddress,Remote-Addr,zip,tip\n"
        "jane@example.com,192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,12345,good\n"
    )
    assert report.skipped_columns == ("OPTIN_IP", "signup ip", "IP address", "ipAddress", "Remote-Addr")
    assert report.attribute_columns == ("zip", "tip")
    assert site.show("jane@example.com")["attributes"] == {"zip": "12345", "tip": "good"}
    assert b"192.0.2." not in b"".join(path.read_bytes() for path in site.folder.glob("people.db*"))


def test_a_name_in_two_columns_is_one_name(site: PeopleSite) -> None:
    site.import_rows("E-Mail,First Name,Last Name\njane@example.com,Jane,Doe\njoe@example.com,,Doe\n")
    assert site.show("jane@example.com")["name"] == "Jane Doe"
    assert site.show("joe@example.com")["name"] == "Doe"
    site.import_rows("email,name,First Name\namy@example.com,Amy B,Amy\n", name="whole.csv")
    assert site.show("amy@example.com")["attributes"] == {"First Name": "Amy"}


def test_an_international_domain_is_mailed_as_punycode(site: PeopleSite) -> None:
    report = site.import_rows("email\njane@exämple.org\njané@example.org\n")
    assert counts(report) == (1, 0, 0, 0, 1)
    assert "SMTPUTF8" in refused(report)[3]
    assert site.show("jane@xn--exmple-cua.org")["email"] == "jane@xn--exmple-cua.org"


def test_an_import_goes_on_where_it_was_broken_off(site: PeopleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subscribers.transfer.importing.CHUNK_ROWS", 10)
    rows = "email,topics,lists\n" + "".join(f"reader{n}@example.com,car-t,Booth\n" for n in range(35))
    path = site.folder / "people.csv"
    path.write_text(rows)
    options = ImportOptions(basis=BASIS, suppression_key=SECRET, topics=TOPICS)

    class PowerCut(Exception):
        pass

    def cut_after_twenty(done: int, total: int | None) -> None:
        if total is not None and done >= 20:
            raise PowerCut

    with pytest.raises(PowerCut):
        import_csv(site.database, path, options, now=NOW, on_progress=cut_after_twenty)
    assert sizes(site) == [20, 20, 1, 20, 20]
    assert counts(site.import_file(path, now=LATER)) == (15, 0, 20, 0, 0)
    assert sizes(site) == [35, 35, 1, 35, 35]


def test_many_chunks_are_one_import(site: PeopleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subscribers.transfer.importing.CHUNK_ROWS", 7)
    monkeypatch.setattr("subscribers.transfer.staging.BLOCK_ROWS", 2)
    seen: list[tuple[int, int | None]] = []
    path = site.folder / "people.csv"
    lines = [
        f"reader{n % 300}@example.com,Name {n},{('car-t', 'all', '', 'myeloma')[n % 4]}" for n in range(700)
    ]
    path.write_text("email,name,topics\n" + "\n".join(lines) + "\n")
    options = ImportOptions(basis=BASIS, suppression_key=SECRET, topics=TOPICS)
    report = import_csv(
        site.database, path, options, now=NOW, on_progress=lambda done, total: seen.append((done, total))
    )
    assert counts(report) == (300, 0, 0, 0, 400)
    assert refused(report) == {
        n + 2: f"repeated on line {max(range(n % 300, 700, 300)) + 2}" for n in range(400)
    }
    assert site.show("reader7@example.com")["name"] == "Name 607"
    assert seen[-1] == (700, 700)
    with site.database.reader() as connection:
        assert topics.drift(connection) == []
    assert counts(site.import_file(path, now=LATER)) == (0, 0, 300, 0, 400)


def test_people_of_a_file_are_kept_in_its_order(site: PeopleSite) -> None:
    site.import_rows("email\n" + "".join(f"reader{n}@example.com\n" for n in range(50)))
    with site.database.reader() as connection:
        found = connection.execute(select(subscriber.c.email).order_by(subscriber.c.id)).scalars().all()
    assert found == [f"reader{n}@example.com" for n in range(50)]
    assert len(found) < applying.CHUNK_ROWS


def test_a_report_reads_like_the_contract(site: PeopleSite) -> None:
    assert site.import_rows("email\njane@example.com\nx\n").as_json() == {
        "read": 2,
        "added": 1,
        "updated": 0,
        "unchanged": 0,
        "suppressed": 0,
        "refused": [{"line": 3, "reason": "an email address must have an @-sign"}],
    }
