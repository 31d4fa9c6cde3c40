"""A campaign becomes editions, chunks and deliveries, all at once: the moment that decides who gets what.

Prepare (no lock): the audience as it stands kept in temporary tables, the plan for it, the links, each
edition rendered once, a place for every reader. Commit (one short transaction): preparing -> sending with
all rows, each chunk with the time from which it may go; or nothing. Whoever comes second finds the campaign
no longer preparing and changes nothing.
States: campaign preparing -> sending (-> finished when nobody is to get anything); -> cancelled when
it cannot be made. Writes edition, link, campaign_story, chunk, delivery, skip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Connection,
    and_,
    func,
    insert,
    literal,
    select,
    update,
)

from mailer.config import Settings
from mailer.database import Database, staged
from mailer.delivery import letters_of, seeds, stage
from mailer.delivery import plan as planning
from mailer.delivery import timing as timings
from mailer.delivery.campaigns import finish_if_done, give_up
from mailer.delivery.limits import largest_chunk
from mailer.delivery.owners import is_gone
from mailer.delivery.plan import Leaves, Plan
from mailer.delivery.prepare import Prepared, prepare
from mailer.delivery.stage import Part
from mailer.delivery.timing import CLOCK_SLACK
from mailer.measuring import are_measured
from mailer.models import CampaignStatus, ChunkState
from mailer.tables import (
    campaign_stories,
    campaigns,
    chunks,
    deliveries,
    editions,
    skips,
    subscribers,
)
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point, reach
from subscribers.models import SubscriberStatus

# A campaign that has been preparing for longer is taken up by others: whoever made it is gone.
PREPARING_MAX = timedelta(seconds=60)
# Readers who choose topics while we render may need an edition that we have not: begin again.
PREPARE_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Places:
    """How many readers each edition has at each moment, the moments, and the readers of one chunk."""

    parts: list[Part]
    moments: list[datetime | None]
    chunk_size: int


class _Again(Exception):
    """What was prepared no longer fits the readers."""


OnFrozen = Callable[[Connection, int], None]


def _nobody_waits(_connection: Connection, _campaign_id: int) -> None:
    """Threads look for work by themselves."""


def freeze(
    database: Database,
    campaign_id: int,
    *,
    settings: Settings,
    leaves: Leaves,
    clock: Callable[[], datetime],
    on_frozen: OnFrozen = _nobody_waits,
) -> bool:
    """Freeze a preparing campaign; False when somebody else has done it.

    `on_frozen` hears of it in the same transaction.
    Raises NewsletterError when it cannot be made; the campaign is cancelled then, a planned one paused.
    """
    prepared: dict[str, Prepared] = {}
    try:
        with database.reader() as connection:
            seeds.people_of(connection, settings)
        for _ in range(PREPARE_TRIES):
            with database.staging() as connection:
                with staged(connection):
                    if not _is_preparing(connection, campaign_id):
                        return False
                    plan = stage.people_of(connection, campaign_id, settings, leaves, clock())
                reach(Point.PEOPLE_STAGED)
                prepare(database, campaign_id, plan, settings, prepared)
                with staged(connection):
                    places = _places(connection, campaign_id, plan, settings, clock())
                reach(Point.EDITIONS_PREPARED)
                try:
                    with connection.begin():
                        is_frozen = _commit(
                            connection, campaign_id, plan, places, prepared, settings, clock()
                        )
                        if is_frozen:
                            on_frozen(connection, campaign_id)
                except _Again:
                    continue
                reach(Point.FROZEN)
                return is_frozen
        raise NewsletterError(
            "readers changed their topics faster than the editions could be made.", cure="Send again."
        )
    except NewsletterError as error:
        with database.ledger() as connection:
            if _is_preparing(connection, campaign_id):
                give_up(connection, campaign_id, error.message, clock())
        raise


def take_up(
    database: Database,
    *,
    settings: Settings,
    leaves: Leaves,
    clock: Callable[[], datetime],
    on_frozen: OnFrozen = _nobody_waits,
) -> list[int]:
    """Freeze what somebody began to prepare and did not end; the campaigns frozen."""
    now = clock()
    too_old = now - PREPARING_MAX
    with database.reader() as connection:
        preparing = connection.execute(
            select(
                campaigns.c.id,
                campaigns.c.owner,
                # A planned one began to be prepared long after it was made.
                func.coalesce(campaigns.c.started_at, campaigns.c.created_at).label("since"),
            ).where(campaigns.c.status == CampaignStatus.PREPARING)
        )
        found = [
            row.id
            for row in preparing
            # A time to come was written by a clock that was ahead: nobody is at it any more.
            if not too_old < row.since <= now + CLOCK_SLACK or is_gone(row.owner)
        ]
    return [
        campaign_id
        for campaign_id in found
        if freeze(database, campaign_id, settings=settings, leaves=leaves, clock=clock, on_frozen=on_frozen)
    ]


def _is_preparing(connection: Connection, campaign_id: int) -> bool:
    status = connection.execute(
        select(campaigns.c.status).where(campaigns.c.id == campaign_id)
    ).scalar_one_or_none()
    return status == CampaignStatus.PREPARING


# -- places -----------------------------------------------------------------------------------------


def _places(
    connection: Connection, campaign_id: int, plan: Plan, settings: Settings, now: datetime
) -> _Places:
    """Give every reader a place; the moments are soonest first."""
    timing = timings.of(connection, campaign_id)
    is_local = timing is not None and timing.is_local
    zones = stage.zones_of(connection) if is_local else [None]
    times = timings.claimable_from(timing, zones, settings, now)
    moments = sorted(set(times.values()), key=lambda time: (time is not None, time))
    if is_local:
        stage.moments_of(connection, {zone: moments.index(time) for zone, time in times.items()})
    chunk_size = largest_chunk(settings, now)
    parts = stage.places_of(connection, plan, chunk_size, is_local=is_local)
    return _Places(parts, moments, chunk_size)


# -- commit -----------------------------------------------------------------------------------------


def _commit(
    connection: Connection,
    campaign_id: int,
    plan: Plan,
    places: _Places,
    prepared: dict[str, Prepared],
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
    reach(Point.FREEZING)
    _require_known_choices(connection, plan, settings)
    edition_ids = _insert_editions(connection, campaign_id, plan, prepared)
    _insert_chunks(connection, campaign_id, places, edition_ids)
    if settings.sending.seed_list:
        seeds.plan(connection, campaign_id, timings.of(connection, campaign_id), settings, now)
    _insert_stories(connection, campaign_id, plan)
    _insert_deliveries(connection, campaign_id, plan, settings)
    letters_of.blank_erased(connection, campaign_id)
    _insert_skips(connection, campaign_id)
    finish_if_done(connection, campaign_id, now)
    reach(Point.FREEZE_ENDING)
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
        .join(stage.places, stage.places.c.id == subscribers.c.id)
        .where(
            (everything.is_(True) & literal((True, 0) in missing))
            | mask.in_([bits for wants_all, bits in missing if not wants_all])
        )
        .limit(1)
    )
    if staged_here.first() is not None:
        raise _Again


def _insert_editions(
    connection: Connection, campaign_id: int, plan: Plan, prepared: dict[str, Prepared]
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
    connection: Connection,
    campaign_id: int,
    staged_places: _Places,
    edition_ids: list[int],
) -> None:
    """Chunk rows, moment by moment, all editions abreast: chunks sent one after the other then have
    readers who are neighbours in every table, and no edition waits for another."""
    size = staged_places.chunk_size
    places = sorted(
        (
            part.moment,
            start / part.readers,
            part.edition,
            start // size,
            min(size, part.readers - start),
        )
        for part in staged_places.parts
        for start in range(0, part.readers, size)
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
                "recipients": letters,
                "not_before": staged_places.moments[moment],
            }
            for moment, _, edition, _, letters in places
        ],
    ).scalars()
    connection.execute(
        insert(stage.targets),
        [
            {
                "edition": edition,
                "moment": moment,
                "chunk": chunk,
                "edition_id": edition_ids[edition],
                "chunk_id": chunk_id,
            }
            for (moment, _, edition, chunk, _), chunk_id in zip(places, ids, strict=True)
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
                stage.places.c.id,
                stage.targets.c.edition_id,
                stage.targets.c.chunk_id,
                subscribers.c.email,
                are_measured(settings.tracking.individual, subscribers.c.track_consent),
            )
            .join(subscribers, subscribers.c.id == stage.places.c.id)
            .join(
                stage.targets,
                and_(
                    stage.targets.c.edition == stage.places.c.edition,
                    stage.targets.c.moment == stage.places.c.moment,
                    stage.targets.c.chunk == stage.places.c.chunk,
                ),
            )
            .order_by(stage.places.c.id),
            include_defaults=False,
        )
    )


def _insert_skips(connection: Connection, campaign_id: int) -> None:
    connection.execute(
        insert(skips).from_select(
            ["campaign_id", "subscriber_id", "reason"],
            select(literal(campaign_id), stage.skipped.c.id, stage.skipped.c.reason).order_by(
                stage.skipped.c.id
            ),
        )
    )
