"""Segments: saved rules that pick subscribers, counted, said in words and turned into one SELECT.

A rule looks at those who may be mailed: active and not suppressed. Only one that names a status looks
at everybody. Which conditions exist is handed in as a registry; no rule is ever run as text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, select, update

from subscribers import lists, segment_rules
from subscribers.errors import NewsletterError, NotFound
from subscribers.models import SubscriberStatus
from subscribers.segment_rules import Condition, LeafRegistry, Moment, Rule, nearest_or_all
from subscribers.suppression import suppressed_readers
from subscribers.tables import segment, subscriber

_NOT_MAILED = tuple(status for status in SubscriberStatus if status != SubscriberStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class SavedSegment:
    slug: str
    name: str
    rule: Mapping[str, Any]
    created_at: datetime


def parse_rule(source: Any, leaves: LeafRegistry, *, file: str | None = None) -> Rule:
    """The checked tree of a rule: JSON text or bytes, or the value read from it.

    Raises NewsletterError of all faults, each beginning with its path: "all[1].topic: …".
    """
    value = segment_rules.read_json(source, file=file) if isinstance(source, str | bytes) else source
    return segment_rules.read_rule(value, leaves, file=file)


def in_words(rule: Rule) -> str:
    """The rule as an English sentence."""
    return segment_rules.words(rule)


def select_ids(rule: Any, leaves: LeafRegistry, now: datetime, *, excluding: bool = False) -> Select[Any]:
    """The ids of the readers a rule picks, one column `id`; the rule checked already, or as it is stored.

    `excluding` says that they will be left out of something: then a reader whom nobody can measure
    is never among them for that reason.
    """
    checked = _checked(rule, leaves)
    chosen = segment_rules.condition(checked, Moment(now, excluding))
    return select(subscriber.c.id).where(_base(checked), chosen)


def count(
    connection: Connection, rule: Any, leaves: LeafRegistry, now: datetime, *, excluding: bool = False
) -> int:
    """How many readers a rule picks."""
    checked = _checked(rule, leaves)
    return _count(connection, checked, segment_rules.condition(checked, Moment(now, excluding)))


def save(
    connection: Connection,
    name: str,
    source: Any,
    leaves: LeafRegistry,
    *,
    now: datetime,
    file: str | None = None,
) -> SavedSegment:
    """Keep a rule under a name. The same again changes nothing; another rule under it replaces the old."""
    value = segment_rules.read_json(source, file=file) if isinstance(source, str | bytes) else source
    segment_rules.read_rule(value, leaves, file=file)
    slug = slug_of(name)
    row = connection.execute(select(segment).where(segment.c.slug == slug)).one_or_none()
    if row is None:
        connection.execute(insert(segment).values(slug=slug, name=name.strip(), rule=value, created_at=now))
    elif row.rule != value:
        connection.execute(update(segment).where(segment.c.slug == slug).values(rule=value))
    return find(connection, slug)


def find(connection: Connection, slug: str) -> SavedSegment:
    """A saved segment by slug or name. Raises NotFound with the nearest one."""
    wanted = slug_of(slug)
    row = connection.execute(select(segment).where(segment.c.slug == wanted)).one_or_none()
    if row is None:
        known = [saved.slug for saved in list_all(connection)]
        make_one = "Make one with 'mailer segments add NAME --rule FILE'."
        cure = nearest_or_all(wanted, known) if known else make_one
        raise NotFound(f"there is no segment '{slug}'.", cure=cure)
    return SavedSegment(row.slug, row.name, row.rule, row.created_at)


def load(connection: Connection, slug: str, leaves: LeafRegistry) -> Rule:
    """The rule of a saved segment, checked again: a topic or list may have gone since."""
    saved = find(connection, slug)
    return parse_rule(saved.rule, leaves, file=f"segment '{saved.slug}'")


def list_all(connection: Connection) -> list[SavedSegment]:
    """All saved segments by name."""
    rows = connection.execute(select(segment).order_by(segment.c.name))
    return [SavedSegment(row.slug, row.name, row.rule, row.created_at) for row in rows]


def remove(connection: Connection, slug: str) -> None:
    """Forget a segment; the readers stay."""
    saved = find(connection, slug)
    connection.execute(segment.delete().where(segment.c.slug == saved.slug))


def rename_topic(connection: Connection, old: str, new: str) -> list[str]:
    """Let every rule that names a topic name it by its new slug; the segments changed."""
    changed = []
    for saved in list_all(connection):
        renamed = _renamed(saved.rule, old, new)
        if renamed != saved.rule:
            connection.execute(update(segment).where(segment.c.slug == saved.slug).values(rule=renamed))
            changed.append(saved.slug)
    return changed


def topics_named(connection: Connection) -> set[str]:
    """The slugs of topics in all saved rules."""
    return {slug for saved in list_all(connection) for slug in _topics_in(saved.rule)}


def slug_of(name: str) -> str:
    """`Engaged readers` -> `engaged-readers`, by the rule of lists' names."""
    try:
        return lists.slug_of(name)
    except NewsletterError:
        raise NewsletterError(
            f"'{name}' is no name for a segment.", field="name", cure="For example: engaged-readers."
        ) from None


