"""What a reading gathers beside the values: every line as it was typed, and what is to say about it."""

from mailer.issues.classify import Row
from mailer.issues.document import Unplaced
from mailer.issues.layout import Line, Slot
from mailer.issues.stories import line_of
from subscribers.errors import Problem

# A fault shows the beginning of a long address: its line says the rest.
URL_SHOWN_CHARACTERS = 60


class Sheet:
    """The lines of an issue's body in their order; each is added, kept or misplaced, exactly once."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.faults: list[Problem] = []
        self.warnings: list[Problem] = []
        self.unplaced: list[Unplaced] = []

    def add(self, row: Row, *pieces: str | Slot, anchor: str = "") -> None:
        """A line with a place; `pieces` without the space around them."""
        self.lines.append(line_of(row.lead, pieces, row.trail, row.ending, anchor))

    def keep(self, row: Row) -> None:
        """A line that says nothing, as it was typed."""
        text = row.lead + row.core + row.trail
        self.lines.append(Line((text,) if text else (), row.ending))

    def misplace(self, row: Row) -> None:
        """A line that has no place: listed, and kept as it was typed."""
        self.unplaced.append(Unplaced(row.number, row.core))
        self.keep(row)

    def place(self, row: Row, index: int, *pieces: str | Slot) -> None:
        """Give the line at this index of `lines` a place after all; it stays listed until `found`."""
        self.lines[index] = line_of(row.lead, pieces, row.trail, row.ending)

    def found(self, numbers: set[int]) -> None:
        """Take lines off the list of those without a place."""
        if numbers:
            self.unplaced = [line for line in self.unplaced if line.line not in numbers]

    def warn(self, message: str, row: Row, field: str, cure: str) -> None:
        self.warnings.append(Problem(message, row.number, field, cure))

    def refuse(self, message: str, row: Row, field: str, cure: str) -> None:
        """A fault: the issue cannot be sent like this."""
        self.faults.append(Problem(message, row.number, field, cure))

    def refuse_url(self, row: Row, url: str, fault: str) -> None:
        shown = url if len(url) <= URL_SHOWN_CHARACTERS else url[: URL_SHOWN_CHARACTERS - 1] + "…"
        cure = "Write a whole address, for example https://www.example.com/page"
        if url.lower().startswith("www."):
            cure = f"Write https://{shown}"
        self.refuse(f"'{shown}' {fault}.", row, "URL", cure)
