"""Attributes by value: who has what in a column of an imported file, kept so that segments count in an index.

`subscriber.attributes` is the truth; the two tables written here are derived from it, in the same
transaction. A pair of name and value has the same id everywhere, so nothing is looked up to write it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, select

from subscribers.tables import IN_LIST_ROWS, attribute, attribute_holder, upsert

Pair = tuple[str, str]  # name, value

# Pairs of a file that are numbered once; most columns repeat their values.
CACHE = 10_000


@lru_cache(maxsize=CACHE)
def id_of(name: str, value: str) -> int:
    """The id of a pair: 63 bits of its hash, so that a million pairs meet once in millions of sites."""
    return int.from_bytes(blake2b(f"{name}\0{value}".encode(), digest_size=8).digest(), "big") >> 1


def add(connection: Connection, subscriber_id: int, facts: Mapping[str, str]) -> None:
    """Write down what one person has."""
    pairs = [pair for pair in facts.items() if pair[1]]
    if pairs:
        ensure(connection, pairs)
        rows = [{"attribute_id": id_of(*pair), "subscriber_id": subscriber_id} for pair in pairs]
        connection.execute(upsert(attribute_holder).on_conflict_do_nothing(), rows)


def ensure(connection: Connection, pairs: Iterable[Pair]) -> None:
    """Make the pairs that are missing."""
    rows = [
        {"id": number, "name": name, "folded": value.casefold()}
        for number, (name, value) in sorted({id_of(*pair): pair for pair in pairs}.items())
    ]
    if rows:
        connection.execute(upsert(attribute).on_conflict_do_nothing(), rows)


def remove(connection: Connection, gone: Sequence[tuple[int, Pair]]) -> None:
    """Forget that these people (by id) have these; a value that nobody has any more is forgotten itself."""
    for start in range(0, len(gone), IN_LIST_ROWS):
        part = gone[start : start + IN_LIST_ROWS]
        for subscriber_id, pair in part:
            connection.execute(
                delete(attribute_holder).where(
                    attribute_holder.c.attribute_id == id_of(*pair),
                    attribute_holder.c.subscriber_id == subscriber_id,
                )
            )
        held = exists().where(attribute_holder.c.attribute_id == attribute.c.id)
        ids = {id_of(*pair) for _, pair in part}
        connection.execute(delete(attribute).where(attribute.c.id.in_(ids), ~held))


def holders(name: str, values: Collection[str]) -> Select[Any]:
    """The ids of everybody who has one of these values, each once."""
    return _holders(attribute_holder.c.attribute_id.in_([id_of(name, value) for value in values]))


def holders_of_part(name: str, part: str) -> Select[Any]:
    """The ids of everybody whose value has this part in any letter case, each once."""
    like = attribute.c.folded.contains(part.casefold(), autoescape=True)
    ids = select(attribute.c.id).where(attribute.c.name == name, like)
    return _holders(attribute_holder.c.attribute_id.in_(ids))


def _holders(has_it: ColumnElement[bool]) -> Select[Any]:
    # A sum, so that whoever asks for some of them does not make a database try every value with every one.
    return select((attribute_holder.c.subscriber_id + 0).label("subscriber_id")).where(has_it)
