"""The references while they are read: addresses, one a line, some with words beside them.

`[n]` counts the lines of this list. A line in it that gives no address makes every number behind it
doubtful, so it either keeps its number, leading nowhere, or is a fault; it is never passed over.
"""

from dataclasses import dataclass

from mailer.issues import urls
from mailer.issues.classify import REFERENCE_NUMBER, Row
from mailer.issues.headings import strip_bullet
from mailer.issues.layout import Slot
from mailer.issues.sheet import Sheet
from mailer.urls import fault_of


@dataclass(frozen=True, slots=True)
class _Stray:
    """A line among the references that had no place when it was read."""

    row: Row
    index: int  # of its line in the layout
    bare: str  # without its bullet or number

    @property
    def before(self) -> str:
        return self.row.core[: len(self.row.core) - len(self.bare)]


class ReferenceList:
    """The list as it fills up; `urls` has "" for a line without an address."""

    def __init__(self, sheet: Sheet) -> None:
        self.urls: list[str] = []
        self._sheet = sheet
        self._is_prose = False  # its lines begin with words and no bullet
        self._strays: list[_Stray] = []
        self._is_misnumbered = False

    def read(self, row: Row) -> None:
        """One line below the heading."""
        number = REFERENCE_NUMBER.match(row.core)
        bare = row.core[number.end() :] if number else strip_bullet(row.core)
        before = row.core[: len(row.core) - len(bare)]
        if urls.is_meant_as_url(bare) and urls.span_among_words(bare) is None:
            self._settle_strays()
            self._sheet.add(row, before, self._slot(row, bare))
            self._compare(row)
        elif (span := urls.span_among_words(bare)) and (before or self._is_prose or not self.urls):
            self._is_prose = not before and span[0] > 0
            self._settle_strays()
            self._sheet.add(row, before, *self._worded(row, bare, span))
            self._compare(row)
        else:
            self._strays.append(_Stray(row, len(self._sheet.lines), bare))
            self._sheet.misplace(row)
            if before:
                cure = "Put the address of the source on this line."
                message = "this line of the references has no good URL; its number leads nowhere."
                self._sheet.warn(message, row, "references", cure)

    def read_behind_heading(self, row: Row, text: str) -> list[str | Slot]:
        """The pieces of "References: https://… https://…": the addresses and what stands between them."""
        self._settle_strays()
        pieces: list[str | Slot] = []
        done = 0
        for start, end in urls.spans(text):
            pieces += [text[done:start], self._slot(row, text[start:end])]
            done = end
        return [*pieces, text[done:]]

    def _compare(self, row: Row) -> None:
        """Warn of the first line whose printed number is not its place in the list."""
        printed = REFERENCE_NUMBER.match(row.core)
        place = len(self.urls)
        if printed is None or self._is_misnumbered or int(printed[0].strip(" \t[].)")) == place:
            return
        self._is_misnumbered = True
        message = f"this is line {place} of the references: [{place}] cites it, whatever number it prints."
        cure = "Number the list from 1, without gaps."
        self._sheet.warn(message, row, "references", cure)

    def _settle_strays(self) -> None:
        """A reference follows: the lines without a place before it count as lines of the list, too."""
        placed: set[int] = set()
        for stray in self._strays:
            row = stray.row
            if span := urls.span_among_words(stray.bare):
                placed.add(row.number)
                self._sheet.place(row, stray.index, stray.before, *self._worded(row, stray.bare, span))
            elif stray.before:
                self._sheet.place(row, stray.index, row.core, self._slot(row, ""))
            else:
                message = (
                    "this line between the references has no URL, so the numbers behind it are in doubt."
                )
                cure = "Give it its URL, or move it out of the list."
                self._sheet.refuse(message, row, "references", cure)
        self._strays.clear()
        self._sheet.found(placed)

    def _worded(self, row: Row, bare: str, span: tuple[int, int]) -> tuple[str | Slot, ...]:
        """The pieces of "Example press release, https://…": the address is the reference."""
        start, end = span
        message = f"only the address of reference {len(self.urls) + 1} is printed, not the words beside it."
        cure = "Put only the address of the source on this line."
        self._sheet.warn(message, row, "references", cure)
        return bare[:start], self._slot(row, bare[start:end]), bare[end:]

    def _slot(self, row: Row, url: str) -> Slot:
        if url and (fault := fault_of(url)) is not None:
            self._sheet.refuse_url(row, url, fault)
        slot = Slot(("references", len(self.urls)), url, url)
        self.urls.append(url)
        return slot
