"""A campaign from the plan to the last answer, and the tests before it: what the doors call."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

from sqlalchemy import Connection

from mailer.delivery import (
    approval,
    campaigns,
    engine,
    freeze,
    preflight,
    reconcile,
    seeds,
    silence,
    standing,
    testletters,
)
from mailer.delivery.audience import Audience
from mailer.delivery.campaigns import UnfinishedCampaign
from mailer.delivery.engine import Engine
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.standing import CampaignState
from mailer.editions.select import select, selection_of_each_topic
from mailer.issues.values import Issue
from mailer.models import CampaignStatus
from mailer.service import due, identity, people, site, stopping, ticking
from mailer.service.composition import PlannedCampaign, chosen_selections
from mailer.service.outgoing import opened
from mailer.service.rooms import Rooms
from subscribers import choices, roster
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point, reach

Progress = Callable[[dict[str, Any]], None]
NO_CHOICES = "no reader's choices make an edition yet: the full edition and that of each topic are sent."
# How often somebody who waits for the end of a freeze looks.
PREPARING_LOOK_SECONDS = 0.1
# How often somebody who waits to be told to stop looks.
STOP_LOOK_SECONDS = 0.5


def sender_warnings(rooms: Rooms) -> list[str]:
    """What about the sender should be mended before a real campaign."""
    warnings = (*preflight.look(rooms.settings).warnings, *site.webhook_key_problems(rooms.settings))
    return [str(problem) for problem in warnings]


def require_ready(rooms: Rooms) -> None:
    """Refuse what would be refused at the start anyway, before anybody is asked. Raises NewsletterError."""
    preflight.require_ready(rooms.settings)
    with rooms.database.reader() as connection:
        identity.require_home(connection, rooms.home)
        seeds.people_of(connection, rooms.settings)
    SendGrid.of(rooms.settings).close()  # no key: refused before anything is frozen


def unfinished(rooms: Rooms, issue: Issue) -> dict[str, Any] | None:
    """The campaign of an issue that is under way, or None."""
    if issue.issue_id is None:
        return None
    with rooms.database.reader() as connection:
        found = campaigns.unfinished(connection, issue.issue_id)
        return standing.status(connection, found).as_json() if found is not None else None


def start(rooms: Rooms, planned: PlannedCampaign) -> int:
    """Freeze a planned campaign; from here on workers may send. Raises NewsletterError."""
    require_ready(rooms)
    issue = require_stored(planned.of_issue)
    try:
        with rooms.database.ledger() as connection:
            # Whoever looked before somebody else's campaign was made asked for that very one.
            other = campaigns.made_since(connection, issue.issue_id, planned.newest, planned.audience)
            if other is not None:
                raise UnfinishedCampaign(other)
            campaign = campaigns.create(
                connection,
                issue_id=issue.issue_id,
                revision_id=issue.revision_id,
                audience=planned.audience.as_json(),
                sender=preflight.sender_of(rooms.settings),
                now=rooms.now(),
                approval_id=approval_of(connection, rooms, planned.of_issue),
                created_by=due.person(),
            )
    except UnfinishedCampaign as refusal:
        # Somebody pressed at the same moment: one campaign, worked on by both.
        require_same_audience(rooms, refusal.campaign, planned.audience)
        wait_until_frozen(rooms, refusal.campaign)
        return refusal.campaign
    reach(Point.CAMPAIGN_MADE)
    _freeze(rooms, campaign)
    return campaign


@dataclass(frozen=True, slots=True)
class Stored:
    """The numbers of an issue that is in the database."""

    issue_id: int
    revision_id: int


def require_stored(issue: Issue) -> Stored:
    """Refuse an issue that was only read."""
    if issue.issue_id is None or issue.revision_id is None:
        raise NewsletterError("this issue is not stored.", cure="Import it first.")
    return Stored(issue.issue_id, issue.revision_id)


def approval_of(connection: Connection, rooms: Rooms, issue: Issue) -> int | None:
    """The approval that a campaign is bound to, if there is one. Raises where one is required."""
    templates = approval.templates_hash(rooms.settings)
    if rooms.settings.approval.required:
        return approval.require(connection, issue, templates).approval_id
    found = approval.of_revision(connection, require_stored(issue).revision_id, templates)
    return found.approval_id if found is not None else None


def require_approved(rooms: Rooms, issue: Issue) -> None:
    """Refuse what needs an approval that it has not, before anybody is asked. Raises NewsletterError."""
    with rooms.database.reader() as connection:
        approval_of(connection, rooms, issue)


def wait_until_frozen(rooms: Rooms, campaign: int) -> None:
    """Wait while somebody else prepares a campaign; prepare it instead when they are gone."""
    while True:
        with rooms.database.reader() as connection:
            if standing.status(connection, campaign).status != CampaignStatus.PREPARING:
                return
        time.sleep(PREPARING_LOOK_SECONDS)
        ticking.take_up(rooms, rooms.now())


def require_same_audience(rooms: Rooms, campaign: int, wanted: Audience) -> None:
    """Refuse to go on with a campaign of another audience than the one asked for."""
    with rooms.database.reader() as connection:
        planned = campaigns.audience(connection, campaign)
    if planned != wanted:
        raise NewsletterError(
            f"campaign {campaign} of this issue is not finished, and it is for {planned.in_words()}, "
            f"not for {wanted.in_words()}.",
            field="audience",
            cure=f"Go on with it: 'mailer send' without a list or segment; "
            f"or end it first: 'mailer cancel {campaign}'.",
        )


def _freeze(rooms: Rooms, campaign: int) -> None:
    freeze.freeze(
        rooms.database,
        campaign,
        settings=rooms.settings,
        leaves=rooms.leaves,
        clock=rooms.now,
        on_frozen=rooms.hand_out,
    )


def require_no_campaign(rooms: Rooms, issue: Issue) -> None:
    """Refuse to plan a campaign for an issue that has one under way."""
    with rooms.database.reader() as connection:
        campaigns.require_no_other(connection, require_stored(issue).issue_id)


def require_under_way(rooms: Rooms, campaign: int) -> CampaignState:
    """Refuse to go on with a campaign that waits for its time, or missed it."""
    with rooms.database.reader() as connection:
        state = standing.status(connection, campaign)
    if state.due is None or state.frozen or state.status == CampaignStatus.PREPARING:
        return state
    cure = f"'mailer cancel {campaign}' ends it; then the issue can be sent at once."
    if state.status == CampaignStatus.MISSED:
        cure = f"'mailer resume {campaign} --yes' sends it now; 'mailer cancel {campaign}' ends it."
    raise NewsletterError(
        f"campaign {campaign} of '{state.issue}' is {state.status}, planned for {state.due.civil} "
        f"({state.due.zone}).",
        cure=cure,
    )


def go_on(rooms: Rooms, campaign: int) -> int:
    """Let a campaign that was broken off while preparing, or paused, go on."""
    require_ready(rooms)
    status = require_under_way(rooms, campaign).status
    if status == CampaignStatus.PREPARING:
        wait_until_frozen(rooms, campaign)
    elif status == CampaignStatus.PAUSED:
        stopping.resume(rooms, campaign)
    return campaign


def run(
    rooms: Rooms, campaign: int, on_progress: Progress | None, stopped: Event | None = None
) -> dict[str, Any]:
    """Work on one campaign until it is finished, paused or cancelled, or `stopped`; where it stands then."""

    def told(state: CampaignState) -> None:
        if on_progress is not None:
            on_progress(state.as_json())

    with opened(rooms) as ready:
        engine.run_campaign(ready, campaign, on_progress=told, stopped=stopped)
    return stopping.status(rooms, campaign)


def work(rooms: Rooms, stopped: Event | None) -> list[dict[str, Any]]:
    """Go on with every campaign until `stopped`, or until nothing is left; where those worked on stand."""
    if stopped is None:  # else the clock of the process ticks
        ticking.at_start(rooms)
        ticking.tick(rooms, rooms.now())
    with rooms.database.reader() as connection:
        begun = standing.with_work(connection)
    with opened(rooms) as ready:
        if stopped is None:
            _await_prepared(rooms)
            engine.run_all(ready)
        elif rooms.jobs is not None:
            rooms.jobs.work(ready, stopped)
        else:
            with Engine(ready):
                # A signal that another thread took is seen only when this one wakes up.
                while not stopped.wait(STOP_LOOK_SECONDS):
                    continue
    with rooms.database.reader() as connection:
        return [standing.status(connection, campaign).as_json() for campaign in begun]


def _await_prepared(rooms: Rooms) -> None:
    """Wait until nothing is being prepared; what takes too long, or died, is taken up."""
    while True:
        with rooms.database.reader() as connection:
            if not campaigns.in_status(connection, CampaignStatus.PREPARING):
                return
        time.sleep(PREPARING_LOOK_SECONDS)
        ticking.take_up(rooms, rooms.now())


@contextmanager
def threads(rooms: Rooms) -> Iterator[None]:
    """Sending threads for as long as the context lasts, unless workers do it; calls in flight end first."""
    if rooms.jobs is not None:
        yield
        return
    with opened(rooms) as ready, Engine(ready):
        yield


def evidence(rooms: Rooms, campaign: int) -> list[dict[str, Any]]:
    """What is known about the held letters of a campaign, for each call; `said` is a line for a person."""
    with rooms.database.reader() as connection:
        return [
            each.as_json()
            | {
                "line": f"{each.doubt.letters:,} of '{each.doubt.edition}', called "
                f"{each.doubt.started_at:%Y-%m-%d %H:%M:%S} UTC: "
                f"{each.doubt.detail or 'no answer was seen'}; {each.in_words}"
            }
            for each in silence.evidence(connection, campaign, rooms.now())
        ]


def resolve(rooms: Rooms, campaign: int, decision: reconcile.Decision) -> int:
    """Settle what is held by a person's word; how many letters."""
    with rooms.database.ledger() as connection:
        settled = reconcile.resolve(connection, campaign, decision, rooms.now())
        rooms.hand_out(connection, campaign)
        return settled


