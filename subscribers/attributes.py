"""Attributes by value: who has what in a column of an imported file, kept so that segments count in an index.

`subscriber.attributes` is the truth; the two tables written here are derived from it, in the same
transaction. A pair of name and value has the same id everywhere, so nothing is looked up to write it.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, select

from subscribers.tables import IN_LIST_ROWS, attribute, attribute_holder, upsert

Pair = tuple[str, str]  # name, value
Held = tuple[int, Pair]  # who, by id, has what

# Pairs of a file that are numbered once; most columns repeat their values.
CACHE = 10_000


@lru_cache(maxsize=CACHE)
def id_of(name: str, value: str) -> int:
    """The id of a pair: 63 bits of its hash, so that a million pairs meet once in millions of sites."""
    return int.from_bytes(blake2b(f"{name}\0{value}".encode(), digest_size=8).digest(), "big") >> 1


def add(connection: Connection, held: Sequence[Held]) -> None:
    """Write down that these people have these; an empty value is nothing to have."""
    rows = [_row(number, pair) for number, pair in held if pair[1]]
    if rows:
        ensure(connection, {pair for _, pair in held if pair[1]})
        connection.execute(upsert(attribute_holder).on_conflict_do_nothing(), rows)


def ensure(connection: Connection, pairs: Iterable[Pair]) -> None:
    """Make the pairs that are missing, and keep all of them from `remove` until this is committed."""
    rows = [
        {"id": number, "name": name, "folded": value.casefold()}
        for number, (name, value) in sorted({id_of(*pair): pair for pair in pairs}.items())
    ]
    if rows:
        insert = upsert(attribute)
        # The update changes nothing; it locks the row where writers work side by side (PostgreSQL).
        kept = insert.on_conflict_do_update(
            index_elements=[attribute.c.id], set_={"name": insert.excluded.name}
        )
        connection.execute(kept, rows)


def remove(connection: Connection, gone: Sequence[Held]) -> None:
    """Forget that these people have these; a value that nobody has any more is forgotten itself."""
    if not gone:
        return
    this = and_(
        attribute_holder.c.attribute_id == bindparam("attribute_id"),
        attribute_holder.c.subscriber_id == bindparam("subscriber_id"),
    )
    connection.execute(delete(attribute_holder).where(this), [_row(*each) for each in gone])
    ids = sorted({id_of(*pair) for _, pair in gone})
    held = exists().where(attribute_holder.c.attribute_id == attribute.c.id)
    for start in range(0, len(ids), IN_LIST_ROWS):
        these = attribute.c.id.in_(ids[start : start + IN_LIST_ROWS])
        # Locked by a statement of its own: the next one sees what those have written who had the lock.
        connection.execute(select(attribute.c.id).where(these).order_by(attribute.c.id).with_for_update())
        connection.execute(delete(attribute).where(these, ~held))


def _row(subscriber_id: int, pair: Pair) -> dict[str, int]:
    return {"attribute_id": id_of(*pair), "subscriber_id": subscriber_id}


def names(connection: Connection) -> list[str]:
    """Every attribute that anybody has."""
    return list(connection.execute(select(attribute.c.name).distinct().order_by(attribute.c.name)).scalars())


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
