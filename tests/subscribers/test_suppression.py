"""Addresses never to mail: one by one, from files, whatever else is wished."""

import hashlib
import hmac

import pytest

from subscribers import suppression
from subscribers.errors import NewsletterError
from subscribers.models import SuppressionReason
from subscribers.transfer import SuppressReport, suppress_file
from tests.subscribers.people_site import LATER, NOW, SECRET, PeopleSite


def from_file(site: PeopleSite, content: bytes, name: str = "never.txt") -> SuppressReport:
    path = site.folder / name
    path.write_bytes(content)
    return suppress_file(site.database, path, secret=SECRET, now=NOW, source="command line")


def suppressed(site: PeopleSite, *emails: str) -> list[bool]:
    hashes = [suppression.key_hash(email, SECRET) for email in emails]
    with site.database.reader() as connection:
        found = suppression.among(connection, hashes)
    return [each in found for each in hashes]


def test_the_hash_is_keyed_and_half_of_a_standard_one() -> None:
    expected = hmac.new(SECRET.encode(), b"jane@example.com", hashlib.sha256).hexdigest()[:32]
    assert suppression.key_hash("jane@example.com", SECRET) == expected
    assert suppression.key_hash("jane@example.com", "other key") != expected
    with pytest.raises(ValueError, match="empty"):
        suppression.key_hash("jane@example.com", "")


def test_the_first_reason_stays(site: PeopleSite) -> None:
    key_hash = suppression.key_hash("jane@example.com", SECRET)
    with site.database.ledger() as connection:

        def suppress(reason: SuppressionReason, now: object) -> bool:
            return suppression.suppress(connection, key_hash=key_hash, reason=reason, now=now)  # type: ignore[arg-type]

        assert suppress(SuppressionReason.COMPLAINT, NOW)
        assert not suppress(SuppressionReason.MANUAL, LATER)
        row = suppression.find(connection, key_hash)
        assert row is not None
        assert (row.reason, row.since) == ("complaint", NOW)


def test_the_bare_address_is_not_stored(site: PeopleSite) -> None:
    from_file(site, b"only.in.suppression@example.com\n")
    assert b"only.in.suppression" not in b"".join(
        path.read_bytes() for path in site.folder.glob("people.db*")
    )


def test_a_file_of_lines_is_suppressed(site: PeopleSite) -> None:
    report = from_file(
        site, b"Jane@Example.com\r\n\r\nno address\r\njoe@example.com,\r\njane@example.com\r\n"
    )
    assert report.as_json() == {
        "read": 4,
        "suppressed": 2,
        "known": 1,
        "refused": [{"line": 3, "reason": "an email address must have an @-sign"}],
    }
    assert suppressed(site, "jane@example.com", "joe@example.com", "amy@example.com") == [True, True, False]


@pytest.mark.parametrize(
    "content",
    [
        "name;E-Mail\nJane;jane@example.com\nJoe;joe@example.com\n".encode("utf-16"),
        b'\xef\xbb\xbfEmail Address,Note\n"jane@example.com","two\nlines"\njoe@example.com,\n',
        b"email\njane@example.com\njoe@example.com",
    ],
)
def test_a_csv_is_suppressed_by_its_column(site: PeopleSite, content: bytes) -> None:
    assert from_file(site, content).suppressed == 2
    assert suppressed(site, "jane@example.com", "joe@example.com") == [True, True]


def test_the_same_file_again_changes_nothing(site: PeopleSite) -> None:
    from_file(site, b"jane@example.com\n")
    report = from_file(site, b"jane@example.com\n")
    assert (report.suppressed, report.known) == (0, 1)


def test_a_missing_file_is_named(site: PeopleSite) -> None:
    with pytest.raises(NewsletterError, match="cannot be read") as caught:
        suppress_file(site.database, site.folder / "absent.txt", secret=SECRET, now=NOW)
    assert "absent.txt" in str(caught.value)


def test_suppression_wins_over_an_import(site: PeopleSite) -> None:
    from_file(site, b"jane@example.com\n")
    report = site.import_rows("email,name\nJANE@example.com,Jane\njoe@example.com,Joe\n")
    assert (report.added, report.suppressed) == (1, 1)
    assert not site.exists("jane@example.com")
