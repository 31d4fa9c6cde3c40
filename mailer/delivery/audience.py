"""Whom a campaign is for: lists and segments, or everyone, minus exclusions; and who of them gets nothing.

One SELECT says of every person of the audience why they get no letter, or nothing. It reads the
people's tables and `delivery`; it writes nothing and knows no edition: `freeze` adds the stories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, or_, select

from mailer.config import Settings
from mailer.tables import deliveries, holds_the_place, list_members, subscribers
from subscribers import lists, segments, suppression
from subscribers.models import SubscriberStatus
from subscribers.segment_rules import LeafRegistry


class SkipReason(StrEnum):
    """Why a person of the audience gets nothing; the first that holds, in this order."""

    SUPPRESSED = "suppressed"
    UNSUBSCRIBED = "unsubscribed"
    PENDING = "pending"
    PAUSED = "paused"
    ONLY_TO = "only_to"
    ALREADY_SENT = "already_sent"
    NO_STORIES = "no_stories"


@dataclass(frozen=True, slots=True)
class Audience:
    """Names of lists and segments. Neither named: everyone."""

    lists: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    exclude_lists: tuple[str, ...] = ()
    exclude_segments: tuple[str, ...] = ()

    def as_json(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Audience":
        return cls(**{name: tuple(stored.get(name, ())) for name in cls.__slots__})

    def in_words(self) -> str:
        """`list internal, segment engaged, without list press`."""
        named = [f"list {name}" for name in self.lists] + [f"segment {name}" for name in self.segments]
        out = [f"list {name}" for name in self.exclude_lists]
        out += [f"segment {name}" for name in self.exclude_segments]
        return (", ".join(named) or "everyone") + (f", without {', '.join(out)}" if out else "")


def people(
    connection: Connection,
    audience: Audience,
    *,
    issue_id: int | None,
    settings: Settings,
    leaves: LeafRegistry,
    now: datetime,
) -> Select[Any]:
    """Rows (id, all_topics, topic_mask, reason) of the audience; `reason` NULL: may be mailed.

    Raises NotFound for a list or segment that nobody made. Erased people are in no audience.
    """
    return select(
        subscribers.c.id,
        subscribers.c.all_topics,
        subscribers.c.topic_mask,
        _reason(issue_id, settings.sending.only_to, now).label("reason"),
    ).where(subscribers.c.email != "", *_membership(connection, audience, leaves, now))


def is_allowed(email: str, only_to: Sequence[str]) -> bool:
    """Whether `[sending] only_to` lets an address pass: itself, or its "@domain"."""
    folded = email.casefold()
    return any(
        folded.endswith(allowed) if allowed.startswith("@") else folded == allowed
        for allowed in (entry.casefold() for entry in only_to)
    )


def _membership(
    connection: Connection, audience: Audience, leaves: LeafRegistry, now: datetime
) -> list[ColumnElement[bool]]:
    conditions = []
    wanted = [subscribers.c.id.in_(ids) for ids in _groups(connection, audience.lists)]
    wanted += [
        subscribers.c.id.in_(segments.select_ids(segments.load(connection, name, leaves), leaves, now))
        for name in audience.segments
    ]
    if wanted:
        conditions.append(or_(*wanted))
    conditions += [subscribers.c.id.not_in(ids) for ids in _groups(connection, audience.exclude_lists)]
    conditions += [
        subscribers.c.id.not_in(
            segments.select_ids(segments.load(connection, name, leaves), leaves, now, excluding=True)
        )
        for name in audience.exclude_segments
    ]
    return conditions


def _groups(connection: Connection, names: Sequence[str]) -> list[Select[Any]]:
    return [
        select(list_members.c.subscriber_id).where(list_members.c.list_id == lists.get(connection, name).id)
        for name in names
    ]


def _reason(issue_id: int | None, only_to: Sequence[str], now: datetime) -> ColumnElement[Any]:
    rules: list[tuple[ColumnElement[bool], SkipReason]] = [
        (subscribers.c.id.in_(suppression.suppressed_readers()), SkipReason.SUPPRESSED),
        (subscribers.c.status == SubscriberStatus.UNSUBSCRIBED, SkipReason.UNSUBSCRIBED),
        (subscribers.c.status != SubscriberStatus.ACTIVE, SkipReason.PENDING),
        (
            and_(subscribers.c.paused_until.is_not(None), subscribers.c.paused_until > now),
            SkipReason.PAUSED,
        ),
    ]
    if only_to:
        rules.append((~_passes(only_to), SkipReason.ONLY_TO))
    if issue_id is not None:
        rules.append((subscribers.c.id.in_(_receivers(issue_id)), SkipReason.ALREADY_SENT))
    return case(*((condition, literal(str(reason))) for condition, reason in rules), else_=None)


def _passes(only_to: Sequence[str]) -> ColumnElement[bool]:
    email = func.lower(subscribers.c.email)  # addresses are ASCII: IDN as punycode, no SMTPUTF8
    return or_(
        *(
            email.endswith(entry.casefold(), autoescape=True)
            if entry.startswith("@")
            else email == entry.casefold()
            for entry in only_to
        )
    )


def _receivers(issue_id: int) -> Select[Any]:
    """Whoever an earlier campaign of the issue wrote to, or left in doubt."""
    return select(deliveries.c.subscriber_id).where(
        deliveries.c.issue_id == issue_id,
        deliveries.c.subscriber_id.is_not(None),
        holds_the_place(),
    )
