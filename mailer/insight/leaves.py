"""The conditions of a segment that read what became of letters: received, opened, clicked.

Opens and clicks are known of readers who may be measured, and only from the day they agreed. Of all
others a condition here is in doubt, and neither it nor its opposite picks them: no rule turns against
a reader for being unmeasured (docs/decisions/0041-unmeasured-readers.md). `received` is known of everybody.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    false,
    literal,
    not_,
    or_,
    select,
    true,
)

from mailer.config import Settings
from mailer.event_models import Verdict
from mailer.measuring import Individual, are_measured
from mailer.models import ChunkState, Handover
from mailer.tables import (
    campaign_stories,
    campaigns,
    chunks,
    deliveries,
    events,
    holds_the_place,
    issues,
    links,
)
from subscribers.models import ConsentAction, ConsentPurpose
from subscribers.segment_leaves import days_value, first_day, own_leaves
from subscribers.segment_leaves import registry as by_name
from subscribers.segment_rules import (
    Leaf,
    LeafRegistry,
    Moment,
    Phrase,
    Refused,
    keyed_value,
    nearest_or_all,
    number_value,
    text_value,
    true_or_false,
)
from subscribers.tables import consent, subscriber

# Ids are 64-bit; a larger number is no campaign, and no database would take it.
MAX_ID = 2**31 - 1


def registry(connection: Connection, settings: Settings, *, is_new: bool = False) -> LeafRegistry:
    """Every condition that a rule may use on this site, made for one connection; see `own_leaves`."""
    topics = {slug: topic.name for slug, topic in settings.topics.items()}
    individual = settings.tracking.individual
    return by_name(
        [
            *own_leaves(connection, topics, is_new=is_new).values(),
            _within_days("opened", subscriber.c.last_engaged_on, individual),
            _within_days("clicked", subscriber.c.last_clicked_on, individual),
            _clicked(connection, individual),
            _received(connection),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Days:
    days: int
    or_unmeasured: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """A campaign, or one story or place of it."""

    campaign_id: int
    issue_id: int
    issue_slug: str
    frozen_at: datetime
    story: int | None = None
    place: str | None = None

    @property
    def words(self) -> str:
        return f"campaign {self.campaign_id} ({self.issue_slug})"


def _within_days(verb: str, last: Column[Any], individual: Individual) -> Leaf:
    name = f"{verb}_within_days"

    def read(value: Any) -> _Days:
        if not isinstance(value, dict):
            return _Days(days_value(value, f"'{name}'"), or_unmeasured=False)
        keyed = keyed_value(value, f"'{name}'", required=("days",), optional=("or_unmeasured",))
        wanted = true_or_false(keyed.get("or_unmeasured", False), "'or_unmeasured'", ".or_unmeasured")
        return _Days(days_value(keyed["days"], "'days'", ".days"), wanted)

    def condition(argument: _Days, moment: Moment) -> ColumnElement[bool]:
        since = first_day(argument.days, moment.now)
        did = and_(last.is_not(None), last >= since)
        doubt = moment.doubt or (argument.or_unmeasured and not moment.excluding)
        return _known(did, _midnight(since), individual, doubt=doubt)

    def words(argument: _Days) -> Phrase:
        did = "opened or clicked" if verb == "opened" else "clicked"
        span = "the last day" if argument.days == 1 else f"the last {argument.days} days"
        if argument.or_unmeasured:
            return Phrase(
                f"{did} in {span} or cannot be measured", f"are measured and have not {did} in {span}"
            )
        return Phrase(f"are measured and {did} in {span}", f"are measured and have not {did} in {span}")

    return Leaf(
        name=name,
        example=90,
        meaning=(
            "a person opened a letter, or clicked in one, within this many days; readers who may not be "
            "measured are neither picked nor passed over, unless `or_unmeasured` counts them in"
            if verb == "opened"
            else "a person clicked in a letter within this many days; measured readers only, as above"
        ),
        read=read,
        condition=condition,
        words=words,
        is_wide=True,
    )


def _clicked(connection: Connection, individual: Individual) -> Leaf:
    def read(value: Any) -> _Target:
        keyed = keyed_value(value, "'clicked'", required=("campaign",), optional=("story", "place"))
        if "story" in keyed and "place" in keyed:
            raise Refused("'clicked' takes a story or a place, not both.")
        target = _campaign(connection, keyed["campaign"], ".campaign")
        if "story" in keyed:
            return _story(connection, target, keyed["story"])
        return _place(connection, target, keyed["place"]) if "place" in keyed else target

    def condition(target: _Target, moment: Moment) -> ColumnElement[bool]:
        did = subscriber.c.id.in_(_clickers(target))
        return _known(did, target.frozen_at, individual, doubt=moment.doubt)

    def words(target: _Target) -> Phrase:
        where = f" of {target.words}"
        if target.story is not None:
            where = f" story {target.story}{where}"
        elif target.place is not None:
            where = f" “{target.place}”{where}"
        else:
            where = f" in {target.words}"
        return Phrase(f"are measured and clicked{where}", f"are measured and did not click{where}")

    return Leaf(
        name="clicked",
        example={"campaign": 3, "story": 2},
        meaning="a person clicked in this campaign: anywhere, on a link of this story, or at this place "
        '(`"place": "cta:1"`); measured readers only, as above',
        read=read,
        condition=condition,
        words=words,
    )


def _received(connection: Connection) -> Leaf:
    def condition(target: _Target, _moment: Moment) -> ColumnElement[bool]:
        return and_(_has_letter(target), subscriber.c.id.not_in(_not_handed_over(target)))

    return Leaf(
        name="received",
        example={"campaign": 3},
        meaning="a letter of this campaign was handed over for this reader; known of everybody",
        read=lambda value: _campaign(
            connection,
            keyed_value(value, "'received'", required=("campaign",), optional=())["campaign"],
            ".campaign",
        ),
        condition=condition,
        words=lambda target: Phrase(f"received {target.words}", f"did not receive {target.words}"),
        is_wide=True,
        holders=_receivers,
    )


def _known(
    did: ColumnElement[bool], since: datetime, individual: Individual, *, doubt: bool
) -> ColumnElement[bool]:
    """Whether a reader did something since a day; `doubt` of those whom nobody measured all that time."""
    if individual == "nobody":
        return true() if doubt else false()
    agrees = are_measured(individual, subscriber.c.track_consent.is_(True))
    if not doubt:
        return and_(agrees, did)
    late = subscriber.c.created_at > since
    if individual == "with-consent":
        late = or_(late, subscriber.c.id.in_(_agreed_after(since)))
    return or_(not_(agrees), did, late)


def _agreed_after(since: datetime) -> Select[Any]:
    return select(consent.c.subscriber_id).where(
        consent.c.purpose == ConsentPurpose.TRACK,
        consent.c.action == ConsentAction.GIVEN,
        consent.c.at > since,
    )


def _clickers(target: _Target) -> Select[Any]:
    clicks = (
        select(deliveries.c.subscriber_id)
        .join(events, events.c.delivery_id == deliveries.c.id)
        .where(
            events.c.campaign_id == target.campaign_id,
            events.c.kind == "click",
            events.c.verdict == Verdict.HUMAN,
            events.c.settled,
            deliveries.c.subscriber_id.is_not(None),
        )
    )
    if target.story is None and target.place is None:
        return clicks
    wanted = select(links.c.id).where(links.c.campaign_id == target.campaign_id)
    if target.story is not None:
        wanted = wanted.where(links.c.story_number == target.story)
    else:
        wanted = wanted.where(links.c.place == target.place)
    return clicks.where(events.c.link_id.in_(wanted))


def _has_letter(target: _Target) -> ColumnElement[bool]:
    # In the very words of the index `uq_delivery_once`: a million readers are looked up in it alone.
    letter = select(literal(1)).where(
        deliveries.c.issue_id == target.issue_id,
        deliveries.c.subscriber_id == subscriber.c.id,
        holds_the_place(),
    )
    return letter.exists()


def _receivers(target: _Target) -> Select[Any]:
    """Everybody of whom `_received` is true, from the same index alone."""
    return select(deliveries.c.subscriber_id).where(
        deliveries.c.issue_id == target.issue_id,
        deliveries.c.subscriber_id.is_not(None),
        holds_the_place(),
        deliveries.c.subscriber_id.not_in(_not_handed_over(target)),
    )


def _not_handed_over(target: _Target) -> Select[Any]:
    """Readers with a letter of this issue that this campaign has not handed over: few, by their chunks."""
    campaign = chunks.c.campaign_id
    of_issue = select(campaigns.c.id).where(campaigns.c.issue_id == target.issue_id)
    is_whole = (chunks.c.state == ChunkState.ACCEPTED) & (chunks.c.rejected == 0) & (chunks.c.withheld == 0)
    return (
        select(deliveries.c.subscriber_id)
        .join(chunks, chunks.c.id == deliveries.c.chunk_id)
        .where(
            campaign.in_(of_issue),
            or_(campaign != target.campaign_id, not_(is_whole)),
            or_(deliveries.c.campaign_id != target.campaign_id, deliveries.c.handover != Handover.ACCEPTED),
            deliveries.c.subscriber_id.is_not(None),
            holds_the_place(),
        )
    )


def _campaign(connection: Connection, value: Any, at: str) -> _Target:
    number = number_value(value, "a campaign", low=1, high=MAX_ID, at=at)
    row = connection.execute(
        select(campaigns.c.issue_id, issues.c.slug, campaigns.c.frozen_at, campaigns.c.created_at)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(campaigns.c.id == number)
    ).one_or_none()
    if row is None:
        raise Refused(f"there is no campaign {number}.", "'mailer campaigns' lists them.", at=at)
    return _Target(number, row.issue_id, row.slug, row.frozen_at or row.created_at)


def _story(connection: Connection, target: _Target, value: Any) -> _Target:
    number = number_value(value, "a story", low=1, high=MAX_ID, at=".story")
    known = connection.execute(
        select(campaign_stories.c.number).where(campaign_stories.c.campaign_id == target.campaign_id)
    ).scalars()
    if number not in (there := sorted(known)):
        raise Refused(f"{target.words} has no story {number}; it has {_range(there)}.", at=".story")
    return _Target(target.campaign_id, target.issue_id, target.issue_slug, target.frozen_at, story=number)


def _place(connection: Connection, target: _Target, value: Any) -> _Target:
    place = text_value(value, "a place", ".place")
    known = connection.execute(
        select(links.c.place).where(links.c.campaign_id == target.campaign_id).distinct()
    ).scalars()
    if place not in (there := sorted(known)):
        raise Refused(f"{target.words} has no link at '{place}'.", nearest_or_all(place, there), at=".place")
    return _Target(target.campaign_id, target.issue_id, target.issue_slug, target.frozen_at, place=place)


def _range(numbers: list[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if numbers else "none"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
