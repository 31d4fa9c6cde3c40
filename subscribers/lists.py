"""Lists: named groups, kept by hand. A list is found by its slug or its name."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select

from subscribers.errors import NewsletterError, NotFound
from subscribers.tables import IN_LIST_ROWS, list_member, mailing_list, subscriber, upsert

NAME_MAX_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class NamedList:
    id: int
    slug: str
    name: str
    members: int


def slug_of(name: str) -> str:
    """`Congress 2026 booth` -> `congress-2026-booth`. Letters of any script are kept.

    Raises NewsletterError when the name has neither letter nor digit.
    """
    folded = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(character for character in folded if not unicodedata.combining(character))
    slug = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", plain)).strip("-")
    if not slug:
        raise NewsletterError(f"the list name '{name}' has neither letter nor digit.", field="lists")
    if len(name) > NAME_MAX_CHARACTERS:
        raise NewsletterError(f"a list name of {len(name)} characters is too long.", field="lists")
    return slug


def create(connection: Connection, name: str, *, now: datetime) -> str:
    """Make a list when there is none of that slug; the slug."""
    return ensure_lists(connection, [name], now=now)[name][1]


def ensure_lists(
    connection: Connection, names: Iterable[str], *, now: datetime
) -> dict[str, tuple[int, str]]:
    """Make the lists that are missing; (id, slug) by name."""
    slugs = {name: slug_of(name) for name in names}
    if not slugs:
        return {}
    rows = [
        {"slug": slug, "name": name.strip(), "created_at": now}
        for slug, name in {slug: name for name, slug in reversed(slugs.items())}.items()
    ]
    connection.execute(upsert(mailing_list).on_conflict_do_nothing(index_elements=["slug"]), rows)
    known = connection.execute(select(mailing_list.c.slug, mailing_list.c.id))
    found = {row.slug: row.id for row in known}
    return {name: (found[slug], slug) for name, slug in slugs.items()}


def every(connection: Connection) -> list[NamedList]:
    """All lists, by name, each with the number of its members."""
    return [_named(row) for row in connection.execute(_with_members().order_by(mailing_list.c.name))]


def get(connection: Connection, name: str) -> NamedList:
    """A list by slug or name. Raises NotFound naming those there are."""
    wanted = {name.strip().casefold(), _slug_or_empty(name)}
    row = connection.execute(_with_members().where(mailing_list.c.slug.in_(wanted))).one_or_none()
    if row is None:
        there = ", ".join(each.slug for each in every(connection)[:20]) or "none yet"
        raise NotFound(f"there is no list '{name}'.", cure=f"Lists: {there}.")
    return _named(row)


def add_members(connection: Connection, list_id: int, subscriber_ids: Iterable[int], *, now: datetime) -> int:
    """Put people on a list; how many were not on it."""
    before = _size(connection, list_id)
    rows = [{"list_id": list_id, "subscriber_id": each, "added_at": now} for each in subscriber_ids]
    if rows:
        connection.execute(
            upsert(list_member).on_conflict_do_nothing(index_elements=["list_id", "subscriber_id"]), rows
        )
    return _size(connection, list_id) - before


def remove_members(connection: Connection, list_id: int, subscriber_ids: Sequence[int]) -> int:
    """Take people off a list; how many were on it."""
    removed = 0
    for start in range(0, len(subscriber_ids), IN_LIST_ROWS):
        part = subscriber_ids[start : start + IN_LIST_ROWS]
        removed += connection.execute(
            delete(list_member).where(list_member.c.list_id == list_id, list_member.c.subscriber_id.in_(part))
        ).rowcount
    return removed


def remove(connection: Connection, list_id: int) -> int:
    """Remove a list; its people stay. How many were on it."""
    members = _size(connection, list_id)
    connection.execute(delete(list_member).where(list_member.c.list_id == list_id))
    connection.execute(delete(mailing_list).where(mailing_list.c.id == list_id))
    return members


def members(
    connection: Connection, list_id: int, *, after: int = 0, limit: int | None = None
) -> list[tuple[int, str]]:
    """(subscriber id, address) of a list's people, by id; `after` an id, for pages."""
    query = (
        select(subscriber.c.id, subscriber.c.email)
        .join(list_member, list_member.c.subscriber_id == subscriber.c.id)
        .where(list_member.c.list_id == list_id, list_member.c.subscriber_id > after)
        .order_by(subscriber.c.id)
    )
    return [(number, email) for number, email in connection.execute(query.limit(limit))]


def of_person(connection: Connection, subscriber_id: int) -> list[str]:
    """The slugs of the lists somebody is on."""
    query = (
        select(mailing_list.c.slug)
        .join(list_member, list_member.c.list_id == mailing_list.c.id)
        .where(list_member.c.subscriber_id == subscriber_id)
        .order_by(mailing_list.c.slug)
    )
    return list(connection.execute(query).scalars())


def _named(row: Any) -> NamedList:
    return NamedList(row[0], row[1], row[2], row[3])


def _with_members() -> Select[Any]:
    size = (
        select(func.count())
        .select_from(list_member)
        .where(list_member.c.list_id == mailing_list.c.id)
        .scalar_subquery()
    )
    return select(mailing_list.c.id, mailing_list.c.slug, mailing_list.c.name, size)


def _size(connection: Connection, list_id: int) -> int:
    query = select(func.count()).select_from(list_member).where(list_member.c.list_id == list_id)
    return int(connection.execute(query).scalar_one())


def _slug_or_empty(name: str) -> str:
    try:
        return slug_of(name)
    except NewsletterError:
        return ""
