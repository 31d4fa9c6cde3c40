"""Plain text that is pleasant at 72 columns: wrapped at words, hanging indents, addresses whole.

Width is counted as terminals and mail clients draw it: wide characters take two columns, marks none.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# RFC 3676 asks for 78 at most; 72 leaves room for "> " of two replies.
COLUMNS = 72


def columns(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def wrap(text: str, first: str = "", rest: str | None = None, width: int = COLUMNS) -> str:
    """The text in lines of at most `width` columns, beginning with `first`, then with `rest`.

    `rest` defaults to blanks under `first`. An address is never broken, an overlong word is.
    """
    rest = " " * columns(first) if rest is None else rest
    lines, line, used = [], first, columns(first)
    is_empty = True
    for word in _words(text, width - columns(rest)):
        size = columns(word)
        if not is_empty and used + 1 + size > width:
            lines.append(line.rstrip())
            line, used, is_empty = rest, columns(rest), True
        line, used = (line + word, used + size) if is_empty else (f"{line} {word}", used + 1 + size)
        is_empty = False
    return "\n".join([*lines, line.rstrip()])


def underline(text: str, stroke: str = "-") -> str:
    """The text wrapped, with a line of strokes as long as its longest line under it."""
    wrapped = wrap(text)
    return f"{wrapped}\n{stroke * max(columns(line) for line in wrapped.splitlines() or [''])}"


def _words(text: str, room: int) -> Iterator[str]:
    for word in text.split():
        if columns(word) <= room or "://" in word:
            yield word
            continue
        piece = ""
        for character in word:
            if columns(piece) + _columns_of(character) > room:
                yield piece
                piece = ""
            piece += character
        yield piece


@lru_cache(maxsize=4096)
def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
