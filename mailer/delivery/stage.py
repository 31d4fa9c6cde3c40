"""The readers of a campaign in temporary tables, each with an edition and a chunk: a freeze's notes.

Nobody else sees these tables and nobody waits while they are filled (`database.staged`). They hold the
audience as it was at one moment; what happens to people later is looked at when letters are claimed.
"""

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
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
from mailer.tables import campaigns
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
# A set of topics -> the number of the edition within this freeze, and how many of its readers chose
# sets that come before.
choices = Table(
    "freeze_choice",
    _scratch,
    Column("all_topics", Boolean, primary_key=True),
    Column("mask", BigId, primary_key=True, autoincrement=False),
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
    Column("chunk", Integer, nullable=False),  # from 0, within the edition
    prefixes=["TEMPORARY"],
)
targets = Table(
    "freeze_target",
    _scratch,
    Column("edition", Integer, primary_key=True, autoincrement=False),
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


def places_of(connection: Connection, plan: Plan, chunk_size: int) -> None:
    """Give every reader an edition and a chunk of it; who has no edition is skipped."""
    numbers = {edition.selection.key: number for number, edition in enumerate(plan.editions)}
    sets = (readers.c.all_topics, readers.c.mask)
    counted = connection.execute(select(*sets, func.count()).group_by(*sets).order_by(*sets)).all()
    before = dict.fromkeys(numbers.values(), 0)
    rows = []
    for wants_all, mask, number in counted:
        key = plan.choices[bool(wants_all), mask]
        if key is None:
            continue
        edition = numbers[key]
        rows.append({"all_topics": wants_all, "mask": mask, "edition": edition, "before": before[edition]})
        before[edition] += number
    if rows:
        connection.execute(insert(choices), rows)
    chosen = and_(choices.c.all_topics == readers.c.all_topics, choices.c.mask == readers.c.mask)
    within = func.row_number().over(partition_by=sets, order_by=readers.c.id) - 1
    connection.execute(
        insert(places).from_select(
            ["id", "edition", "chunk"],
            select(readers.c.id, choices.c.edition, (choices.c.before + within) // chunk_size).join(
                choices, chosen
            ),
        )
    )
    connection.execute(
        insert(skipped).from_select(
            ["id", "reason"],
            select(readers.c.id, literal(str(SkipReason.NO_STORIES)))
            .outerjoin(choices, chosen)
            .where(choices.c.edition.is_(None)),
        )
    )
