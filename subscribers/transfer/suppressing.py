"""A file of addresses never to mail again: one address a line, or a CSV with a column of addresses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from subscribers import suppression
from subscribers.addresses import AddressRefused, parse_address
from subscribers.models import SuppressionReason
from subscribers.transfer.columns import EMAIL_NAMES
from subscribers.transfer.guard import unguard
from subscribers.transfer.importing import Writers
from subscribers.transfer.reading import ROW_MAX_CHARACTERS, BrokenRow, find_header, fold, open_text
from subscribers.transfer.report import RefusedRows

BATCH_ROWS = 5_000


@dataclass(slots=True)
class SuppressReport:
    """`read` = suppressed + known (suppressed before, or twice in the file) + refused."""

    read: int = 0
    suppressed: int = 0
    known: int = 0
    refused: RefusedRows = field(default_factory=RefusedRows)

    def as_json(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "suppressed": self.suppressed,
            "known": self.known,
            "refused": [each._asdict() for each in self.refused],
        }


def suppress_file(
    database: Writers,
    path: Path,
    *,
    secret: str,
    now: datetime,
    reason: SuppressionReason = SuppressionReason.MANUAL,
    detail: str = "",
    source: str = "",
) -> SuppressReport:
    """Suppress every address of a file. The same file again changes nothing."""
    report = SuppressReport()
    hashes: dict[str, None] = {}

    def write() -> None:
        with database.ledger() as connection:
            report.suppressed += suppression.suppress_all(
                connection, hashes, reason=reason, detail=detail, source=source, now=now
            )
        hashes.clear()

    with open_text(path) as text:
        for line, cell in _addresses(text, str(path)):
            report.read += 1
            if isinstance(cell, BrokenRow):
                report.refused.refuse(line, cell.reason)
                continue
            try:
                address = parse_address(unguard(cell.strip()))
            except AddressRefused as error:
                report.refused.refuse(line, error.message.rstrip("."))
                continue
            hashes[suppression.key_hash(address.key, secret)] = None
            if len(hashes) >= BATCH_ROWS:
                write()
    write()
    report.known = report.read - report.suppressed - len(report.refused)
    return report


def _addresses(text: IO[str], name: str) -> Iterator[tuple[int, str | BrokenRow]]:
    """(line, address) of a plain list; of a CSV when its first line names a column of addresses."""
    first = text.readline(ROW_MAX_CHARACTERS)
    text.seek(0)
    if "@" in first or not any(fold(word) in EMAIL_NAMES for word in _words(first)):
        for number, line in enumerate(iter(lambda: text.readline(ROW_MAX_CHARACTERS), ""), start=1):
            if line.strip():
                yield number, line.strip().strip(",;")
        return
    source = find_header(text, EMAIL_NAMES, name=name)
    at = next(position for position, cell in enumerate(source.header) if fold(cell) in EMAIL_NAMES)
    for row_line, row in source.rows():
        yield row_line, row if isinstance(row, BrokenRow) else (row[at] if at < len(row) else "")


def _words(line: str) -> list[str]:
    return [
        word.strip(' "') for part in line.split(",") for each in part.split(";") for word in each.split("\t")
    ]
