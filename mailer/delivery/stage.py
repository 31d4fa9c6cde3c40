"""The readers of a campaign in temporary tables, each with an edition and a chunk: a freeze's notes.

Nobody else sees these tables and nobody waits while they are filled (`database.staged`). They hold the
audience as it was at one moment; what happens to people later is looked at when letters are claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    func,
    insert,
    literal,
    select,
)

from mailer.config import Settings
from mailer.delivery import plan as planning
from mailer.delivery.audience import Audience, SkipReason, people
from mailer.delivery.plan import Leaves, Plan
from mailer.issues.store import load_revision
from mailer.tables import campaigns, subscribers
from subscribers.models import BigId

_scratch = MetaData()
# Readers as they were when the freeze began, kept by what they chose: counting and numbering then
# need no sorting.
readers = Table(
    "freeze_reader",
    _scratch,
    Column("all_topics", Boolean, primary_key=True),
    Column("mask", BigId, primary_key=True, autoincrement=False),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
skipped = Table(
    "freeze_skipped",
    _scratch,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
    prefixes=["TEMPORARY"],
)
# Of a campaign that goes at each reader's own time: the zone of each, and the moments numbered.
zones = Table(
    "freeze_zone",
    _scratch,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("zone", String, nullable=False),
    prefixes=["TEMPORARY"],
)
moments = Table(
    "freeze_moment",
    _scratch,
    Column("zone", String, primary_key=True),
    Column("moment", Integer, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
# A set of topics and a moment -> the number of the edition within this freeze, and how many of its
# readers of this moment chose sets that come before.
choices = Table(
    "freeze_choice",
    _scratch,
    Column("all_topics", Boolean, primary_key=True),
    Column("mask", BigId, primary_key=True, autoincrement=False),
    Column("moment", Integer, primary_key=True, autoincrement=False),
    Column("edition", Integer, nullable=False),
    Column("before", BigId, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
places = Table(
    "freeze_place",
    _scratch,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("edition", Integer, nullable=False),
    Column("moment", Integer, nullable=False),  # 0 where all letters go at one time
    Column("chunk", Integer, nullable=False),  # from 0, within the edition and the moment
    prefixes=["TEMPORARY"],
)
targets = Table(
    "freeze_target",
    _scratch,
    Column("edition", Integer, primary_key=True, autoincrement=False),
    Column("moment", Integer, primary_key=True, autoincrement=False),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("edition_id", BigId, nullable=False),
    Column("chunk_id", BigId, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)


def people_of(
    connection: Connection, campaign_id: int, settings: Settings, leaves: Leaves, now: datetime
) -> Plan:
    """Keep the audience as it stands, each with their topics or a reason; the plan for it."""
    row = connection.execute(
        select(campaigns.c.revision_id, campaigns.c.audience).where(campaigns.c.id == campaign_id)
    ).one()
    issue = load_revision(connection, row.revision_id, settings)
    audience = Audience.from_json(row.audience)
    topic_bits = planning.bits_in_use(connection, issue)
    chosen = people(
        connection,
        audience,
        issue_id=issue.issue_id,
        settings=settings,
        leaves=leaves(connection),
        now=now,
    ).subquery()
    _scratch.create_all(connection)
    everything, mask = planning.choice_columns(topic_bits, chosen.c.all_topics, chosen.c.topic_mask)
    connection.execute(
        insert(readers).from_select(
            ["all_topics", "mask", "id"],
            select(everything, mask, chosen.c.id).where(chosen.c.reason.is_(None)),
        )
    )
    connection.execute(
        insert(skipped).from_select(
            ["id", "reason"], select(chosen.c.id, chosen.c.reason).where(chosen.c.reason.is_not(None))
        )
    )
    sets = (readers.c.all_topics, readers.c.mask)
    chosen_sets = connection.execute(select(literal(None), *sets, func.count()).group_by(*sets)).all()
    reasons = connection.execute(
        select(skipped.c.reason, literal(False), literal(0), func.count()).group_by(skipped.c.reason)
    ).all()
    return planning.of_counts(issue, audience, [*chosen_sets, *reasons], topic_bits, settings)


def zones_of(connection: Connection) -> list[str | None]:
    """Note the zone of every reader; the zones there are, None for readers without one."""
    connection.execute(
        insert(zones).from_select(
            ["id", "zone"],
            select(readers.c.id, func.coalesce(subscribers.c.timezone, "")).outerjoin(
                subscribers, subscribers.c.id == readers.c.id
            ),
        )
    )
    return [zone or None for zone in connection.execute(select(zones.c.zone).distinct()).scalars()]


def moments_of(connection: Connection, numbers: Mapping[str | None, int]) -> None:
    """Say at which moment (by its number) the readers of each zone get their letters."""
    connection.execute(
        insert(moments), [{"zone": zone or "", "moment": number} for zone, number in numbers.items()]
    )


@dataclass(frozen=True, slots=True)
class Part:
    """The readers of one edition who get it at the same moment; both by their numbers in this freeze."""

    edition: int
    moment: int
    readers: int


def places_of(connection: Connection, plan: Plan, chunk_size: int, *, is_local: bool = False) -> list[Part]:
    """Give every reader an edition, a moment and a chunk of both; who has no edition is skipped."""
    numbers = {edition.selection.key: number for number, edition in enumerate(plan.editions)}
    source: FromClause = readers
    moment: ColumnElement[Any] = literal(0)
    if is_local:
        source = readers.join(zones, zones.c.id == readers.c.id).join(moments, moments.c.zone == zones.c.zone)
        moment = moments.c.moment
    sets = [readers.c.all_topics, readers.c.mask]
    # A number within what all readers share is no column to group by.
    own_sets = [*sets, moments.c.moment] if is_local else sets
    counted = connection.execute(
        select(sets[0], sets[1], moment, func.count())
        .select_from(source)
        .group_by(*own_sets)
        .order_by(*own_sets)
    ).all()
    before: dict[tuple[int, int], int] = {}
    rows = []
    for wants_all, mask, at, number in counted:
        key = plan.choices[bool(wants_all), mask]
        if key is None:
            continue
        part = numbers[key], at
        rows.append(
            {
                "all_topics": wants_all,
                "mask": mask,
                "moment": at,
                "edition": part[0],
                "before": before.get(part, 0),
            }
        )
        before[part] = before.get(part, 0) + number
    if rows:
        connection.execute(insert(choices), rows)
    chosen = and_(
        choices.c.all_topics == readers.c.all_topics,
        choices.c.mask == readers.c.mask,
        *([choices.c.moment == moments.c.moment] if is_local else []),
    )
    within = func.row_number().over(partition_by=own_sets, order_by=readers.c.id) - 1
    connection.execute(
        insert(places).from_select(
            ["id", "edition", "moment", "chunk"],
            select(
                readers.c.id,
                choices.c.edition,
                choices.c.moment,
                (choices.c.before + within) // chunk_size,
            )
            .select_from(source)
            .join(choices, chosen),
        )
    )
    connection.execute(
        insert(skipped).from_select(
            ["id", "reason"],
            select(readers.c.id, literal(str(SkipReason.NO_STORIES)))
            .select_from(source)
            .outerjoin(choices, chosen)
            .where(choices.c.edition.is_(None)),
        )
    )
    return [Part(edition, at, number) for (edition, at), number in sorted(before.items())]