def send_test(
    rooms: Rooms,
    issue: Issue,
    to: Sequence[str],
    topics: Sequence[str] | None,
    as_subscriber: str | None,
    *,
    every_edition: bool,
    on_remark: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Send previews to editors: of one set of topics, as one reader, or one of each edition."""
    name = ""
    if every_edition:
        selections = chosen_selections(rooms, issue)
        if not selections:
            selections = selection_of_each_topic(issue, rooms.settings)
            if on_remark is not None:
                on_remark(NO_CHOICES)
    else:
        choice, name = _reader(rooms, topics, as_subscriber)
        selection = select(issue, choice, rooms.settings)
        if selection is None:
            raise NewsletterError(
                f"such a reader gets nothing of '{issue.slug}': no story has a topic of theirs.",
                cure="Leave out the topics to test the full edition.",
            )
        selections = [selection]
    transport = SendGrid.of(rooms.settings)
    try:
        return [
            letter.as_json()
            for letter in testletters.send(
                rooms.database,
                transport,
                issue,
                selections,
                to,
                settings=rooms.settings,
                now=rooms.now(),
                name=name,
            )
        ]
    finally:
        transport.close()


def _reader(
    rooms: Rooms, topics: Sequence[str] | None, as_subscriber: str | None
) -> tuple[frozenset[str] | None, str]:
    """The topics (None: all) and the name of whom a test letter is made for."""
    if as_subscriber is not None:
        with rooms.database.reader() as connection:
            person = roster.require(connection, as_subscriber)
            return choices.of(connection, person.id), person.name or ""
    return people.chosen(rooms, topics), ""
