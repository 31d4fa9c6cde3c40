"""A CSV file as rows of cells, each with the physical line on which it begins; the header's line is 1.

Streams, and never holds more than one row. A line within quotes is never read as a row, whatever is
wrong with the row it stands in: a quote that nobody closed costs all lines to the next one. Bytes that
are neither UTF-8 nor UTF-16 (by its BOM) refuse the file, with their offset.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from subscribers.addresses import mask
from subscribers.errors import NewsletterError

DELIMITERS = ",;\t"
# A row that goes on longer than this has lost a closing quote.
ROW_MAX_CHARACTERS = 1_000_000
# So many rows with quotes that do not match are no slips: the file is quoted in another way.
BROKEN_ROWS_MAX = 10_000
# Lines among which the header ends, should a name in it hold line breaks.
HEADER_LINES = 20
# Names of columns that an error lists, and how much of each.
SHOWN_COLUMNS = 20
SHOWN_CHARACTERS = 40

# The line with which Excel says which delimiter a file has.
_EXCEL_DELIMITER = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot be taken apart, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: its header, and the lines that were looked at to find it."""

    file: IO[str]
    header: list[str]
    header_line: int
    delimiter: str
    looked_at: list[str]
    lines_before: int

    def rows(self) -> Iterator[tuple[int, list[str] | BrokenRow]]:
        """(line, cells) of every row below the header that has any cell filled."""
        rows = read_rows(self.file, self.delimiter, self.looked_at, self.lines_before)
        for line, cells in rows:
            if line > self.header_line and (isinstance(cells, BrokenRow) or any(map(str.strip, cells))):
                yield line, cells


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A text file as it is, line ends kept. Raises NewsletterError when it is no text of ours."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise NewsletterError(f"the file cannot be read: {error.strerror}.", file=str(path)) from None
    with raw:
        encoding = _encoding(raw.read(2))
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
            try:
                yield text
            except UnicodeDecodeError:
                raise _undecodable(path, encoding) from None


def find_header(file: IO[str], wanted: frozenset[str], *, name: str) -> Source:
    """Find the header line and the delimiter: the one that shows a column among `wanted` (folded names).

    Raises NewsletterError naming the columns that were found.
    """
    lines = [text for _ in range(HEADER_LINES) if (text := _read_line(file))]
    said = _EXCEL_DELIMITER.fullmatch(lines[0]) if lines else None
    before = 1 if said else 0
    looked_at = lines[before:]
    found = [
        (any(fold(cell) in wanted for cell in cells), len(cells), -order, line, cells, delimiter)
        for order, delimiter in enumerate(said[1] if said else DELIMITERS)
        for line, cells in [_first_row(looked_at, delimiter, before)]
    ]
    best = max(found)
    has_wanted, line, cells, delimiter = best[0], best[3], best[4], best[5]
    if not cells:
        raise NewsletterError("the file is empty.", file=name)
    if not has_wanted:
        shown = ", ".join(_shown(cell) for cell in cells[:SHOWN_COLUMNS])
        raise NewsletterError(
            f"no column is called 'email'; the columns found are: {shown}.",
            file=name,
            line=line,
            field="email",
            cure="The first line names the columns, for example: email,name,topics.",
        )
    return Source(file, cells, line, delimiter, looked_at, before)


def fold(header: str) -> str:
    """The name of a column as it is compared: `E-Mail Address` and `email_address` are one."""
    return re.sub(r"[\s_\-]+", "", header.strip().casefold())


def read_rows(
    file: IO[str], delimiter: str, looked_at: Iterable[str] = (), lines_before: int = 0
) -> Iterator[tuple[int, list[str] | BrokenRow]]:
    """(line, cells) of every row, `looked_at` lines first; blank lines are passed over.

    A row that cannot be taken apart is given as BrokenRow, and reading goes on below its last line.
    """
    pending = list(looked_at)
    first = lines_before + 1  # line on which the present reader began
    broken = 0
    while True:
        row_lines: list[str] = []
        reader = csv.reader(_lines(file, pending, row_lines), delimiter=delimiter, strict=True)
        done = 0
        try:
            for cells in reader:
                if cells:
                    yield first + done, cells
                done = reader.line_num
                row_lines.clear()
            return
        except csv.Error as error:
            line = first + done
            broken += 1
            if broken > BROKEN_ROWS_MAX:
                raise NewsletterError(
                    f"more than {BROKEN_ROWS_MAX:,} rows have quotes that do not match.",
                    line=line,
                    cure="Quote cells with double quotes, and double a quote inside a cell.",
                ) from None
            length = len(row_lines) + _skip_to_end(file, pending, row_lines, delimiter)
            goes_on = f" (lines {line:,} to {line + length - 1:,} are one row)" if length > 1 else ""
            yield line, BrokenRow(_reason(str(error)) + goes_on)
            first = line + length


