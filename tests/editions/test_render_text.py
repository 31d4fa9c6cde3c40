"""The plain text is pleasant at 72 columns: whole addresses, hanging indents, nothing escaped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.editions.render import render_preview
from mailer.editions.text import COLUMNS, columns, underline, wrap
from tests.editions.letters import ATTACKS, flat, letter, one_story, shop


@pytest.mark.parametrize("topics", [(), ("car-t",), ("immunology",)])
def test_no_line_of_a_letter_is_wider_than_72_columns_but_for_addresses(topics: tuple[str, ...]) -> None:
    for line in letter(*topics).text.splitlines():
        assert columns(line) <= COLUMNS or "://" in line, line


def test_no_line_ends_in_blanks_and_gaps_are_two_lines_at_most() -> None:
    text = letter().text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "\n\n\n\n" not in text
    assert text.endswith("\n")


def test_names_and_texts_are_not_escaped_in_plain_text() -> None:
    settings = shop(newsletter={"name": 'Blood & "Co" <weekly>'})
    rendered = render_preview(
        one_story(settings, key_point="p < 0.05 & n > 3"), settings, name="O'Neil & <b>"
    )
    for words in ('Blood & "Co" <weekly>', "p < 0.05 & n > 3", "made for O'Neil & <b>."):
        assert words in rendered.text


def test_long_words_and_wide_scripts_stay_within_the_columns() -> None:
    settings = shop()
    wide = "骨髄腫の新しい治療法が承認されました。" * 6
    long = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3
    text = render_preview(one_story(settings, title=wide, key_point=long), settings).text
    assert all(columns(line) <= COLUMNS or "://" in line for line in text.splitlines())
    # Each piece of a broken text stands behind its line's indent.
    bare = "".join(line.strip().removeprefix("|").strip() for line in text.splitlines())
    assert wide in bare
    assert long in bare


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=300), st.integers(0, 8))
def test_wrapping_loses_nothing_and_keeps_the_width(text: str, indent: int) -> None:
    lines = wrap(text, " " * indent).splitlines() if text.split() else []
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(columns(line) <= COLUMNS or "://" in line for line in lines)


@given(st.lists(st.sampled_from(["a", "word", "longer-word", "x" * 30]), min_size=1, max_size=60))
def test_wrapping_breaks_between_words_only(words: list[str]) -> None:
    lines = wrap(" ".join(words), "* ").splitlines()
    assert lines[0].startswith("* ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(line[2:] for line in lines) == " ".join(words)


def test_an_address_is_never_broken() -> None:
    address = "https://example.com/" + "a" * 200
    assert address in wrap(f"See {address} for more").splitlines()[1]


@pytest.mark.parametrize("attack", ATTACKS)
def test_wrapping_changes_no_words(attack: str) -> None:
    assert flat(wrap(attack)) == flat(attack)


def test_columns_are_counted_as_they_are_drawn() -> None:
    assert columns("abc") == 3
    assert columns("骨髄") == 4
    assert columns("e\u0301") == 1
    assert columns("🧬") == 2
    assert underline("骨髄") == "骨髄\n----"


def test_html_and_text_of_one_story_have_no_list_of_contents() -> None:
    rendered = render_preview(one_story(shop()), shop())
    assert "In today's newsletter" not in rendered.text
    assert "In today" not in rendered.html
    assert "In today's newsletter" in letter().text


def test_fixed_words_are_isolated_in_letters_from_right_to_left() -> None:
    html = letter(settings=shop(newsletter={"language": "ar"})).html
    text = letter(settings=shop(newsletter={"language": "ar"})).text
    assert '<span dir="auto">8 stories</span>' in html
    assert "\u20688 stories\u2069" in text
    assert "\u2068" not in letter().text
