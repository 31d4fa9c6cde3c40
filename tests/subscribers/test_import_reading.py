"""Files as they come: encodings, delimiters, quotes, sizes, attacks."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscribers.errors import NewsletterError
from subscribers.transfer import reading
from subscribers.transfer.reading import BrokenRow, read_rows
from tests.subscribers.people_site import PeopleSite, counts, refused


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_encodings_and_line_ends_are_recognised(
    site: PeopleSite, delimiter: str, encoding: str, newline: str
) -> None:
    text = newline.join(["E-Mail|Name|Note", "jane@example.com|Zoë 🧬|a,b;c", "x|y|z", ""])
    rows = [row.split("|") for row in text.split(newline) if row]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=newline).writerows(rows)
    report = site.import_rows(out.getvalue().encode(encoding))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert refused(report).keys() == {3}
    shown = site.show("jane@example.com")
    assert (shown["name"], shown["attributes"]) == ("Zoë 🧬", {"Note": "a,b;c"})


def test_the_delimiter_that_excel_writes_down_is_believed(site: PeopleSite) -> None:
    report = site.import_rows("sep=;\nemail;name\njane@example.com;Doe, Jane\nx;y\n")
    assert site.show("jane@example.com")["name"] == "Doe, Jane"
    assert refused(report).keys() == {4}


def test_a_single_column_needs_no_delimiter(site: PeopleSite) -> None:
    assert counts(site.import_rows("email\r\njane@example.com\r\n")) == (1, 0, 0, 0, 0)


def test_blank_lines_and_rows_of_delimiters_are_no_rows(site: PeopleSite) -> None:
    report = site.import_rows("\n\nemail,name\n\njane@example.com,Jane\n,\n \n,,,\nx,y\n\n")
    assert (report.read, list(refused(report))) == (2, [9])


@pytest.mark.parametrize(
    ("content", "offset", "line"),
    [
        (b"email\njane@example.com\nj\xe9@example.com\n", "24", 3),
        (b"\xef\xbb\xbfemail\nj\xff@example.com\n", "10", 2),
        (b"email,name\n" + b"a@example.com,A\n" * 9_000 + b"b@example.com,\xc3", "144,025", 9_002),
        (b"email\rjane@example.com\rj\xe9@example.com\r", "24", 3),
        (b"email\r\njane@example.com\r\nj\xe9@example.com\r\n", "26", 3),
        ("email\na@example.com\n".encode("utf-16") + b"\x00\xd8\x41\x00", "42", 3),
    ],
)
def test_bytes_that_are_no_text_refuse_the_file_with_their_offset(
    site: PeopleSite, content: bytes, offset: str, line: int
) -> None:
    with pytest.raises(NewsletterError) as caught:
        site.import_rows(content)
    assert f"offset {offset} " in caught.value.message
    assert caught.value.line == line
    assert not site.exists("jane@example.com")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("name,address\nJane,x\n", "the columns found are: 'name', 'address'"),
        ("email,Email Address\nx,y\n", "two columns mean the same: 'email' (1) and 'Email Address' (2)"),
        ("email,role,role\nx,y,z\n", "two columns mean the same"),
        ("email," + ",".join(f"c{n}" for n in range(10_000)) + "\n", "10,001 columns"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_as_a_whole(
    site: PeopleSite, content: str, message: str
) -> None:
    with pytest.raises(NewsletterError) as caught:
        site.import_rows(content)
    assert message in caught.value.message
    assert caught.value.file is not None


def test_a_file_without_a_header_is_refused_without_showing_its_addresses(site: PeopleSite) -> None:
    with pytest.raises(NewsletterError, match="no column is called 'email'") as caught:
        site.import_rows("jane.secret@example.com,Jane\n")
    assert "jane.secret" not in str(caught.value)
    assert "The first line names the columns" in str(caught.value)


def test_a_missing_file_is_named(site: PeopleSite) -> None:
    with pytest.raises(NewsletterError, match="cannot be read"):
        site.import_file(site.folder / "absent.csv")
    with pytest.raises(NewsletterError, match="cannot be read"):
        site.import_file(site.folder)


def test_a_file_that_fails_late_changes_nothing(site: PeopleSite) -> None:
    rows = b"email,lists\n" + b"".join(b"r%d@example.com,Booth\n" % n for n in range(20_000)) + b"\xff\n"
    with pytest.raises(NewsletterError):
        site.import_rows(rows)
    assert not site.exists("r0@example.com")


def test_lines_within_quotes_are_never_rows_of_their_own(site: PeopleSite) -> None:
    long = "intro\n" * 220
    report = site.import_rows(
        f'email,note\na@example.com,"{long}injected@evil.example,hello\n"\nb@example.com,fine\n'
        f'c@example.com,"{long}injected@evil.example,hello\n" and more\nd@example.com,fine\n'
        f'e@example.com,"one" two,"\ninjected@evil.example,hello\n"\nf@example.com,fine\n'
        f'g@example.com,"{"x" * 140_000}\ninjected@evil.example,hello\n"\nh@example.com,fine\n'
    )
    assert refused(report).keys() == {225, 448, 452}
    assert refused(report)[225].endswith("(lines 225 to 446 are one row)")
    assert site.show("a@example.com")["attributes"]["note"].endswith("injected@evil.example,hello")
    assert not site.exists("injected@evil.example")
    assert all(site.exists(f"{name}@example.com") for name in "abdfh")


def test_a_line_that_is_too_long_keeps_its_quotes_in_mind(site: PeopleSite) -> None:
    report = site.import_rows(
        f'email,note\na@example.com,"{"x" * 3_000_000}\ninjected@evil.example,hello\n"\nb@example.com,fine\n'
        f'c@example.com,{"x" * 1_500_000}"\nd@example.com,fine\nnobody,\n'
    )
    assert not site.exists("injected@evil.example")
    assert site.exists("b@example.com")
    assert refused(report).keys() >= {2, 6}


def test_a_long_line_near_the_top_is_one_line(site: PeopleSite) -> None:
    report = site.import_rows(f"email,note\na@example.com,{'x' * 2_500_000}\nnobody,\nb@example.com,\n")
    assert refused(report).keys() == {2, 3}
    assert site.exists("b@example.com")


def test_an_unclosed_quote_is_one_row_to_the_end_and_says_so(site: PeopleSite) -> None:
    rows = 'email,name\na@example.com,A\nb@example.com,"Ben\n' + "c@example.com,C\n" * 20_000
    report = site.import_rows(rows)
    assert counts(report) == (1, 0, 0, 0, 1)
    assert refused(report)[3].endswith("is a quote not closed? (lines 3 to 20,003 are one row)")
    report = site.import_rows('email,name\nb@example.com,"Ben\nc@example.com,Cleo\n', name="short.csv")
    assert refused(report) == {2: "a quote is opened and never closed (lines 2 to 3 are one row)"}


def test_stray_quotes_cost_their_own_rows_only(site: PeopleSite) -> None:
    report = site.import_rows(
        'email,name\na@example.com,"Ada" B\nb@example.com,Ben "B"\nc@example.com,"Cleo ""C"" D"\n'
        'd@example.com,"D\ne@example.com,"E\nf@example.com,F\n'
    )
    assert refused(report).keys() == {2, 5}
    assert site.show("b@example.com")["name"] == 'Ben "B"'
    assert site.show("c@example.com")["name"] == 'Cleo "C" D'
    assert site.exists("f@example.com")


def test_quotes_that_never_match_end_the_import_early(
    site: PeopleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BROKEN_ROWS_MAX", 50)
    with pytest.raises(NewsletterError, match="quotes that do not match"):
        site.import_rows("email,name\n" + '"x"y\n' * 300)


def test_huge_cells_and_lines_are_refused_and_passed_over(site: PeopleSite) -> None:
    limit = csv.field_size_limit()
    report = site.import_rows(
        f"email,name,note\na@example.com,A,{'x' * 10_001}\nb@example.com,B,{'y' * (limit + 1)}\n"
        f"c@example.com,C,{'z' * 3_000_000}\nd@example.com,{'D' * 100_000},fine\n"
        f'{"e" * 200_000}@example.com,E,\nf@example.com,"F\n{"f" * 2_000_000}",\ng@example.com,G,fine\n'
    )
    reasons = refused(report)
    assert reasons.keys() >= {2, 3, 4, 6, 7}
    assert "10,000 characters" in reasons[2]
    assert f"{limit:,} characters" in reasons[3]
    assert "1,000,000 characters" in reasons[4]
    assert site.show("d@example.com")["name"] == "D" * 100
    assert site.exists("g@example.com")
    assert not site.exists("c@example.com")


def test_control_characters_never_reach_the_database(site: PeopleSite) -> None:
    site.import_rows("email,name,note\nj@example.com,Ja\x00ne\x1b[31m,a\x00\x07b\nk\x00@example.com,K,\n")
    shown = site.show("j@example.com")
    assert (shown["name"], shown["attributes"]) == ("Jane[31m", {"note": "ab"})
    assert not site.exists("k@example.com")


def test_text_stays_text(site: PeopleSite) -> None:
    nasty = "<script>{{ 7*7 }}</script> [[abcdefgh:t]] -name- Robert'); DROP TABLE subscriber;--"
    site.import_rows(f'email,name,lists\nj@example.com,"{nasty}","Booth\'); DROP TABLE list"\n')
    shown = site.show("j@example.com")
    assert shown["name"] == nasty
    assert shown["lists"] == ["booth", "drop-table-list"]


def test_a_column_of_lists_that_is_something_else_refuses_the_file(site: PeopleSite) -> None:
    rows = "email,lists\n" + "".join(f"r{n}@example.com,list {n}\n" for n in range(1_200))
    with pytest.raises(NewsletterError, match="1,000 lists"):
        site.import_rows(rows)
    assert not site.exists("r0@example.com")


def test_a_file_of_bad_rows_is_reported_with_few_texts(site: PeopleSite) -> None:
    rows = "email,topics\n" + "".join(f"r{n}@example.com,topic{n}\n" for n in range(25_000))
    report = site.import_rows(rows)
    assert len(report.refused) == 25_000
    reasons = {each.reason for each in report.refused}
    assert len(reasons) <= 20_001
    assert "a topic is not declared" in reasons


LINE = st.text(st.sampled_from('ab",; \t\\é'), max_size=12)


@settings(max_examples=300)
@given(st.lists(LINE, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_line_belongs_to_one_row_and_lines_only_grow(lines: list[str], newline: str) -> None:
    text = "".join(line + newline for line in lines)
    found = list(read_rows(io.StringIO(text, newline=""), ","))
    numbers = [line for line, _ in found]
    assert all(before < after for before, after in pairwise(numbers))
    assert set(numbers) <= {number for number, line in enumerate(lines, start=1) if line}
    if '"' not in text:
        assert found == [(n, line.split(",")) for n, line in enumerate(lines, start=1) if line]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@settings(max_examples=200)
@given(st.lists(st.lists(cells, min_size=2, max_size=4), max_size=8), st.sampled_from(",;\t"))
def test_what_a_csv_writer_wrote_is_read_back_with_its_lines(rows: list[list[str]], delimiter: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    expected = []
    for row in rows:
        before = out.getvalue()
        expected.append((len(_physical_lines(before)) + 1, row))
        writer.writerow(row)
    assert list(read_rows(io.StringIO(out.getvalue(), newline=""), delimiter)) == expected


def _physical_lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def test_a_row_that_cannot_be_taken_apart_says_why() -> None:
    rows = list(read_rows(io.StringIO('a,"b"c\nd,e\n', newline=""), ","))
    assert rows == [
        (1, BrokenRow("quotes do not match: a quote inside a cell is written twice")),
        (2, ["d", "e"]),
    ]
