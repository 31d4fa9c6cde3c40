"""Bar charts as inline SVG: no script, no remote font, no colour of their own.

Colours come from the page's CSS by class (`chart-bar`, `chart-bar-human` …), so that light, dark and
print are its business. Every chart is one image to a screen reader, with a title and its figures in
words. Labels are text and are escaped here; nothing a story is called can become markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Units of the viewBox; the drawing scales to the width of its place.
WIDTH = 640
BAR_HEIGHT = 14
ROW_HEIGHT = 46
LABEL_BASELINE = 14
BAR_TOP = 22
# The longest label that fits beside its figure at the chart's font size.
LABEL_MAX_CHARACTERS = 62
# A bar that stands for somebody is never invisible.
VISIBLE_WIDTH = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar; `kind` completes the class name `chart-bar-…`."""

    kind: str
    value: int
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: `value` of `base` when there is a base, the figure being said as `note`."""

    label: str
    value: int
    note: str
    base: int | None = None


@dataclass(frozen=True, slots=True)
class StackedBar:
    label: str
    parts: tuple[Part, ...]
    note: str
    base: int


def bars(chart_id: str, title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, each on a track as long as its base, or as the longest value without one.

    `chart_id` is unique on its page.
    """
    longest = max((row.base if row.base is not None else row.value for row in rows), default=0)
    drawn = []
    for index, row in enumerate(rows):
        base = longest if row.base is None else row.base
        pieces = [
            _rect("chart-track", 0, index, _length(base, longest)),
            _rect("chart-bar", 0, index, _length(row.value, longest)),
        ]
        drawn.append(_row(index, row.label, row.note, pieces))
    return _svg(chart_id, title, [f"{row.label}: {row.note}" for row in rows], drawn)


def stacked_bars(chart_id: str, title: str, rows: Sequence[StackedBar]) -> str:
    """Bars of several parts side by side on a track as long as the base."""
    longest = max((max(row.base, sum(part.value for part in row.parts)) for row in rows), default=0)
    drawn = []
    for index, row in enumerate(rows):
        pieces = [_rect("chart-track", 0, index, _length(row.base, longest))]
        start = 0.0
        for part in row.parts:
            length = _length(part.value, longest)
            pieces.append(_rect(f"chart-bar chart-bar-{part.kind}", start, index, length, part.label))
            start += length
        drawn.append(_row(index, row.label, row.note, pieces))
    said = [
        f"{row.label}: {row.note} ({', '.join(f'{part.label} {part.value:,}' for part in row.parts)})"
        for row in rows
    ]
    return _svg(chart_id, title, said, drawn)


def _svg(chart_id: str, title: str, said: Sequence[str], rows: Sequence[str]) -> str:
    name = escape(chart_id, quote=True)
    height = max(1, len(rows)) * ROW_HEIGHT
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" width="100%" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{name}-title">{_text(title)}</title>'
        f'<desc id="{name}-desc">{_text("; ".join(said) or "Nothing yet.")}</desc>'
        f"{''.join(rows)}</svg>"
    )


def _row(index: int, label: str, note: str, pieces: Sequence[str]) -> str:
    baseline = index * ROW_HEIGHT + LABEL_BASELINE
    short = label if len(label) <= LABEL_MAX_CHARACTERS else label[: LABEL_MAX_CHARACTERS - 1].rstrip() + "…"
    return (
        f'<text class="chart-label" x="0" y="{baseline}">{_text(short)}</text>'
        f'<text class="chart-value" x="{WIDTH}" y="{baseline}" text-anchor="end">{_text(note)}</text>'
        f"{''.join(pieces)}"
    )


def _rect(kind: str, start: float, index: int, length: float, label: str = "") -> str:
    if not length:
        return ""
    top = index * ROW_HEIGHT + BAR_TOP
    tooltip = f"<title>{_text(label)}</title>" if label else ""
    return (
        f'<rect class="{escape(kind, quote=True)}" x="{start:.1f}" y="{top}" width="{length:.1f}" '
        f'height="{BAR_HEIGHT}" rx="3">{tooltip}</rect>'
    )


def _length(value: int, longest: int) -> float:
    if value <= 0 or longest <= 0:
        return 0.0
    return max(VISIBLE_WIDTH, WIDTH * value / longest)


def _text(text: str) -> str:
    """Escaped, and without the characters that no XML may hold."""
    return escape("".join(character for character in text if character.isprintable()))
