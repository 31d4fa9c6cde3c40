"""The people of a file, checked and put aside until the whole file is known.

Nothing reaches the database before the last row was read: a file that cannot be read to its end
changes nothing, and of equal addresses the last one wins. What does not fit in memory waits in a
temporary file that has no name and is gone when it is closed.
"""

import marshal
import tempfile
from collections.abc import Iterator
from operator import itemgetter
from types import TracebackType
from typing import Self

from subscribers.transfer.people import Packed, Person
from subscribers.transfer.report import RefusedRows

# People are parted by the first two digits of their hash: 256 parts, each sorted in memory.
PART_DIGITS = 2
# People of a part kept in memory before they are written down: 8 MB in all parts of a usual file.
BLOCK_ROWS = 64
BLOCK_CHARACTERS = 50_000

_LINE, _KEY_HASH, _ATTRIBUTES = map(Person._fields.index, ("line", "key_hash", "attributes"))


class Staging:
    """Takes people in the order of their lines, gives them back one per address."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        digits = range(16**PART_DIGITS)
        self._waiting: dict[str, list[Packed]] = {f"{part:0{PART_DIGITS}x}": [] for part in digits}
        self._blocks: dict[str, list[tuple[int, int]]] = {part: [] for part in self._waiting}
        self._characters = dict.fromkeys(self._waiting, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, person: Packed) -> None:
        part = person[_KEY_HASH][:PART_DIGITS]
        waiting = self._waiting[part]
        waiting.append(person)
        self._characters[part] += len(person[_ATTRIBUTES])
        if len(waiting) >= BLOCK_ROWS or self._characters[part] >= BLOCK_CHARACTERS:
            self._write_down(part, waiting)

    def chunks(self, refused: RefusedRows, *, rows: int, characters: int) -> Iterator[list[Packed]]:
        """One person per address, in chunks that are ranges of key hashes.

        Neighbours of a chunk fall on the same pages of an index. A chunk ends at `rows` people or
        about `characters` of their attributes.
        """
        chunk: list[Packed] = []
        for part in self._waiting:
            people = self._winners(part, refused)
            size = sum(len(person[_ATTRIBUTES]) for person in people)
            chunk += people
            step = max(1, min(rows, characters * len(people) // size)) if size else rows
            while len(chunk) >= step:
                yield chunk[:step]
                chunk = chunk[step:]
        if chunk:
            yield chunk

    def _winners(self, part: str, refused: RefusedRows) -> list[Packed]:
        """The last row of each address; the others are refused: "repeated on line N", N being its line."""
        people = self._read_back(part)
        latest = {person[_KEY_HASH]: person for person in people}
        if len(latest) < len(people):
            for person in people:
                winner = latest[person[_KEY_HASH]]
                if person is not winner:
                    refused.refuse_repeated(person[_LINE], winner[_LINE])
        return sorted(latest.values(), key=itemgetter(_KEY_HASH))

    def _write_down(self, part: str, waiting: list[Packed]) -> None:
        block = marshal.dumps(waiting)
        self._blocks[part].append((self._file.tell(), len(block)))
        self._file.write(block)
        self._characters[part] = 0
        waiting.clear()

    def _read_back(self, part: str) -> list[Packed]:
        people: list[Packed] = []
        for start, size in self._blocks[part]:
            self._file.seek(start)
            # Our own bytes, written a moment ago: nobody else can reach the file.
            people += marshal.loads(self._file.read(size))  # noqa: S302
        people += self._waiting[part]
        return people
