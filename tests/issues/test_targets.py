"""Where calls to action lead: front matter, then the configuration, by line or by whole sentence."""

from pathlib import Path

import pytest

from mailer.config import Settings, load_settings
from mailer.issues.targets import target_of, warnings
from tests.issues.reading import SMALL, read

ACT = "Accelerate your success. Contact us now!"


def site(tmp_path: Path, **targets: str) -> Settings:
    lines = [f'"{label}" = "{url}"' for label, url in targets.items()]
    (tmp_path / "config.toml").write_text("\n".join(["[links.targets]", *lines]))
    return load_settings(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "label",
    [
        ACT,
        "Accelerate your success",
        "Contact us now",
        "contact us NOW!",
        "Accelerate your success.",
        "Contact  us now.",
    ],
)
def test_a_label_is_the_line_or_one_whole_sentence_of_it(tmp_path: Path, label: str) -> None:
    settings = site(tmp_path, **{label: "https://example.com/x"})
    assert target_of(ACT, read(SMALL), settings) == "https://example.com/x"


@pytest.mark.parametrize("label", ["Contact us", "us now", "success. Contact", "", "Accelerate"])
def test_a_part_of_a_sentence_is_no_label(tmp_path: Path, label: str) -> None:
    assert target_of(ACT, read(SMALL), site(tmp_path, **{label: "https://example.com/x"})) is None


def test_the_front_matter_speaks_first_and_a_whole_line_before_a_sentence(tmp_path: Path) -> None:
    settings = site(tmp_path, **{ACT: "https://example.com/config"})
    front = '---\nlinks: {"Contact us now": "https://example.com/front"}\n---\n'
    document = read(front + SMALL)
    assert target_of(ACT, document, settings) == "https://example.com/front"
    settings = site(
        tmp_path, **{"Contact us now": "https://example.com/part", ACT: "https://example.com/whole"}
    )
    assert target_of(ACT, read(SMALL), settings) == "https://example.com/whole"


def test_curly_and_straight_quotes_are_the_same(tmp_path: Path) -> None:
    settings = site(tmp_path, **{"See what's new": "https://example.com/x"})
    assert target_of("See what’s new", read(SMALL), settings) == "https://example.com/x"


def test_lines_without_a_target_are_warned_of_with_their_line(tmp_path: Path) -> None:
    found = [(warning.line, warning.field) for warning in warnings(read(SMALL), site(tmp_path))]
    assert found == [(3, "links"), (15, "links")]


def test_a_link_that_no_line_uses_is_warned_of(tmp_path: Path) -> None:
    document = read(
        '---\nlinks:\n  "Write to us": https://example.com/\n  "Rite to us": https://example.com/\n---\n'
        + SMALL
    )
    found = [(warning.line, warning.field) for warning in warnings(document, site(tmp_path))]
    assert (4, "links.Rite to us") in found
    assert not any(field == "links.Write to us" for _, field in found)


@pytest.mark.parametrize(("named", "warned"), [("front", True), ("typed", False)])
def test_an_address_typed_behind_a_call_outvotes_the_front_matter_and_says_so(
    tmp_path: Path, named: str, warned: bool
) -> None:
    document = read(
        f'---\nlinks: {{"Write to us": "https://example.com/{named}"}}\n---\n'
        + SMALL.replace("Write to us", "Write to us https://example.com/typed")
    )
    assert document.calls_to_action[0].url == "https://example.com/typed"
    found = [warning.message for warning in warnings(document, site(tmp_path))]
    assert any("address of its own" in message for message in found) is warned