def _checked(rule: Any, leaves: LeafRegistry) -> Rule:
    return rule if isinstance(rule, Rule) else parse_rule(rule, leaves)


def _looks_at_everybody(rule: Rule) -> bool:
    """A rule that speaks of a status itself."""
    return any(leaf.name == "status" for leaf in segment_rules.leaves_of(rule))


def _base(rule: Rule) -> ColumnElement[bool]:
    if _looks_at_everybody(rule):
        has_address: ColumnElement[bool] = subscriber.c.email != ""  # an erased person has none
        return has_address
    return and_(_is_active(), subscriber.c.id.not_in(suppressed_readers()))


def _is_active() -> ColumnElement[bool]:
    active: ColumnElement[bool] = subscriber.c.status == SubscriberStatus.ACTIVE
    return active


def _count(connection: Connection, rule: Rule, chosen: ColumnElement[bool]) -> int:
    def found(*where: ColumnElement[bool]) -> int:
        return _scalar(connection, select(func.count()).select_from(subscriber).where(*where))

    if isinstance(rule, Condition) and rule.leaf.holders is not None:
        return _count_holders(connection, rule.leaf.holders(rule.argument))
    if _looks_at_everybody(rule) or not all(leaf.is_wide for leaf in segment_rules.leaves_of(rule)):
        return found(chosen, _base(rule))
    # Each of a million asked whether it is suppressed is dearer than the suppressed counted by themselves.
    stopped = subscriber.c.id.in_(suppressed_readers())
    return found(_is_active(), chosen) - found(stopped, _is_active(), chosen)


def _count_holders(connection: Connection, holders: Select[Any]) -> int:
    """Those of some readers who may be mailed: all of them without the few who may not."""
    everybody = holders.subquery()
    (their_id,) = everybody.c
    left = select(subscriber.c.id).where(subscriber.c.status.in_(_NOT_MAILED))
    is_kept_back = their_id.in_(left.union(suppressed_readers()))
    count_all = select(func.count()).select_from(everybody)
    return _scalar(connection, count_all) - _scalar(connection, count_all.where(is_kept_back))


def _scalar(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())


def _topics_in(rule: Any) -> Iterator[str]:
    if isinstance(rule, list):
        for part in rule:
            yield from _topics_in(part)
    if isinstance(rule, dict):
        for key, value in rule.items():
            if key == "topic" and isinstance(value, str):
                yield value
            else:
                yield from _topics_in(value)


def _renamed(rule: Any, old: str, new: str) -> Any:
    if isinstance(rule, list):
        return [_renamed(part, old, new) for part in rule]
    if isinstance(rule, dict):
        return {
            key: (new if key == "topic" and value == old else _renamed(value, old, new))
            for key, value in rule.items()
        }
    return rule
