"""An erased address in what is kept about others: the basis of an import, a source, "recommended by".

Only the address is taken out. What it stood in stays: it is the proof or the fact of somebody else.
"""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from subscribers import attributes
from subscribers.addresses import spellings
from subscribers.tables import (
    attribute,
    attribute_holder,
    consent,
    mailing_list,
    segment,
    subscriber,
    suppression,
)

# Stands where the address stood.
BLANK = "(erased)"

# Text that people or files say, beside attributes.
_TEXTS = (
    consent.c.basis,
    consent.c.wording,
    consent.c.source,
    subscriber.c.name,
    subscriber.c.source,
    suppression.c.detail,
    suppression.c.source,
    mailing_list.c.name,
)


@dataclass(frozen=True, slots=True)
class Mentions:
    """How many texts and how many people's attributes named the address."""

    texts: int
    attributes: int


def blank(connection: Connection, email: str) -> Mentions:
    """Take an address out of every text, attribute and saved rule, in any letter case."""
    said = "|".join(map(re.escape, spellings(email)))
    # "charlotte@x.example" and "lotte@x.example.org" are the addresses of others.
    pattern = re.compile(rf"(?<![\w.+-])(?:{said})(?![\w-]|\.\w)", re.IGNORECASE)
    part = email.rpartition("@")[0].casefold() + "@"
    texts = _blank_texts(connection, pattern, part) + _blank_rules(connection, pattern)
    return Mentions(texts, _blank_attributes(connection, pattern, part))


def _blank_texts(connection: Connection, pattern: re.Pattern[str], part: str) -> int:
    """Each distinct text once: all people of a file share its basis."""
    changed = 0
    for column in _TEXTS:
        found = select(column).where(column.icontains(part, autoescape=True)).distinct()
        for text in connection.execute(found).scalars().all():
            left = pattern.sub(BLANK, text)
            if left != text:
                here = update(column.table).where(column == text).values({column: left})
                changed += connection.execute(here).rowcount
    return changed


def _blank_rules(connection: Connection, pattern: re.Pattern[str]) -> int:
    changed = 0
    for row in connection.execute(select(segment.c.id, segment.c.rule)).all():
        left = _without(pattern, row.rule)
        if left != row.rule:
            connection.execute(update(segment).where(segment.c.id == row.id).values(rule=left))
            changed += 1
    return changed


def _blank_attributes(connection: Connection, pattern: re.Pattern[str], part: str) -> int:
    values = select(attribute.c.id).where(attribute.c.folded.contains(part, autoescape=True))
    holders = select(attribute_holder.c.subscriber_id).where(attribute_holder.c.attribute_id.in_(values))
    people = select(subscriber.c.id, subscriber.c.attributes).where(subscriber.c.id.in_(holders))
    gone: list[attributes.Held] = []
    held: list[attributes.Held] = []
    changed = 0
    for row in connection.execute(people).all():
        left = _without(pattern, row.attributes)
        if left != row.attributes:
            here = update(subscriber).where(subscriber.c.id == row.id)
            connection.execute(here.values(attributes=left))
            before, after = row.attributes.items(), left.items()
            gone += [(row.id, pair) for pair in before - after]
            held += [(row.id, pair) for pair in after - before]
            changed += 1
    attributes.remove(connection, gone)
    attributes.add(connection, held)
    return changed


def _without(pattern: re.Pattern[str], value: Any) -> Any:
    """A JSON value without the address in any of its texts; keys stay."""
    if isinstance(value, str):
        return pattern.sub(BLANK, value)
    if isinstance(value, list):
        return [_without(pattern, item) for item in value]
    if isinstance(value, dict):
        return {key: _without(pattern, inner) for key, inner in value.items()}
    return value
