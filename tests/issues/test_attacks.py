"""Hostile and broken input: refused with line and cure, or kept as the text that it is."""

import contextlib

import pytest

from mailer.issues.serialize import serialize
from mailer.urls import fault_of
from subscribers.errors import NewsletterError
from tests.issues.reading import SMALL, read, refused, small

BAD_URLS = [
    *(
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "ftp://example.com/x",
        "mailto:a@b.example",
    ),
    *(
        "www.example.com",
        "https:example.com",
        "http:/example.com",
        "https://",
        "https:///path",
        "https://?q=1",
    ),
    *("https://user@example.com/", "https://user:pass@example.com/", "https://example.com@evil.example/"),
    *(
        "https://example.com\\@evil.example/",
        "https:\\\\example.com",
        "https://exa mple.com/",
        "https://a..b/",
    ),
    *("https://example.com:port/", "https://example.com:99999/", "https://[::1/", "https://exam<ple.com/"),
    *("https://-/", "https://.example.com/", "https://example.com/\u202egpj.exe", "https://exa%6dple.com/"),
    *("vbscript:msgbox", "file:///etc/passwd", "word:something", "WWW.EXAMPLE.COM/page", "http://\u2024/"),
    "https://" + "a" * 64 + ".example.com/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_under_a_title_is_an_error_with_its_line(url: str) -> None:
    error = refused(small("https://example.com/two\nKey", f"{url}\nKey"))
    assert error.line == 10
    assert error.field == "URL"
    assert error.cure


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_reference_is_an_error_with_its_line(url: str) -> None:
    assert refused(small("- https://example.com/two", f"- {url}")).line == 23


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://example.com",
            "http://example.com/",
            "HTTPS://EXAMPLE.COM/X",
            "https://example.com:8443/a?b=c#d",
        ),
        *(
            "https://münchen.example/ü",
            "https://例え.example/パス",
            "https://[2001:db8::1]/x",
            "https://192.0.2.1/",
        ),
        *("https://a_b.example.com/", "http://localhost:8000/x", "https://example.com/a'b\"c(d)[e]{f}|g^h`i"),
        *("https://example.com./", "https://example.com/?q=a@b.example", "https://example.com/<script>"),
    ],
)
def test_a_good_url_is_taken(url: str) -> None:
    assert fault_of(url) is None
    assert read(small("https://example.com/two\nKey", f"{url}\nKey")).stories[1].urls == (url,)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<script>alert(1)</script>",
            "{{ 7*7 }}",
            "{% raw %}",
            "</mj-text>",
            "[[delivery]]",
            "-name-",
            "a\\b",
        ),
        *(
            'say "hi"',
            "it's",
            "<!-- x -->",
            "%recipient%",
            "${x}",
            "&lt;b&gt;",
            "\u202etfel",
            "**bold**",
            "`x`",
        ),
        *("=cmd|' /C calc'!A0", "Subject: x", "https://example.com/ in words", "a" * 5000),
    ],
)
def test_text_stays_text(text: str) -> None:
    document = read(
        f"Intro {text} x\nTitle {text} x [1]\nKey point: {text} x\nFAQ\nWhy {text} x?\n{text} x\n"
    )
    story = document.stories[0]
    assert (story.title, story.key_point) == (f"Title {text} x", f"{text} x")
    assert document.intro == (f"Intro {text} x",)
    assert document.faq[0].question == f"Why {text} x?"


@pytest.mark.parametrize(
    ("source", "byte", "line"),
    [
        (b"A story [1]\ncaf\xe9\n", 15, 2),
        (b"\xff", 0, 1),
        (b"ok\r\n\xc0\x80", 4, 2),
        (b"\xef\xbb\xbfA [1]\n\xed\xa0\x80", 9, 2),  # a surrogate in UTF-8
        ("A [1]\n".encode("utf-16") + b"\x00", 14, 2),
        (b"\xff\xfe" + "A [1]\n".encode("utf-16-le") + b"\x00\xd8", 14, 2),  # half a pair
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_offset(source: bytes, byte: int, line: int) -> None:
    error = refused(source)
    assert f"byte {byte} " in error.message
    assert error.line == line
    assert error.cure


@pytest.mark.parametrize(
    "character", ["\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x1c", "\x7f", "\x85", "\x9f"]
)
def test_control_characters_are_errors_with_line_and_name(character: str) -> None:
    error = refused(small("Second title", f"Second{character}title"))
    assert (error.line, f"U+{ord(character):04X}" in error.message) == (9, True)


def test_a_control_character_is_told_with_its_byte() -> None:
    assert "byte 14 " in refused("é A story [1]\a\n").message


def test_utf16_without_its_mark_is_refused() -> None:
    assert refused(SMALL.encode("utf-16-le")).cure


@pytest.mark.parametrize("text", ["", "\n\n", "Only words.\n", "FAQ\nWhy? [1]\nSo.\n", "\ufeff"])
def test_an_issue_without_a_story_is_unsendable(text: str) -> None:
    error = refused(text)
    assert error.field == "stories"
    assert "[n]" in (error.cure or "")


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = "---\nsubjct: x\ntopics: {9: cart}\n---\n" + small("https://example.com/one\nC", "www.one\nC")
    error = refused(text.replace("- https://example.com/two", "- ftp://two"), topics=("car-t",))
    assert [problem.line for problem in error.problems] == [2, 3, 3, 9, 27]
    assert all(problem.cure for problem in error.problems)
    assert len(error.lines()) == 5


def test_a_reference_without_url_in_the_middle_of_the_list_is_an_error() -> None:
    error = refused(small("- https://example.com/two", "Smith et al., 2026\n- https://example.com/two"))
    assert (error.line, error.field) == (23, "references")


@pytest.mark.parametrize(
    "line",
    [
        *(" " * 200_000 + "x", "[" * 200_000, "[1]" * 60_000, "]" * 200_000, "🧬" * 50_000, "a;" * 50_000),
        *("*" * 200_000, "#" * 200_000, "x" + " " * 200_000 + "x", ": " * 100_000, "- " * 100_000),
        *("1. " * 60_000, "https://a " * 20_000, "w" + "\u200f " * 50_000 + "w", "[US • " * 40_000),
    ],
)
@pytest.mark.timeout(10)  # read in quadratic time, these take minutes
def test_a_very_long_line_is_read_in_linear_time(line: str) -> None:
    parts = [line, "A story [1]", line, "Key point: x", "Why it matters", line, "FAQ", line, "Keywords", line]
    source = "\n".join(parts)
    printed = None
    with contextlib.suppress(NewsletterError):  # a refusal is as good as a reading here
        printed = serialize(read(source))
    assert printed in (None, source.encode())
