"""A campaign becomes editions, chunks and deliveries, all at once: the moment that decides who gets what.

Prepare (no lock): the audience as it stands kept in temporary tables, the plan for it, the links, each
edition rendered once, a place for every reader. Commit (one short transaction): preparing -> sending
with all rows, or nothing. Whoever comes second finds the campaign no longer preparing and changes nothing.
States: campaign preparing -> sending (-> finished when nobody is to get anything); -> cancelled when
it cannot be made. Writes edition, link, campaign_story, chunk, delivery, skip.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
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
    update,
)

from mailer import dialect
from mailer.config import Settings
from mailer.database import Database, staged
from mailer.delivery import plan as planning
from mailer.delivery.audience import Audience, SkipReason, people
from mailer.delivery.body import Individual, draw_nonce
from mailer.delivery.campaigns import cancel, finish_if_done
from mailer.delivery.owners import is_gone
from mailer.delivery.plan import Leaves, Plan
from mailer.delivery.tables import (
    campaign_stories,
    campaigns,
    chunks,
    deliveries,
    editions,
    links,
    skips,
    subscribers,
)
from mailer.editions.compose import compose
from mailer.editions.content import EditionContent
from mailer.editions.links import CampaignLinks, doors_of, link_places
from mailer.editions.render import RenderedEdition, render
from mailer.issues.store import load_revision
from mailer.links import Slots
from mailer.models import CampaignStatus, ChunkState
from subscribers.errors import NewsletterError
from subscribers.models import BigId, SubscriberStatus

# A campaign that has been preparing for longer is taken up by others: whoever made it is gone.
PREPARING_MAX = timedelta(seconds=60)
# Readers who choose topics while we render may need an edition that we have not: begin again.
PREPARE_TRIES = 5

_scratch = MetaData()
# Readers as they were when the freeze began, kept by what they chose: counting and numbering then
# need no sorting.
_reader = Table(
    "freeze_reader",
    _scratch,
    Column("all_topics", Boolean, primary_key=True),
    Column("mask", BigId, primary_key=True, autoincrement=False),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
_skipped = Table(
    "freeze_skipped",
    _scratch,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
    prefixes=["TEMPORARY"],
)
# A set of topics -> the number of the edition within this freeze, and how many of its readers chose
# sets that come before.
_choice = Table(
    "freeze_choice",
    _scratch,
    Column("all_topics", Boolean, primary_key=True),
    Column("mask", BigId, primary_key=True, autoincrement=False),
    Column("edition", Integer, nullable=False),
    Column("before", BigId, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
_place = Table(
    "freeze_place",
    _scratch,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("edition", Integer, nullable=False),
    Column("chunk", Integer, nullable=False),  # from 0, within the edition
    prefixes=["TEMPORARY"],
)
_target = Table(
    "freeze_target",
    _scratch,
    Column("edition", Integer, primary_key=True, autoincrement=False),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("edition_id", BigId, nullable=False),
    Column("chunk_id", BigId, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    content: EditionContent
    rendered: RenderedEdition
    nonce: str


class _Again(Exception):
    """What was prepared no longer fits the readers."""


def freeze(
    database: Database,
    campaign_id: int,
    *,
    settings: Settings,
    leaves: Leaves,
    clock: Callable[[], datetime],
) -> bool:
    """Freeze a preparing campaign; False when somebody else has done it.

    Raises NewsletterError when it cannot be made; the campaign is cancelled then.
    """
    prepared: dict[str, _Prepared] = {}
    try:
        for _ in range(PREPARE_TRIES):
            with database.staging() as connection:
                with staged(connection):
                    if not _is_preparing(connection, campaign_id):
                        return False
                    plan = _stage_people(connection, campaign_id, settings, leaves, clock())
                _prepare(database, campaign_id, plan, settings, prepared)
                with staged(connection):
                    _stage_places(connection, plan, settings.sending.chunk_size)
                try:
                    with connection.begin():
                        return _commit(connection, campaign_id, plan, prepared, settings, clock())
                except _Again:
                    continue
        raise NewsletterError(
            "readers changed their topics faster than the editions could be made.", cure="Send again."
        )
    except NewsletterError:
        with database.ledger() as connection:
            if _is_preparing(connection, campaign_id):
                cancel(connection, campaign_id, clock())
        raise


def take_up(
    database: Database, *, settings: Settings, leaves: Leaves, clock: Callable[[], datetime]
) -> list[int]:
    """Freeze what somebody began to prepare and did not end; the campaigns frozen."""
    too_old = clock() - PREPARING_MAX
    with database.reader() as connection:
        preparing = connection.execute(
            select(campaigns.c.id, campaigns.c.owner, campaigns.c.created_at).where(
                campaigns.c.status == CampaignStatus.PREPARING
            )
        )
        found = [row.id for row in preparing if row.created_at <= too_old or is_gone(row.owner)]
    return [
        campaign_id
        for campaign_id in found
        if freeze(database, campaign_id, settings=settings, leaves=leaves, clock=clock)
    ]


def _is_preparing(connection: Connection, campaign_id: int) -> bool:
    status = connection.execute(
        select(campaigns.c.status).where(campaigns.c.id == campaign_id)
    ).scalar_one_or_none()
    return status == CampaignStatus.PREPARING


# -- prepare ----------------------------------------------------------------------------------------


def _prepare(
    database: Database, campaign_id: int, plan: Plan, settings: Settings, prepared: dict[str, _Prepared]
) -> None:
    """Render what `plan` needs and `prepared` lacks; the link rows come first, since letters name them."""
    contents = {
        edition.selection.key: compose(plan.issue, edition.selection, settings)
        for edition in plan.editions
        if edition.selection.key not in prepared
    }
    if not contents:
        return
    ids = _link_ids(database, campaign_id, contents.values())
    for key, content in contents.items():
        prepared[key] = _render(content, plan.issue.slug, ids, settings)


def _link_ids(
    database: Database, campaign_id: int, contents: Iterable[EditionContent]
) -> dict[tuple[str, str], int]:
    wanted = {(link.place, link.url): link for content in contents for link in link_places(content)}
    with database.ledger() as connection:
        if wanted:
            connection.execute(
                dialect.insert(connection, links).on_conflict_do_nothing(
                    index_elements=["campaign_id", "place", "url"]
                ),
                [
                    {
                        "campaign_id": campaign_id,
                        "place": link.place,
                        "url": link.url,
                        "story_number": link.story_number,
                    }
                    for link in wanted.values()
                ],
            )
        rows = connection.execute(
            select(links.c.place, links.c.url, links.c.id).where(links.c.campaign_id == campaign_id)
        )
        return {(place, url): number for place, url, number in rows}


def _render(
    content: EditionContent, slug: str, ids: dict[tuple[str, str], int], settings: Settings
) -> _Prepared:
    """The letter with slot keys whose nonce occurs nowhere but in them."""
    doors = doors_of(settings)
    while True:
        nonce = draw_nonce(repr(content), repr(settings.newsletter), slug, doors.base_url)
        slots = Slots(nonce)
        rendered = render(content, settings, CampaignLinks(doors, slots, ids, slug), slots)
        if nonce not in content.subject:
            return _Prepared(content, rendered, nonce)


# -- stage ------------------------------------------------------------------------------------------


def _stage_people(
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
        insert(_reader).from_select(
            ["all_topics", "mask", "id"],
            select(everything, mask, chosen.c.id).where(chosen.c.reason.is_(None)),
        )
    )
    connection.execute(
        insert(_skipped).from_select(
            ["id", "reason"], select(chosen.c.id, chosen.c.reason).where(chosen.c.reason.is_not(None))
        )
    )
    sets = (_reader.c.all_topics, _reader.c.mask)
    readers = connection.execute(select(literal(None), *sets, func.count()).group_by(*sets)).all()
    skipped = connection.execute(
        select(_skipped.c.reason, literal(False), literal(0), func.count()).group_by(_skipped.c.reason)
    ).all()
    return planning.of_counts(issue, audience, [*readers, *skipped], topic_bits, settings)


def _stage_places(connection: Connection, plan: Plan, chunk_size: int) -> None:
    """Give every reader an edition and a chunk of it; who has no edition is skipped."""
    numbers = {edition.selection.key: number for number, edition in enumerate(plan.editions)}
    sets = (_reader.c.all_topics, _reader.c.mask)
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
        connection.execute(insert(_choice), rows)
    chosen = and_(_choice.c.all_topics == _reader.c.all_topics, _choice.c.mask == _reader.c.mask)
    within = func.row_number().over(partition_by=sets, order_by=_reader.c.id) - 1
    connection.execute(
        insert(_place).from_select(
            ["id", "edition", "chunk"],
            select(_reader.c.id, _choice.c.edition, (_choice.c.before + within) // chunk_size).join(
                _choice, chosen
            ),
        )
    )
    connection.execute(
        insert(_skipped).from_select(
            ["id", "reason"],
            select(_reader.c.id, literal(str(SkipReason.NO_STORIES)))
            .outerjoin(_choice, chosen)
            .where(_choice.c.edition.is_(None)),
        )
    )


# -- commit -----------------------------------------------------------------------------------------


def _commit(
    connection: Connection,
    campaign_id: int,
    plan: Plan,
    prepared: dict[str, _Prepared],
    settings: Settings,
    now: datetime,
) -> bool:
    changed = connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status == CampaignStatus.PREPARING)
        .values(status=CampaignStatus.SENDING, frozen_at=now, started_at=now)
    )
    if changed.rowcount != 1:
        return False
    _require_known_choices(connection, plan, settings)
    edition_ids = _insert_editions(connection, campaign_id, plan, prepared)
    _insert_chunks(connection, campaign_id, plan, edition_ids, settings.sending.chunk_size)
    _insert_stories(connection, campaign_id, plan)
    _insert_deliveries(connection, campaign_id, plan, settings)
    _insert_skips(connection, campaign_id)
    finish_if_done(connection, campaign_id, now)
    return True


def _require_known_choices(connection: Connection, plan: Plan, settings: Settings) -> None:
    """Raise _Again when somebody has chosen, since the stage, topics that need another edition.

    The index alone is read: every active person, of this audience or not; a set that the plan does not
    know but whose edition it has anyway is no reason to begin again.
    """
    if planning.bits_in_use(connection, plan.issue) != plan.topic_bits:
        raise _Again  # a topic of the issue was chosen for the first time ever
    everything, mask = planning.choice_columns(plan.topic_bits)
    found = connection.execute(
        select(subscribers.c.all_topics, subscribers.c.topic_mask)
        .where(subscribers.c.status == SubscriberStatus.ACTIVE)
        .distinct()
    )
    used = sum(1 << bit for bit in plan.topic_bits.values())
    sets = {(bool(row[0]), 0 if row[0] else int(row[1]) & used) for row in found}
    new = sets - plan.choices.keys()
    if not new:
        return
    known = {edition.selection.key for edition in plan.editions}
    missing = [
        found
        for found, selection in planning.selections_of(plan.issue, new, plan.topic_bits, settings).items()
        if selection is not None and selection.key not in known
    ]
    if not missing:
        return
    staged_here = connection.execute(
        select(subscribers.c.id)
        .join(_place, _place.c.id == subscribers.c.id)
        .where(
            (everything.is_(True) & literal((True, 0) in missing))
            | mask.in_([bits for wants_all, bits in missing if not wants_all])
        )
        .limit(1)
    )
    if staged_here.first() is not None:
        raise _Again


def _insert_editions(
    connection: Connection, campaign_id: int, plan: Plan, prepared: dict[str, _Prepared]
) -> list[int]:
    """Edition rows; their ids in the order of the plan."""
    return [
        connection.execute(
            insert(editions)
            .values(
                campaign_id=campaign_id,
                key=planned.selection.key,
                label=ready.content.label,
                topics=list(planned.selection.topics),
                stories=list(planned.selection.stories),
                topic_stories=list(planned.selection.topic_stories),
                subject=ready.content.subject,
                preheader=ready.content.preheader,
                html=ready.rendered.html,
                text=ready.rendered.text,
                html_bytes=ready.rendered.html_bytes,
                text_bytes=ready.rendered.text_bytes,
                slot_nonce=ready.nonce,
                audience=planned.audience,
            )
            .returning(editions.c.id)
        ).scalar_one()
        for planned in plan.editions
        for ready in [prepared[planned.selection.key]]
    ]


def _insert_chunks(
    connection: Connection, campaign_id: int, plan: Plan, edition_ids: list[int], chunk_size: int
) -> None:
    """Chunk rows, all editions abreast: chunks sent one after the other then have readers who are
    neighbours in every table, and no edition waits for another."""
    places = sorted(
        (start / planned.audience, edition, start // chunk_size, min(chunk_size, planned.audience - start))
        for edition, planned in enumerate(plan.editions)
        for start in range(0, planned.audience, chunk_size)
    )
    if not places:
        return
    ids = connection.execute(
        insert(chunks).returning(chunks.c.id, sort_by_parameter_order=True),
        [
            {
                "campaign_id": campaign_id,
                "edition_id": edition_ids[edition],
                "state": ChunkState.WAITING,
                "recipients": size,
            }
            for _, edition, _, size in places
        ],
    ).scalars()
    connection.execute(
        insert(_target),
        [
            {"edition": edition, "chunk": chunk, "edition_id": edition_ids[edition], "chunk_id": chunk_id}
            for (_, edition, chunk, _), chunk_id in zip(places, ids, strict=True)
        ],
    )


def _insert_stories(connection: Connection, campaign_id: int, plan: Plan) -> None:
    connection.execute(
        insert(campaign_stories),
        [
            {
                "campaign_id": campaign_id,
                "number": story.number,
                "story_id": story.id,
                "title": story.title,
                "topics": list(plan.issue.topics[story.number].topics),
            }
            for story in plan.issue.document.stories
        ],
    )


def _insert_deliveries(connection: Connection, campaign_id: int, plan: Plan, settings: Settings) -> None:
    # In the order of people: three of the four trees of `delivery` then grow at their end only.
    connection.execute(
        insert(deliveries).from_select(
            ["campaign_id", "issue_id", "subscriber_id", "edition_id", "chunk_id", "email", "measured"],
            select(
                literal(campaign_id),
                literal(plan.issue.issue_id),
                _place.c.id,
                _target.c.edition_id,
                _target.c.chunk_id,
                subscribers.c.email,
                is_measured(settings.tracking.individual, subscribers.c.track_consent),
            )
            .join(subscribers, subscribers.c.id == _place.c.id)
            .join(_target, and_(_target.c.edition == _place.c.edition, _target.c.chunk == _place.c.chunk))
            .order_by(_place.c.id),
            include_defaults=False,
        )
    )


def _insert_skips(connection: Connection, campaign_id: int) -> None:
    connection.execute(
        insert(skips).from_select(
            ["campaign_id", "subscriber_id", "reason"],
            select(literal(campaign_id), _skipped.c.id, _skipped.c.reason).order_by(_skipped.c.id),
        )
    )


def is_measured(individual: Individual, consents: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a letter's reader is counted in person, as `body` decides for the links of each letter."""
    if individual == "with-consent":
        return consents
    return literal(individual == "everyone")
