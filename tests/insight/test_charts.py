"""Charts are pictures that read aloud, and text in them stays text."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.insight.charts import WIDTH, Bar, Part, StackedBar, bars, stacked_bars

SVG = "{http://www.w3.org/2000/svg}"


def widths(svg: str, kind: str) -> list[float]:
    root = ElementTree.fromstring(svg)
    return [float(r.get("width", "0")) for r in root.iter(f"{SVG}rect") if r.get("class") == kind]


def test_a_bar_is_a_share_of_its_base() -> None:
    svg = bars("c", "Clicks", [Bar("One", 25, "25 of 100", 100), Bar("Two", 50, "50 of 50", 50)])
    assert widths(svg, "chart-bar") == [WIDTH / 4, WIDTH / 2]
    assert widths(svg, "chart-track") == [WIDTH, WIDTH / 2]


def test_without_a_base_the_longest_fills_the_width() -> None:
    svg = bars("c", "Clicks", [Bar("One", 10, "10"), Bar("Two", 40, "40"), Bar("Three", 0, "0")])
    assert widths(svg, "chart-bar") == [WIDTH / 4, WIDTH]


def test_one_person_in_a_million_is_visible() -> None:
    svg = bars("c", "Clicks", [Bar("One", 1, "1 of 1,000,000", 1_000_000)])
    assert widths(svg, "chart-bar") == [2.0]


def test_a_chart_is_one_image_with_its_figures_in_words() -> None:
    parts = (Part("human", 3, "people"), Part("machine", 1, "machines"))
    svg = stacked_bars("opens", "Opens", [StackedBar("All", parts, "3 of 10", 10)])
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    said = {element.get("id"): element.text for element in root if element.get("id")}
    assert root.get("aria-labelledby", "").split() == list(said)
    assert said == {"opens-title": "Opens", "opens-desc": "All: 3 of 10 (people 3, machines 1)"}
    assert widths(svg, "chart-bar chart-bar-human") == [WIDTH * 0.3]


def test_nothing_to_show_is_said() -> None:
    assert "Nothing yet." in bars("c", "Clicks", [])


def test_a_chart_brings_no_style_and_no_script() -> None:
    svg = bars("c", "Clicks", [Bar("One", 1, "1", 2)])
    assert not any(word in svg for word in ("style=", "<style", "<script", "fill=", "href"))


@pytest.mark.parametrize("evil", ["<script>x</script>", '"><img src=x>', "]]>", "a\x00b\ud800"])
def test_text_stays_text(evil: str) -> None:
    root = ElementTree.fromstring(bars("c", evil, [Bar(evil, 1, evil, 2)]))
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{t}" for t in ("svg", "title", "desc", "text", "rect")
    }


@given(st.lists(st.tuples(st.text(), st.integers(0, 10**9), st.integers(0, 10**9))))
def test_any_figures_make_a_picture_within_its_frame(rows: list[tuple[str, int, int]]) -> None:
    svg = bars("c", "t", [Bar(label, value, label, max(value, base)) for label, value, base in rows])
    assert all(0 < width <= WIDTH for width in widths(svg, "chart-bar") + widths(svg, "chart-track"))
