"""The keywords while they are read: names apart by semicolons, on one line or on many.

A list of one line without semicolons may have commas instead; on several lines each is one name.
"""

import re

from mailer.issues import source, urls
from mailer.issues.classify import Row
from mailer.issues.document import Unplaced
from mailer.issues.headings import strip_bullet
from mailer.issues.layout import Slot
from mailer.issues.sheet import Sheet

_STOPS = (".", "。")
_BETWEEN = ";；"
_PARTED = re.compile(f"([{_BETWEEN}])")
# Names hold commas themselves: they part keywords only in a list that is one line without semicolons.
_COMMAS = re.compile(r"(,(?=\s)|[，、،])")
# A name with one comma is common: "University of Oslo, Norway".
LIST_LEAST_COMMAS = 2


class KeywordList:
    """The list as it fills up; a full stop ends it, and so does a heading that nobody knows."""

    def __init__(self, sheet: Sheet) -> None:
        self.names: list[str] = []
        self._sheet = sheet
        self._is_over = False  # a full stop ended the list
        self._with_commas: list[tuple[Row, int]] = []  # and no semicolon; with their place in the layout
        self._is_headed = False  # a line that nobody knows headed what follows

    def end_head(self) -> None:
        """A known heading came: what an unknown one headed is over."""
        self._is_headed = False

    def read_behind_heading(self, row: Row, text: str) -> list[str | Slot]:
        """The pieces of "Keywords: a; b"."""
        self._is_over = text.endswith(_STOPS)
        return self._pieces(row, text, _PARTED if _PARTED.search(text) else _COMMAS)

    def read(self, row: Row) -> None:
        """One line below the heading."""
        bare = strip_bullet(row.core)
        bulleted = bare != row.core
        names = [name for name in re.split(f"[{_BETWEEN}]", bare) if name.strip()]
        has_several = any(mark in bare for mark in _BETWEEN)
        self._is_headed = not has_several and (self._is_headed or bare.rstrip("*_").endswith((":", "：")))
        is_over = self._is_headed or (self._is_over and not bulleted)
        if is_over or (names and all(map(urls.spans, names))):
            self._sheet.misplace(row)
            return
        self._is_over = not bulleted and bare.endswith(_STOPS)
        if not has_several and _COMMAS.search(bare) and not urls.spans(bare):
            self._with_commas.append((row, len(self._sheet.lines)))
        self._sheet.add(row, row.core[: len(row.core) - len(bare)], *self._pieces(row, bare, _PARTED))

    def finish(self) -> None:
        """The list is complete: a single line without semicolons is read by its commas."""
        for row, index in self._with_commas:
            bare = strip_bullet(row.core)
            if len(self.names) == 1:
                self.names.clear()
                before = row.core[: len(row.core) - len(bare)]
                self._sheet.place(row, index, before, *self._pieces(row, bare, _COMMAS))
            elif len(_COMMAS.findall(bare)) >= LIST_LEAST_COMMAS:
                cure = "Part keywords by semicolons."
                self._sheet.warn("this line is read as one keyword.", row, "keywords", cure)

    def _pieces(self, row: Row, text: str, parted: re.Pattern[str]) -> list[str | Slot]:
        """Keywords and what stands between them; an address is none, and stays where it is, unplaced."""
        pieces: list[str | Slot] = []
        body, stop = (text[:-1], text[-1]) if text.endswith(_STOPS) else (text, "")
        between = ""
        for place, token in enumerate(parted.split(body)):
            lead, name, trail = source.split_edges(token)
            if not name or place % 2:
                between += token
                continue
            if urls.spans(name):
                self._sheet.unplaced.append(Unplaced(row.number, name))
                between += token
                continue
            pieces += [between + lead, Slot(("keywords", len(self.names)), name, name)]
            between = trail
            self.names.append(name)
        return [piece for piece in (*pieces, between + stop) if piece != ""]