class _TooLong(csv.Error):
    """A row that outgrew its limits."""


def _lines(file: IO[str], pending: list[str], row_lines: list[str]) -> Iterator[str]:
    """Lines that were looked at, then the file's; all of the present row are kept in `row_lines`."""
    size = 0
    while line := pending.pop(0) if pending else _read_line(file):
        size = size + len(line) if row_lines else len(line)
        row_lines.append(line)
        if len(line) >= ROW_MAX_CHARACTERS:
            raise _TooLong(f"a row has more than {ROW_MAX_CHARACTERS:,} characters")
        if size > ROW_MAX_CHARACTERS:
            raise _TooLong(f"a row has more than {ROW_MAX_CHARACTERS:,} characters: is a quote not closed?")
        yield line


def _read_line(file: IO[str]) -> str:
    """The next line; of one that is too long the beginning, with as odd a number of quotes as all of it."""
    line = piece = file.readline(ROW_MAX_CHARACTERS)
    if len(line) < ROW_MAX_CHARACTERS:
        return line
    quotes = 0
    while piece and not piece.endswith(("\n", "\r")):
        piece = file.readline(ROW_MAX_CHARACTERS)
        quotes += piece.count('"')
    return line + '"' * (quotes % 2)


def _skip_to_end(file: IO[str], pending: list[str], row_lines: list[str], delimiter: str) -> int:
    """Read past the lines that a broken row has left, to the end of its quoted cell; how many."""
    is_open = False
    for line in row_lines:
        is_open = _ends_open(line, delimiter, is_open)
    skipped = 0
    while is_open and (line := pending.pop(0) if pending else _read_line(file)):
        is_open = _ends_open(line, delimiter, is_open)
        skipped += 1
    return skipped


def _ends_open(line: str, delimiter: str, is_open: bool) -> bool:
    """Whether a line ends within quotes; text behind a closing quote is taken as spreadsheets take it."""
    if len(line) >= ROW_MAX_CHARACTERS:
        return is_open ^ bool(line.count('"') % 2)
    at = 0
    while True:
        if not is_open and not line.startswith('"', at):
            at = line.find(delimiter, at) + 1
            if not at:
                return False
            continue
        closing = line.find('"', at if is_open else at + 1)
        while closing >= 0 and line.startswith('""', closing):
            closing = line.find('"', closing + 2)
        if closing < 0:
            return True
        is_open = False
        at = line.find(delimiter, closing) + 1
        if not at:
            return False


def _reason(said: str) -> str:
    if "field limit" in said:
        return f"a cell has more than {csv.field_size_limit():,} characters: is a quote not closed?"
    if "unexpected end of data" in said:
        return "a quote is opened and never closed"
    if "expected after" in said:
        return "quotes do not match: a quote inside a cell is written twice"
    return said


def _first_row(lines: list[str], delimiter: str, before: int) -> tuple[int, list[str]]:
    for line, cells in read_rows(io.StringIO(), delimiter, lines, before):
        if not isinstance(cells, BrokenRow) and any(cell.strip() for cell in cells):
            return line, cells
    return before + 1, []


def _shown(cell: str) -> str:
    text = mask(cell.strip()) if "@" in cell else cell.strip()
    return repr(text[:SHOWN_CHARACTERS])


def _encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _undecodable(path: Path, encoding: str) -> NewsletterError:
    """Where the first byte stands that is no text: offset from 0 and line."""
    kind = "UTF-16" if encoding == "utf-16" else "UTF-8"
    decoder = codecs.getincrementaldecoder(kind)()
    offset = breaks = 0
    after_cr = False
    with path.open("rb") as raw:
        while True:
            block = raw.read(1 << 16)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset += error.start - held
                before = error.object[: error.start].replace(b"\0", b"").decode("latin-1")
                breaks += _line_ends(before, after_cr=after_cr)
                break
            breaks += _line_ends(text, after_cr=after_cr)
            after_cr = text.endswith("\r")
            offset += len(block)
    return NewsletterError(
        f"the byte at offset {offset:,} is not {kind} text.",
        file=str(path),
        line=breaks + 1,
        cure="Save the file as UTF-8.",
    )


def _line_ends(text: str, *, after_cr: bool) -> int:
    """Line ends in a piece of text, LF, CR or both; `after_cr`: the piece before ended with a CR."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends - (after_cr and text.startswith("\n"))
