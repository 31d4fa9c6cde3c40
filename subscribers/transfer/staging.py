"""The people of a file, checked and put aside until the whole file is known.

Nothing reaches the database before the last row was read: a file that cannot be read to its end
changes nothing, and of equal addresses the last one wins. What does not fit in memory waits in a
temporary file that has no name and is gone when it is closed.
"""

import marshal
import tempfile
from collections.abc import Iterator
from operator import attrgetter
from types import TracebackType
from typing import Self

from subscribers.transfer.people import Person
from subscribers.transfer.report import RefusedRows

# People are parted by the first two digits of their hash: 256 parts, each sorted in memory.
PART_DIGITS = 2
# People of a part kept in memory before they are written down: 8 MB in all parts of a usual file.
BLOCK_ROWS = 64
BLOCK_CHARACTERS = 50_000


class Staging:
    """Takes people in any order, gives them back one per address."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        digits = range(16**PART_DIGITS)
        self._waiting: dict[str, list[Person]] = {f"{part:0{PART_DIGITS}x}": [] for part in digits}
        self._blocks: dict[str, list[tuple[int, int]]] = {part: [] for part in self._waiting}
        self._characters = dict.fromkeys(self._waiting, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, person: Person) -> None:
        part = person.key_hash[:PART_DIGITS]
        waiting = self._waiting[part]
        waiting.append(person)
        if person.attributes:
            self._characters[part] += len(person.attributes)
        if len(waiting) >= BLOCK_ROWS or self._characters[part] >= BLOCK_CHARACTERS:
            self._write_down(part, waiting)

    def winners(self, refused: RefusedRows) -> Iterator[Person]:
        """One person per address, by key hash, so that neighbours fall on the same pages of an index.

        Earlier rows of an address are refused: "repeated on line N", N being the last one's line.
        """
        for part in self._waiting:
            people = self._read_back(part)  # in the order of the file
            latest = {person.key_hash: person for person in people}
            if len(latest) < len(people):
                for person in people:
                    winner = latest[person.key_hash]
                    if person is not winner:
                        refused.refuse_repeated(person.line, winner.line)
            yield from sorted(latest.values(), key=attrgetter("key_hash"))

    def _write_down(self, part: str, waiting: list[Person]) -> None:
        block = marshal.dumps([tuple(person) for person in waiting])
        self._blocks[part].append((self._file.tell(), len(block)))
        self._file.write(block)
        self._characters[part] = 0
        waiting.clear()

    def _read_back(self, part: str) -> list[Person]:
        people: list[Person] = []
        for start, size in self._blocks[part]:
            self._file.seek(start)
            # Our own bytes, written a moment ago: nobody else can reach the file.
            people += map(Person._make, marshal.loads(self._file.read(size)))  # noqa: S302
        people += self._waiting[part]
        return people
