"""Colours of a letter, derived from one brand colour so that every text can be read.

Contrast is WCAG 2.2's (1.4.3): 4.5:1 at least, in light and dark, whatever colour an owner picks.
"""

from dataclasses import dataclass
from functools import lru_cache

# 4.5:1 with a little room: rounding to whole channel values may cost the last hundredth.
READABLE = 4.6
# Text in dark rooms: thin light strokes on dark ground need more.
COMFORTABLE = 7.0

_WHITE = "#FFFFFF"
_INK = "#0B0F17"
_STEP = 0.04


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scheme."""

    page: str
    card: str
    panel: str
    rule: str
    title: str
    text: str
    quiet: str
    link: str
    underline: str  # of titles: seen, not shouting
    accent: str  # the left rule of a key point, bullets: no text
    masthead: str
    on_masthead: str
    masthead_quiet: str
    strip: str  # under the masthead: date, stories, view in browser
    on_strip: str
    mark: str
    on_mark: str
    button: str
    on_button: str
    footer: str
    on_footer: str
    footer_quiet: str
    footer_rule: str


@dataclass(frozen=True, slots=True)
class Theme:
    light: Palette
    dark: Palette


@lru_cache(maxsize=16)
def theme_of(brand: str) -> Theme:
    """Both palettes of a brand colour like "#1D4ED8"."""
    return Theme(_light(brand), _dark(brand))


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2, definition)."""
    channels = (part / 255 for part in _rgb(colour))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mix(colour: str, other: str, share: float) -> str:
    """`colour` with `share` (0 to 1) of `other` stirred in."""
    pairs = zip(_rgb(colour), _rgb(other), strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * share):02X}" for mine, theirs in pairs)


def readable(colour: str, *grounds: str, minimum: float = READABLE) -> str:
    """The nearest shade or tint of a colour that reads on all these grounds."""
    towards = max((_WHITE, "#000000"), key=lambda end: min(contrast(end, ground) for ground in grounds))
    share = 0.0
    while share < 1:
        shade = mix(colour, towards, share)
        if min(contrast(shade, ground) for ground in grounds) >= minimum:
            return shade
        share += _STEP
    return towards


def text_on(ground: str) -> str:
    """White or ink, whichever reads better on this ground."""
    return max((_WHITE, _INK), key=lambda text: contrast(text, ground))


def _light(brand: str) -> Palette:
    panel = mix("#F8F9FB", brand, 0.04)
    page = mix("#EEF0F4", brand, 0.03)
    # A brand in the middle of the scale reads badly with either text: deepen it until white does.
    masthead = _carrying(brand)
    on_masthead = text_on(masthead)
    strip = mix(masthead, "#000000" if on_masthead == _WHITE else _WHITE, 0.2)
    footer = mix(mix("#0F1626", brand, 0.16), "#000000", 0.1)
    return Palette(
        page=page,
        card=_WHITE,
        panel=panel,
        rule="#E1E5EC",
        title="#101828",
        text="#243042",
        quiet=readable("#4B5563", _WHITE, panel, page),
        link=readable(brand, _WHITE, panel, page, minimum=5.0),
        underline=mix(_WHITE, readable(brand, _WHITE), 0.45),
        accent=readable(brand, _WHITE, minimum=3.0),
        masthead=masthead,
        on_masthead=on_masthead,
        masthead_quiet=readable(mix(on_masthead, masthead, 0.18), masthead),
        strip=strip,
        on_strip=readable(mix(text_on(strip), strip, 0.08), strip),
        mark=on_masthead,
        on_mark=readable(masthead, on_masthead),
        button=masthead,
        on_button=on_masthead,
        footer=footer,
        on_footer="#F3F5F9",
        footer_quiet=readable(mix("#B4BDCC", brand, 0.06), footer, minimum=COMFORTABLE),
        footer_rule=mix(footer, _WHITE, 0.24),
    )


def _dark(brand: str) -> Palette:
    page, card, panel = "#0B0F17", "#151B26", mix("#1C2536", brand, 0.06)
    link = readable(mix(brand, _WHITE, 0.3), card, panel, page, minimum=COMFORTABLE)
    masthead = readable(mix(brand, card, 0.5), "#FFFFFF", minimum=COMFORTABLE)
    strip = mix(masthead, "#000000", 0.25)
    footer = mix(strip, "#000000", 0.35)  # deeper than the strip: the letter ends where the page goes on
    return Palette(
        page=page,
        card=card,
        panel=panel,
        rule="#2C3648",
        title="#F3F5F9",
        text="#D6DCE6",
        quiet=readable("#A3AEBF", card, panel, page),
        link=link,
        underline=mix(card, link, 0.5),
        accent=link,
        masthead=masthead,
        on_masthead="#F7F9FC",
        masthead_quiet=readable(mix(_WHITE, masthead, 0.2), masthead, minimum=5.5),
        strip=strip,
        on_strip=readable("#E6EAF1", strip),
        mark="#F3F5F9",
        on_mark=readable(masthead, "#F3F5F9"),
        button=link,
        on_button=readable(_INK, link),
        footer=footer,
        on_footer="#E6EAF1",
        footer_quiet=readable("#B4BDCC", footer),
        footer_rule=mix(footer, _WHITE, 0.24),
    )


def _carrying(ground: str) -> str:
    while contrast(text_on(ground), ground) < READABLE:
        ground = mix(ground, "#000000", _STEP)
    return ground


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
