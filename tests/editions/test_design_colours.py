"""Whatever colour a brand has, what is written with it and on it can be read."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.editions.colours import Palette, contrast, luminance, mix, readable, text_on, theme_of

MINIMUM = 4.5
# Each text of a letter with the grounds it stands on.
PAIRS = {
    "title": ("card", "panel"),
    "text": ("card", "panel"),
    "quiet": ("card", "panel", "page"),
    "link": ("card", "panel"),
    "on_masthead": ("masthead",),
    "masthead_quiet": ("masthead",),
    "on_strip": ("strip",),
    "on_mark": ("mark",),
    "on_button": ("button",),
    "on_footer": ("footer",),
    "footer_quiet": ("footer",),
}

colours = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06X}")


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.478, abs=0.001)
    assert contrast("#1D4ED8", "#FFFFFF") == pytest.approx(6.7, abs=0.05)
    assert luminance("#FF0000") == pytest.approx(0.2126)


@given(colours)
def test_every_brand_gives_two_readable_palettes(brand: str) -> None:
    theme = theme_of(brand)
    for palette in (theme.light, theme.dark):
        check(palette, brand)


def check(palette: Palette, brand: str) -> None:
    values = asdict(palette)
    for text, grounds in PAIRS.items():
        for ground in grounds:
            assert contrast(values[text], values[ground]) >= MINIMUM, (brand, text, ground)


@given(colours, colours, colours)
def test_a_readable_shade_is_the_colour_itself_where_it_reads(colour: str, one: str, other: str) -> None:
    shade = readable(colour, one)
    assert contrast(shade, one) >= MINIMUM
    if contrast(colour, one) >= 4.6:
        assert shade == colour
    assert contrast(readable(colour, one, one), one) >= MINIMUM
    assert contrast(text_on(other), other) >= 4.3


def test_a_dark_brand_carries_white_and_a_bright_one_carries_ink() -> None:
    assert theme_of("#1D4ED8").light.masthead == "#1D4ED8"
    assert theme_of("#1D4ED8").light.on_masthead == "#FFFFFF"
    assert theme_of("#FFD400").light.on_masthead == "#0B0F17"


def test_night_is_neither_black_nor_white() -> None:
    for brand in ("#1D4ED8", "#FFFFFF", "#000000"):
        dark = theme_of(brand).dark
        for ground in (dark.page, dark.card, dark.panel, dark.masthead, dark.footer):
            assert ground > "#000000"
            assert luminance(ground) < 0.15


def test_mixing_goes_from_one_colour_to_the_other() -> None:
    assert mix("#000000", "#FFFFFF", 0) == "#000000"
    assert mix("#000000", "#FFFFFF", 0.5) == "#808080"
    assert mix("#000000", "#FFFFFF", 1) == "#FFFFFF"
