"""The seed list: a few people who get every edition before everybody else, and can still say stop.

A seed's letter is a test letter in all but its subject: its links count nothing, its unsubscribe opens no
door, and no number knows of it. Each edition of a campaign is handed over to them at most once: whoever dies
in the middle leaves a letter that is not sent again.

States read and written here (seed_letter): `plan` -> waiting, with the freeze · `_claim` waiting -> claimed ·
`send_due` claimed -> accepted | refused | uncertain, or waiting again on proof that it was not taken; refused
too where no letter can be made, so that nobody else's waits for it · `settle` claimed for longer than a call
may last -> uncertain; waiting -> refused when the campaign is over

Of "send now" nobody else gets anything for a quarter of an hour after each claim here, whenever that is.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, literal, or_, select, update

from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.delivery.audience import is_allowed
from mailer.delivery.campaigns import hold_back
from mailer.delivery.needs import Sending
from mailer.delivery.standing import FINAL
from mailer.delivery.testletters import call_for
from mailer.delivery.timing import SEED_LEAD, Timing
from mailer.delivery.transport import Accepted, Answer, BadRecipients, Busy, NotSent, Stopped, Uncertain
from mailer.editions.compose import compose, whole
from mailer.editions.content import EditionContent, Selection
from mailer.house_models import SeedState
from mailer.issues.store import load_revision
from mailer.issues.values import Issue
from mailer.models import CampaignStatus
from mailer.tables import campaigns, editions, list_members, seed_letters, subscribers, suppressions
from subscribers import lists
from subscribers.addresses import Address, parse_address
from subscribers.errors import NewsletterError
from subscribers.models import SubscriberStatus

# One call takes no more.
PEOPLE_MAX = 1_000
# What was surely not taken is tried again after this.
AGAIN_AFTER = timedelta(seconds=30)

_log = logging.getLogger(__name__)


def people_of(connection: Connection, settings: Settings) -> list[Address]:
    """Those of the seed list who may be mailed now. Raises NewsletterError when there is no such list."""
    name = settings.sending.seed_list
    if not name:
        return []
    try:
        found = lists.get(connection, name)
    except NewsletterError as error:
        raise NewsletterError(
            f"there is no list '{name}' to send to before everybody else.",
            field="[sending] seed_list",
            cure=error.cure,
        ) from None
    rows = connection.execute(
        select(subscribers.c.email)
        .join(list_members, list_members.c.subscriber_id == subscribers.c.id)
        .outerjoin(suppressions, suppressions.c.key_hash == subscribers.c.key_hash)
        .where(
            list_members.c.list_id == found.id,
            subscribers.c.status == SubscriberStatus.ACTIVE,
            suppressions.c.key_hash.is_(None),
        )
        .order_by(subscribers.c.id)
    ).scalars()
    only_to = settings.sending.only_to
    allowed = [email for email in rows if not only_to or is_allowed(email, only_to)]
    if len(allowed) > PEOPLE_MAX:
        raise NewsletterError(
            f"the list '{name}' has {len(allowed):,} people; {PEOPLE_MAX:,} at most look before all others.",
            field="[sending] seed_list",
            cure="Name a smaller list.",
        )
    return [parse_address(email) for email in allowed]


def plan(
    connection: Connection, campaign_id: int, timing: Timing | None, settings: Settings, now: datetime
) -> None:
    """Every edition of a campaign just frozen is for the seeds first."""
    grace = duration_of(settings.sending.grace)
    not_before = now + grace if timing is None else timing.at - SEED_LEAD
    connection.execute(
        insert(seed_letters).from_select(
            ["campaign_id", "edition_id", "state", "not_before", "detail"],
            select(
                editions.c.campaign_id,
                editions.c.id,
                literal(str(SeedState.WAITING)),
                literal(not_before, seed_letters.c.not_before.type),
                literal(""),
            ).where(editions.c.campaign_id == campaign_id),
            include_defaults=False,
        )
    )


def next_due(connection: Connection, campaign_id: int | None = None) -> datetime | None:
    """When the next edition, of one campaign or of any, is to go to the seeds; None: none is."""
    next_one = (
        select(func.min(seed_letters.c.not_before))
        .join(campaigns, campaigns.c.id == seed_letters.c.campaign_id)
        .where(seed_letters.c.state == SeedState.WAITING, campaigns.c.status == CampaignStatus.SENDING)
    )
    if campaign_id is not None:
        next_one = next_one.where(campaigns.c.id == campaign_id)
    found: datetime | None = connection.execute(next_one).scalar_one()
    return found


@dataclass(frozen=True, slots=True)
class _Claimed:
    campaign_id: int
    edition_id: int


def send_due(sending: Sending) -> bool:
    """Hand one edition over to the seeds, if one is due; whether one was."""
    with sending.database.ledger() as connection:
        now = sending.clock()
        settle(connection, now, sending.longest_lease)
        claimed = _claim(connection, now)
    if claimed is None:
        return False
    try:
        # Composing and rendering take their time: not while others wait to write.
        values = _hand_over(sending, _letter(sending, claimed))
    except NewsletterError as error:
        _log.warning("the seeds get no letter of campaign %s: %s", claimed.campaign_id, error)
        values = {"state": SeedState.REFUSED, "detail": str(error)}
    with sending.database.ledger() as connection:
        connection.execute(
            update(seed_letters)
            .where(_is(claimed.campaign_id, claimed.edition_id), seed_letters.c.state == SeedState.CLAIMED)
            .values(**values)
        )
        if values["state"] != SeedState.REFUSED:
            _let_the_others_wait(connection, claimed.campaign_id, sending.clock())
    return True


def _let_the_others_wait(connection: Connection, campaign_id: int, now: datetime) -> None:
    """Of a campaign without a time of its own, so that there is one to look; a planned one keeps its time."""
    is_planned = select(campaigns.c.occurrence_id).where(campaigns.c.id == campaign_id)
    if connection.execute(is_planned).scalar_one() is None:
        hold_back(connection, campaign_id, now + SEED_LEAD)


def _claim(connection: Connection, now: datetime) -> _Claimed | None:
    next_one = (
        select(seed_letters.c.campaign_id, seed_letters.c.edition_id)
        .join(campaigns, campaigns.c.id == seed_letters.c.campaign_id)
        .where(
            seed_letters.c.state == SeedState.WAITING,
            seed_letters.c.not_before <= now,
            campaigns.c.status == CampaignStatus.SENDING,
        )
        .order_by(seed_letters.c.edition_id)
        .limit(1)
    )
    row = connection.execute(next_one).one_or_none()
    if row is None:
        return None
    changed = connection.execute(
        update(seed_letters)
        .where(_is(row.campaign_id, row.edition_id), seed_letters.c.state == SeedState.WAITING)
        .values(state=SeedState.CLAIMED, claimed_at=now)
    )
    if changed.rowcount != 1:
        return None
    _let_the_others_wait(connection, row.campaign_id, now)
    return _Claimed(row.campaign_id, row.edition_id)


@dataclass(frozen=True, slots=True)
class _Letter:
    """An edition with its true subject, and who gets it."""

    issue: Issue
    content: EditionContent
    subject: str
    addresses: list[Address]


def _letter(sending: Sending, claimed: _Claimed) -> _Letter:
    """Raises NewsletterError where none can be made."""
    settings = sending.settings
    with sending.database.reader() as connection:
        addresses = people_of(connection, settings)
        row = connection.execute(
            select(editions, campaigns.c.revision_id)
            .join(campaigns, campaigns.c.id == editions.c.campaign_id)
            .where(editions.c.id == claimed.edition_id)
        ).one()
        issue = load_revision(connection, row.revision_id, settings)
    selection = Selection(
        row.key, tuple(row.topics), tuple(row.stories), tuple(row.topic_stories), row.key == "full"
    )
    return _Letter(issue, compose(issue, selection, settings), row.subject, addresses)


def _hand_over(sending: Sending, letter: _Letter) -> dict[str, object]:
    """What becomes of the letter; an address that SendGrid names as bad costs the others nothing."""
    settings = sending.settings
    addresses = letter.addresses
    full = whole(letter.issue, settings)
    while addresses:
        call = call_for(
            letter.issue, letter.content, full, letter.subject, addresses, settings=settings, name=""
        )
        answer = sending.transport.submit(call)
        if not isinstance(answer, BadRecipients):
            values = _ending(answer, sending.clock())
            left_out = len(letter.addresses) - len(addresses)
            if left_out and isinstance(answer, Accepted):
                values["detail"] = f"SendGrid refused {left_out} of {len(letter.addresses)} addresses"
            return values
        addresses = [email for place, email in enumerate(addresses) if place not in answer.places]
    raise NewsletterError(f"nobody of the list '{settings.sending.seed_list}' may be mailed.")


def _ending(answer: Answer, now: datetime) -> dict[str, object]:
    """What an answer makes of the letter."""
    if isinstance(answer, Accepted):
        return {"state": SeedState.ACCEPTED, "detail": ""}
    if isinstance(answer, NotSent | Busy):
        wait = timedelta(seconds=answer.wait_seconds) if isinstance(answer, Busy) else AGAIN_AFTER
        return {"state": SeedState.WAITING, "not_before": now + wait, "detail": answer.detail}
    if isinstance(answer, Uncertain):
        return {"state": SeedState.UNCERTAIN, "detail": answer.detail}
    detail = answer.reason if isinstance(answer, Stopped) else answer.detail
    return {"state": SeedState.REFUSED, "detail": detail}


def settle(connection: Connection, now: datetime, longest: timedelta) -> None:
    """End what nobody will: claims of the dead, and letters of campaigns that are over."""
    claimed_at = seed_letters.c.claimed_at
    connection.execute(
        update(seed_letters)
        .where(seed_letters.c.state == SeedState.CLAIMED)
        .where(or_(claimed_at < now - longest, claimed_at > now + longest))
        .values(state=SeedState.UNCERTAIN, detail="whoever made the call is gone")
    )
    is_over = exists().where(campaigns.c.id == seed_letters.c.campaign_id, campaigns.c.status.in_(FINAL))
    connection.execute(
        update(seed_letters)
        .where(seed_letters.c.state == SeedState.WAITING, is_over)
        .values(state=SeedState.REFUSED, detail="the campaign was over before")
    )


def _is(campaign_id: int, edition_id: int) -> ColumnElement[bool]:
    return and_(seed_letters.c.campaign_id == campaign_id, seed_letters.c.edition_id == edition_id)
