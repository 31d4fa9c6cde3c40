"""The bytes of a pasted issue: decoded strictly, cut into physical lines, and joined again.

A line ends at `\\r\\n`, `\\n` or `\\r` and at nothing else (str.splitlines knows eight more). What is no
text is refused with its place; nothing is replaced, normalised or dropped.
"""

import codecs
import re
import unicodedata

from subscribers.errors import NewsletterError, Problem

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r)|([^\r\n]+)")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Control characters that text may hold besides its line ends.
_ALLOWED_CONTROLS = "\t\n\r"
# Zero-width space and word joiner, direction marks, a stray byte order mark.
_INVISIBLE = "\u200b\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# A binary file would give a report of thousands of lines: the first ones show what it is.
MOST_FAULTS_SHOWN = 20


def decode(source: bytes, *, file: str) -> tuple[str, str, bool]:
    """Text, encoding and whether a byte order mark stood in front. Raises NewsletterError."""
    encoding, mark = "utf-8", b""
    for bom, name in _BOMS:
        if source.startswith(bom):
            encoding, mark = name, bom
            break
    try:
        return source[len(mark) :].decode(encoding), encoding, bool(mark)
    except UnicodeDecodeError as error:
        offset = len(mark) + error.start
        raise NewsletterError(
            f"byte {offset} is no {encoding.upper()} text ({error.reason}).",
            file=file,
            line=_line_of_byte(source, offset, encoding, len(mark)),
            cure="Save the file as UTF-8, or as UTF-16 with its byte order mark.",
        ) from None


def encode(text: str, encoding: str, *, bom: bool) -> bytes:
    """The bytes of a text; the opposite of `decode`."""
    mark = next(mark for mark, name in _BOMS if name == encoding) if bom else b""
    return mark + text.encode(encoding)


def split_lines(text: str) -> list[tuple[str, str]]:
    """(line, ending) pairs; the last ending may be empty."""
    return [(match[1] or match[3] or "", match[2] or "") for match in _LINE.finditer(text)]


def control_characters(lines: list[tuple[str, str]], encoding: str, *, bom: bool) -> list[Problem]:
    """One fault for each line that holds a control character or a lone surrogate."""
    faults = []
    offset = len(encode("", encoding, bom=bom))  # bytes before the line
    for number, (line, ending) in enumerate(lines, start=1):
        bad = first_bad_character(line)
        if bad is not None:
            column, character = bad
            place = offset + len(line[:column].encode(encoding))
            cure = "Delete it, or retype the line."
            if character == "\0":
                cure = "Save the file as UTF-8, or as UTF-16 with its byte order mark."
            message = (
                f"byte {place} begins a control character (U+{ord(character):04X}), column {column + 1}."
            )
            faults.append(Problem(message, number, "text", cure))
        if len(faults) == MOST_FAULTS_SHOWN:
            break
        offset += len((line + ending).encode(encoding))
    return faults


def split_edges(line: str) -> tuple[str, str, str]:
    """(lead, core, trail): what cannot be seen at the ends of a line belongs to its typing."""
    end = len(trim_end(line))
    start = 0
    while start < end and _is_edge(line[start]):
        start += 1
    return line[:start], line[start:end], line[end:]


def trim_end(text: str) -> str:
    end = len(text)
    while end and _is_edge(text[end - 1]):
        end -= 1
    return text[:end]


def _is_edge(character: str) -> bool:
    return character.isspace() or character in _INVISIBLE


def first_bad_character(text: str) -> tuple[int, str] | None:
    """Index and character of the first control character or lone surrogate."""
    if text.isprintable():
        return None
    for index, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in _ALLOWED_CONTROLS:
            return index, character
    return None


def _line_of_byte(source: bytes, offset: int, encoding: str, start: int) -> int:
    before = source[start:offset].decode(encoding, errors="replace")
    return len(re.findall(r"\r\n|\n|\r", before)) + 1
