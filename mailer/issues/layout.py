"""How an issue was typed: every line as pieces, each a literal or the place of one field's value.

The layout holds the typing only (indent, bullet, label, separator, line end); the values stand in the
document. A slot remembers what was read from it and how it was printed, so that an untouched value is
printed as the editor typed it, and a changed one changes nothing but its own place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LINE_END = re.compile(r"\r\n|\n|\r")

# ("stories", 0, "title"), ("keywords", 12), ("front_matter", "subject"): a way into IssueDocument.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one value. `printed` includes the space or bracket that belongs to it."""

    field: Path
    read: Any
    printed: str
    joint: str = ""  # what joins the parts of a value with several: " • ", "]["


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line (of the front matter: one key with all its lines)."""

    pieces: tuple[str | Slot, ...]
    ending: str
    anchor: str = ""  # the part that begins (or, "front_matter", ends) here: first lines of it go here


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that is needed, beside the values, to print an issue again."""

    encoding: str = "utf-8"
    bom: bool = False
    lines: tuple[Line, ...] = ()


def slots_of(line: Line) -> list[Slot]:
    return [piece for piece in line.pieces if isinstance(piece, Slot)]


def enumerate_lines(layout: Layout) -> Iterator[tuple[int, Line]]:
    """Each line with the number, from 1, of the physical line on which it begins."""
    number = 1
    for line in layout.lines:
        yield number, line
        height = _height(line)
        number += height + (1 if line.ending or not height else 0)


def lines_of(layout: Layout, path: Path) -> list[int]:
    """Physical lines, from 1, on which the values under a path are printed."""
    found: list[int] = []
    for number, line in enumerate_lines(layout):
        if any(slot.field[: len(path)] == path for slot in slots_of(line)):
            found += range(number, number + _height(line) + 1)
    return found


def first_lines(layout: Layout) -> dict[Path, int]:
    """The first physical line, from 1, of each value."""
    found: dict[Path, int] = {}
    for number, line in enumerate_lines(layout):
        for slot in slots_of(line):
            found.setdefault(slot.field, number)
    return found


def _height(line: Line) -> int:
    """Line ends inside; only a front matter key has any."""
    pieces = [piece if isinstance(piece, str) else piece.printed for piece in line.pieces]
    return len(_LINE_END.findall("".join(pieces)))
