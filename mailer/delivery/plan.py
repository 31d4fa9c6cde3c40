"""Whom a campaign would reach with which edition, and who gets nothing and why. Stores nothing.

The sets of topics that readers really chose decide which selections exist; only those are rendered.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from mailer.config import Settings
from mailer.delivery.audience import Audience, SkipReason, people
from mailer.editions.content import Selection
from mailer.editions.select import selections_for
from mailer.issues.values import Issue
from mailer.tables import subscribers
from subscribers import topics
from subscribers.errors import NewsletterError
from subscribers.segment_rules import LeafRegistry

# Conditions of segments are made for one connection (they name lists and campaigns).
Leaves = Callable[[Connection], LeafRegistry]

# Whose choices make editions: of those who may be mailed, and of those who have the issue already.
_TO_MAIL: frozenset[str | None] = frozenset({None})
_SHOWN_AFTER = _TO_MAIL | {str(SkipReason.ALREADY_SENT)}

# (all_topics, topic_mask with the issue's topics only; 0 for a reader of all).
ChoiceSet = tuple[bool, int]


@dataclass(frozen=True, slots=True)
class PlannedEdition:
    selection: Selection
    audience: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`choices` names the selection of each set of topics found, None where no story fits."""

    issue: Issue
    audience: Audience
    editions: tuple[PlannedEdition, ...]  # the full one first, then by readers
    skipped: Mapping[str, int]
    choices: Mapping[ChoiceSet, str | None]  # key of the selection
    topic_bits: Mapping[str, int]  # slug -> bit, of the issue's topics

    @property
    def readers(self) -> int:
        return sum(edition.audience for edition in self.editions)


def make(
    connection: Connection,
    issue: Issue,
    audience: Audience,
    *,
    settings: Settings,
    leaves: LeafRegistry,
    now: datetime,
    after_sending: bool = False,
) -> Plan:
    """The plan as the database stands. Raises NewsletterError over `[editions] maximum`.

    `after_sending`: with the editions of those too who have the issue already; they are nobody's reader.
    """
    topic_bits = bits_in_use(connection, issue)
    chosen = people(
        connection,
        audience,
        issue_id=issue.issue_id,
        settings=settings,
        leaves=leaves,
        now=now,
    ).subquery()
    everything, mask = choice_columns(topic_bits, chosen.c.all_topics, chosen.c.topic_mask)
    counted = connection.execute(
        select(chosen.c.reason, everything, mask, func.count()).group_by(chosen.c.reason, everything, mask)
    )
    shown_to = _SHOWN_AFTER if after_sending else _TO_MAIL
    return of_counts(issue, audience, counted.all(), topic_bits, settings, shown_to=shown_to)


def of_counts(
    issue: Issue,
    audience: Audience,
    counted: Iterable[Any],
    topic_bits: Mapping[str, int],
    settings: Settings,
    *,
    shown_to: frozenset[str | None] = _TO_MAIL,
) -> Plan:
    """The plan of counted people: rows (reason or None, all_topics, mask, number)."""
    rows = [(row[0], (bool(row[1]), int(row[2])), int(row[3])) for row in counted]
    sets = {found for reason, found, _ in rows if reason in shown_to}
    selections = selections_of(issue, sets, topic_bits, settings)
    readers: Counter[str] = Counter()
    skipped: dict[str, int] = {}
    for reason, found, number in rows:
        selection = selections[found] if reason is None else None
        if selection is not None:
            readers[selection.key] += number
        else:
            why = str(reason or SkipReason.NO_STORIES)
            skipped[why] = skipped.get(why, 0) + number
    by_key = {selection.key: selection for selection in selections.values() if selection}
    if len(by_key) > settings.editions.maximum:
        raise NewsletterError(
            f"the readers' choices make {len(by_key):,} editions of this issue; "
            f"[editions] maximum is {settings.editions.maximum:,}.",
            field="[editions] maximum",
            cure="Give the stories fewer topics, choose a smaller audience, or raise the maximum.",
        )
    order = sorted(by_key, key=lambda key: (not by_key[key].is_full, -readers[key], by_key[key].stories))
    return Plan(
        issue,
        audience,
        tuple(PlannedEdition(by_key[key], readers[key]) for key in order),
        dict(sorted(skipped.items(), key=lambda item: (-item[1], item[0]))),
        {found: selection.key if selection else None for found, selection in selections.items()},
        topic_bits,
    )


def bits_in_use(connection: Connection, issue: Issue) -> dict[str, int]:
    """The bit of each topic that a story of the issue has; those that nobody ever chose have none."""
    used = {slug for tagged in issue.topics.values() for slug in tagged.topics}
    return {slug: bit for slug, bit in topics.bits(connection).items() if slug in used}


def choice_columns(
    topic_bits: Mapping[str, int],
    all_topics: ColumnElement[bool] = subscribers.c.all_topics,
    topic_mask: ColumnElement[int] = subscribers.c.topic_mask,
) -> tuple[ColumnElement[bool], ColumnElement[int]]:
    """The two columns of a ChoiceSet."""
    used = sum(1 << bit for bit in topic_bits.values())
    return all_topics, case((all_topics, 0), else_=topic_mask.bitwise_and(used))


def selections_of(
    issue: Issue, sets: set[ChoiceSet], topic_bits: Mapping[str, int], settings: Settings
) -> dict[ChoiceSet, Selection | None]:
    """The selection of each set of topics; None where no story fits."""
    chosen = {
        (wants_all, mask): None
        if wants_all
        else frozenset(slug for slug, bit in topic_bits.items() if mask >> bit & 1)
        for wants_all, mask in sets
    }
    selections = selections_for(issue, set(chosen.values()), settings)
    return {found: selections[choice] for found, choice in chosen.items()}
