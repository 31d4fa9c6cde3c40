"""Mailchimp's three exports, made for these tests in the shape of its columns."""

import pytest

from subscribers import suppression
from tests.subscribers.people_site import BASIS, LATER, SECRET, PeopleSite, counts

COMMON = (
    '"Email Address","First Name","Last Name",Address,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,'
    "CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION"
)
SUBSCRIBED = (
    f"{COMMON},LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
    'ada@example.com,Ada,"de Lange","1 Example Street  London",4,"2021-03-04 12:34:56",192.0.2.7,'
    '"2021-03-05 01:02:03",192.0.2.8,51.5,-0.1,0,1,Europe/London,GB,LND,"2024-01-01 00:00:00",101,abc123,'
    '"first line\nsecond, line","""Congress 2026"",""Hematologists"""\n'
    'ben@example.org,,,,2,,,"2022-05-06 07:08:09",192.0.2.9,,,,,,,,,102,abc124,,\n'
)
UNSUBSCRIBED = (
    f"{COMMON},UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON,LEID,EUID,NOTES,TAGS\n"
    'cleo@example.com,Cleo,Marks,,3,"2020-01-02 03:04:05",192.0.2.7,"2020-01-02 03:05:05",192.0.2.7,,,,,,,,'
    '"2023-09-10 11:12:13","Week 36","No longer interested",103,abc125,,\n'
)
CLEANED = (
    f'{COMMON},CLEAN_TIME,LEID,EUID\ndora@example.com,Dora,,,1,,,,,,,,,,,,"2023-01-01 00:00:00",104,abc126\n'
)


def test_subscribed_people_come_with_their_times_as_proof(site: PeopleSite) -> None:
    assert counts(site.import_rows(SUBSCRIBED)) == (2, 0, 0, 0, 0)
    shown = site.show("ada@example.com")
    assert (shown["name"], shown["status"], shown["timezone"]) == ("Ada de Lange", "active", "Europe/London")
    assert shown["lists"] == ["congress-2026", "hematologists"]
    assert shown["confirmed_at"] == "2021-03-05T01:02:03Z"
    assert [(row["action"], row["purpose"], row["at"], row["basis"]) for row in shown["consents"]] == [
        ("given", "receive", "2021-03-04T12:34:56Z", BASIS),
        ("given", "receive", "2021-03-05T01:02:03Z", BASIS),
    ]
    assert shown["attributes"]["NOTES"] == "first line\nsecond, line"
    assert shown["attributes"]["MEMBER_RATING"] == "4"
    assert not {"OPTIN_IP", "CONFIRM_IP", "TAGS", "OPTIN_TIME"} & set(shown["attributes"])
    assert [row["at"] for row in site.show("ben@example.org")["consents"]] == ["2022-05-06T07:08:09Z"]


def test_no_ip_address_of_an_export_is_stored(site: PeopleSite) -> None:
    site.import_rows(SUBSCRIBED)
    site.import_rows(UNSUBSCRIBED, status="unsubscribed", name="gone.csv")
    assert b"192.0.2." not in b"".join(path.read_bytes() for path in site.folder.glob("people.db*"))


def test_who_left_there_has_left_here(site: PeopleSite) -> None:
    assert counts(site.import_rows(UNSUBSCRIBED, status="unsubscribed")) == (1, 0, 0, 0, 0)
    shown = site.show("cleo@example.com")
    assert (shown["status"], shown["unsubscribed_at"]) == ("unsubscribed", "2023-09-10T11:12:13Z")
    assert [(row["action"], row["at"]) for row in shown["consents"]] == [
        ("given", "2020-01-02T03:04:05Z"),
        ("given", "2020-01-02T03:05:05Z"),
        ("withdrawn", "2023-09-10T11:12:13Z"),
    ]


def test_who_left_there_leaves_here_even_when_active(site: PeopleSite) -> None:
    site.import_rows("email\ncleo@example.com\n")
    assert counts(site.import_rows(UNSUBSCRIBED, status="unsubscribed", now=LATER)) == (0, 1, 0, 0, 0)
    assert site.show("cleo@example.com")["status"] == "unsubscribed"
    assert site.show("cleo@example.com")["consents"][-1]["action"] == "withdrawn"
    assert counts(site.import_rows(UNSUBSCRIBED, status="unsubscribed", now=LATER)) == (0, 0, 1, 0, 0)
    assert counts(site.import_rows("email\ncleo@example.com\n", now=LATER)) == (0, 0, 1, 0, 0)


def test_cleaned_addresses_are_suppressed_and_nobody_is_added(site: PeopleSite) -> None:
    assert counts(site.import_rows(CLEANED, status="cleaned")) == (0, 0, 0, 1, 0)
    assert not site.exists("dora@example.com")
    with site.database.reader() as connection:
        row = suppression.find(connection, suppression.key_hash("dora@example.com", SECRET))
    assert row is not None
    assert (row.reason, row.source) == ("hard_bounce", "import:people.csv")


@pytest.mark.parametrize(
    ("rows", "status"), [(SUBSCRIBED, "subscribed"), (UNSUBSCRIBED, "unsubscribed"), (CLEANED, "cleaned")]
)
def test_each_export_may_come_again(site: PeopleSite, rows: str, status: str) -> None:
    site.import_rows(rows, status=status)
    report = site.import_rows(rows, status=status, now=LATER)
    assert (report.added, report.updated, len(report.refused)) == (0, 0, 0)


def test_times_that_are_none_and_times_of_twelve_hours_are_read(site: PeopleSite) -> None:
    rows = (
        'Email Address,OPTIN_TIME,CONFIRM_TIME\na@example.com,"0000-00-00 00:00:00","2024-03-05 10:11 AM"\n'
        'b@example.com,"2024-03-05 12:11:30 pm",\nc@example.com,"2024-03-05 13:11 PM",\n'
    )
    assert counts(site.import_rows(rows)) == (2, 0, 0, 0, 1)
    assert [row["at"] for row in site.show("a@example.com")["consents"]] == ["2024-03-05T10:11:00Z"]
    assert [row["at"] for row in site.show("b@example.com")["consents"]] == ["2024-03-05T12:11:30Z"]


@pytest.mark.parametrize(
    "column",
    [
        "ip4",
        "ipv4",
        "IPv6",
        "userip",
        "clientIp",
        "X-Forwarded-For",
        "remote_addr",
        "REMOTEADDR",
        "signup_ip",
    ],
)
def test_columns_of_ip_addresses_by_any_name_are_read_past(site: PeopleSite, column: str) -> None:
    site.import_rows(f"email,{column},zip,membership\na@example.com,192.0.2.1,75001,gold\n")
    assert site.show("a@example.com")["attributes"] == {"zip": "75001", "membership": "gold"}
