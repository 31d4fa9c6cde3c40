"""What an import did: numbers, and a line with a reason for each row it refused.

Made so that a file of a million bad rows is reported without holding a million texts.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Reasons that differ from each other; beyond it the value that makes them differ is left out.
REASONS_MAX = 20_000


class Refused(NamedTuple):
    """One row that was not taken; `line` is the physical line on which it begins."""

    line: int
    reason: str


class RefusedRows:
    """Refused rows in the order of their lines, sixteen bytes each."""

    def __init__(self) -> None:
        self._lines = array("q")
        # The number of a reason, or -(line) for "repeated on line".
        self._reasons = array("q")
        self._numbers: dict[str, int] = {}
        self._is_sorted = True

    def refuse(self, line: int, reason: str, *, short: str | None = None) -> None:
        """Refuse a row; `short` is the reason without the value that was found."""
        if reason not in self._numbers and len(self._numbers) >= REASONS_MAX:
            reason = short or "as other rows of this file"
        self._add(line, self._numbers.setdefault(reason, len(self._numbers)))

    def refuse_repeated(self, line: int, winner: int) -> None:
        self._add(line, -winner)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Refused]:
        if not self._is_sorted:
            self._sort()
        reasons = list(self._numbers)
        for line, number in zip(self._lines, self._reasons, strict=True):
            yield Refused(line, f"repeated on line {-number}" if number < 0 else reasons[number])

    def _add(self, line: int, reason: int) -> None:
        if self._lines and line < self._lines[-1]:
            self._is_sorted = False
        self._lines.append(line)
        self._reasons.append(reason)

    def _sort(self) -> None:
        order = sorted(range(len(self._lines)), key=self._lines.__getitem__)
        self._lines = array("q", (self._lines[index] for index in order))
        self._reasons = array("q", (self._reasons[index] for index in order))
        self._is_sorted = True


@dataclass(slots=True)
class ImportReport:
    """`read` = added + updated + unchanged + suppressed + refused."""

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    suppressed: int = 0
    refused: RefusedRows = field(default_factory=RefusedRows)
    # For people, not for scripts: columns read past, and those that became attributes.
    skipped_columns: tuple[str, ...] = ()
    attribute_columns: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Rows whose outcome is known; at the end all that were read."""
        return self.added + self.updated + self.unchanged + self.suppressed + len(self.refused)

    def as_json(self) -> dict[str, Any]:
        """`{"read", "added", "updated", "unchanged", "suppressed", "refused": [{"line", "reason"}]}`."""
        return {
            "read": self.read,
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "suppressed": self.suppressed,
            "refused": [each._asdict() for each in self.refused],
        }
