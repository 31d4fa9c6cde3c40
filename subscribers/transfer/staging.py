"""The people of a file, checked and put aside until the whole file is known.

Nothing reaches the database before the last row was read: a file that cannot be read to its end
changes nothing, and of equal addresses the last one wins. The scratch file is SQLite's own temporary
one: private, and gone when it is closed.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from subscribers.transfer.people import Person
from subscribers.transfer.report import RefusedRows

# Rows kept in Python before they are written, and the memory SQLite may use for its pages and sorting.
BATCH_ROWS = 2_000
BATCH_CHARACTERS = 4_000_000
CACHE_KIB = 16_384

_FIELDS = ", ".join(Person._fields)
_MARKS = ", ".join("?" * len(Person._fields))


class Staging:
    """Takes people in any order, gives them back one per address."""

    def __init__(self) -> None:
        self.count = 0
        self._batch: list[Person] = []
        self._characters = 0
        # An empty name is a private file on disk that SQLite deletes (sqlite.org/inmemorydb.html).
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._scratch.execute("PRAGMA journal_mode = OFF")
        self._scratch.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._scratch.execute(f"CREATE TABLE staged ({_FIELDS})")
        self._scratch.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.close()

    def add(self, person: Person) -> None:
        self._batch.append(person)
        self._characters += len(person.attributes or "")
        if len(self._batch) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._write()

    def winners(self, refused: RefusedRows) -> Iterator[Person]:
        """One person per address, by key hash, so that neighbours fall on the same pages of an index.

        Earlier rows of an address are refused: "repeated on line N", N being the last one's line.
        """
        self._write()
        previous: Person | None = None
        lost: list[int] = []
        for person in self._sorted():
            if previous is not None:
                if person.email_key == previous.email_key:
                    lost.append(previous.line)
                else:
                    _refuse(refused, lost, previous.line)
                    yield previous
            previous = person
        if previous is not None:
            _refuse(refused, lost, previous.line)
            yield previous

    def _write(self) -> None:
        self._scratch.executemany(f"INSERT INTO staged VALUES ({_MARKS})", self._batch)  # noqa: S608
        self.count += len(self._batch)
        self._batch.clear()
        self._characters = 0

    def _sorted(self) -> Iterable[Person]:
        query = f"SELECT {_FIELDS} FROM staged ORDER BY key_hash, line"  # noqa: S608
        return map(Person._make, self._scratch.execute(query))


def _refuse(refused: RefusedRows, lost: list[int], winner: int) -> None:
    for line in lost:
        refused.refuse_repeated(line, winner)
    lost.clear()
