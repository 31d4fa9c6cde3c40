"""What people say about time: when a campaign goes, that an issue is ready or approved, and what is next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from mailer.delivery import approval, campaigns, lateness, preflight, schedule, standing, weekly, windows
from mailer.delivery.civil import Instant, Weekly, civil_of, in_words, resolve, zone_of
from mailer.delivery.schedule import ZoneTime
from mailer.house_models import MarkKind
from mailer.issues import store
from mailer.issues.values import Issue
from mailer.service import due, identity, sending
from mailer.service.composition import PlannedCampaign
from mailer.service.rooms import Rooms
from mailer.tracking import heartbeats
from subscribers.errors import NewsletterError

# So many zones are named in a refusal; the others are counted.
ZONES_NAMED = 12


@dataclass(frozen=True, slots=True)
class When:
    """A time that a campaign can be planned for; `at` is the first moment at which a reader gets it."""

    instant: Instant
    at: datetime
    is_local: bool
    remarks: tuple[str, ...]

    def in_words(self) -> str:
        where = "each reader's own zone" if self.is_local else self.instant.zone
        return f"{self.instant.civil:%a} {in_words(self.instant.civil)} ({where})"


def when(rooms: Rooms, planned: PlannedCampaign, at: str, zone: str | None, *, is_local: bool) -> When:
    """What a person means by a time. Raises NewsletterError for a past one, or one outside the hours."""
    instant = resolve(civil_of(at), zone_of(zone) if zone else rooms.settings.zone)
    if is_local:
        closed = windows.why_civil_closed(rooms.settings, instant.civil)
        if closed:
            raise _closed(rooms, resolve(instant.civil, rooms.settings.zone), closed)
        return _local(rooms, planned, instant)
    closed = windows.why_closed(rooms.settings, instant.at)
    if closed:
        raise _closed(rooms, instant, closed)
    if instant.at <= rooms.now():
        raise _past(rooms, planned, instant)
    return When(instant, instant.at, False, (instant.remark,) if instant.remark else ())


def plan(rooms: Rooms, planned: PlannedCampaign, chosen: When) -> int:
    """Plan a campaign for its time; its number. Raises NewsletterError."""
    sending.require_ready(rooms)
    issue = sending.require_stored(planned.of_issue)
    by, now = due.person(), rooms.now()
    with rooms.database.ledger() as connection:
        campaigns.require_no_other(connection, issue.issue_id)
        occurrence_id = schedule.plan_once(
            connection, chosen.instant, at=chosen.at, is_local=chosen.is_local, by=by, now=now
        )
        return campaigns.create(
            connection,
            issue_id=issue.issue_id,
            revision_id=issue.revision_id,
            audience=planned.audience.as_json(),
            sender=preflight.sender_of(rooms.settings),
            now=now,
            occurrence_id=occurrence_id,
            approval_id=sending.approval_of(connection, rooms, planned.of_issue),
            created_by=by,
        )


def closed_now(rooms: Rooms) -> str | None:
    """Why nothing is handed over at this moment, and from when on it is; None while it is."""
    why = windows.why_closed(rooms.settings, rooms.now())
    if not why:
        return None
    opens = windows.next_open(rooms.settings, rooms.now())
    until = in_words(opens.astimezone(rooms.settings.zone)) if opens else "it is changed"
    return f"{why}: nothing is handed over until {until}."


def _past(rooms: Rooms, planned: PlannedCampaign, instant: Instant) -> NewsletterError:
    there = in_words(rooms.now().astimezone(zone_of(instant.zone)))
    return NewsletterError(
        f"{in_words(instant.civil)} is past in {instant.zone}: it is {there} there.",
        field="at",
        cure=f"Name a later time, or send it now: 'mailer send {planned.issue}'.",
    )


def _closed(rooms: Rooms, instant: Instant, why: str) -> NewsletterError:
    opens = windows.next_open(rooms.settings, instant.at)
    if opens is None:
        cure = "[schedule] weekdays, hours and holidays leave no time open."
    else:
        shown = in_words(opens.astimezone(zone_of(instant.zone)))
        cure = f'The next open time: --at "{shown}".'
    return NewsletterError(f"{why}.", field="at", cure=cure)


def _local(rooms: Rooms, planned: PlannedCampaign, instant: Instant) -> When:
    now, latest = rooms.now(), schedule.latest_of(rooms.settings)
    with rooms.database.reader() as connection:
        times = schedule.zone_times(
            connection,
            planned.audience,
            instant.civil,
            issue_id=planned.of_issue.issue_id,
            settings=rooms.settings,
            default_zone=instant.zone,
            leaves=rooms.leaves(connection),
            now=now,
        )
    past = [time for time in times if time.instant.at <= now]
    if len(past) == len(times):
        raise _past(rooms, planned, instant)
    too_late = [time for time in past if time.instant.at < now - latest]
    if too_late:
        raise NewsletterError(
            f"in {_zones(too_late)}: {in_words(instant.civil)} was more than "
            f"{rooms.settings.schedule.latest} ago.",
            field="at",
            cure="Name a later time, leave --local out, or raise [schedule] latest.",
        )
    remarks = [f"In {_zones(past)}: it is past there, and they get it at once."] if past else []
    remarks += [time.instant.remark for time in times if time.instant.remark]
    first = min((time.instant.at for time in times), default=instant.at)
    return When(instant, max(first, now), True, tuple(remarks))


def _zones(times: Sequence[ZoneTime]) -> str:
    """ "Asia/Tokyo (1 reader), Asia/Kolkata (12 readers), 13 in all"."""
    named = [
        f"{time.zone} ({time.readers:,} reader{'s' if time.readers != 1 else ''})"
        for time in times[:ZONES_NAMED]
    ]
    if len(times) > ZONES_NAMED:
        named.append(f"{len(times) - ZONES_NAMED} more zones")
    if len(times) > 1:
        named.append(f"{sum(time.readers for time in times):,} in all")
    return ", ".join(named)


# -- approval ---------------------------------------------------------------------------------------


def mark(rooms: Rooms, issue: Issue, kind: MarkKind) -> dict[str, Any]:
    """Say that an issue is ready or approved, as it is now with the templates as they are."""
    stored = sending.require_stored(issue)
    templates, by, now = approval.templates_hash(rooms.settings), due.person(), rooms.now()
    campaign = None
    with rooms.database.ledger() as connection:
        if store.was_sent(connection, stored.issue_id):
            raise NewsletterError(
                f"the issue '{issue.slug}' was sent already.", cure="See 'mailer issues' for the others."
            )
        number = approval.mark(connection, issue, kind, templates=templates, by=by, now=now)
        if kind is MarkKind.APPROVED:
            campaign = lateness.rebind(
                connection, issue_id=stored.issue_id, revision_id=stored.revision_id, approval_id=number
            )
            if campaign is None:
                campaign = _take_the_week(connection, rooms, stored.issue_id, templates, now)
        state = standing.status(connection, campaign) if campaign is not None else None
    if state is not None and state.revision != issue.revision:
        campaign = state = None  # it is being prepared with what was approved before
    return {
        "issue": issue.slug,
        "revision": issue.revision,
        "revision_hash": issue.hash,
        "templates_hash": templates,
        "mark": kind.value,
        "by": by,
        "at": now.isoformat(),
        "campaign": campaign,
        "due": state.due.as_json() if state is not None and state.due is not None else None,
    }


def _take_the_week(
    connection: Connection, rooms: Rooms, issue_id: int, templates: str, now: datetime
) -> int | None:
    """Let an approved issue take the weekly time at once, if it is the next one; the campaign."""
    if identity.stranger(connection, rooms.home) is not None:
        return None
    due.take_weekly(connection, rooms, templates, now)
    return campaigns.unfinished(connection, issue_id)


# -- what goes next ---------------------------------------------------------------------------------


def upcoming(rooms: Rooms) -> dict[str, Any]:
    """What goes next, soonest first; who waits for the week after; what a person should know."""
    now, settings = rooms.now(), rooms.settings
    templates = approval.templates_hash(settings)
    with rooms.database.reader() as connection:
        rule = weekly.rule(connection)
        states = {state.campaign: state for state in standing.planned(connection)}
        lines = [_line(row, states.get(row["campaign"])) for row in schedule.upcoming(connection)]
        waiting = approval.waiting(connection, templates, at=now, now=now)
        remarks = [*_remarks(connection, rooms, rule, now)]
    return {
        "weekly": {"rule": rule[0], "zone": rule[1]} if rule else None,
        "next": lines,
        "approved": [
            {"issue": each.issue, "revision": each.revision, "by": each.by, "at": each.at.isoformat()}
            for each in waiting
        ],
        "remarks": remarks,
    }


def _line(row: Any, state: standing.PlannedState | None) -> dict[str, Any]:
    return {
        "at": row["at"].isoformat(),
        "civil": row["civil"],
        "zone": row["zone"],
        "is_local": bool(row["is_local"]),
        "kind": row["kind"],
        "remark": row["reason"],
        "campaign": row["campaign"],
        "issue": state.issue if state else None,
        "revision": state.revision if state else None,
        "newest_revision": state.newest_revision if state else None,
        "status": state.status if state else None,
    }


def _remarks(connection: Connection, rooms: Rooms, rule: tuple[str, str] | None, now: datetime) -> list[str]:
    """What a person should know before they rely on the list."""
    settings, remarks = rooms.settings, []
    configured = settings.schedule.weekly
    wanted = (str(Weekly.of(configured)), settings.newsletter.timezone) if configured else None
    if wanted != rule:
        said = f"{wanted[0]} ({wanted[1]})" if wanted else "nothing"
        remarks.append(
            f"[schedule] weekly says {said}: it holds when 'mailer serve' or a worker starts anew."
        )
    if not heartbeats.ticks(connection, now):
        remarks.append("No clock ticks: 'mailer serve' or 'mailer worker' must run for anything to go.")
    return remarks


def planned_of(rooms: Rooms) -> dict[str, dict[str, Any]]:
    """The campaign of each issue that waits for its time."""
    with rooms.database.reader() as connection:
        return {
            state.issue: {
                "campaign": state.campaign,
                "status": state.status,
                "revision": state.revision,
                "due": state.due.as_json(),
            }
            for state in standing.planned(connection)
            if not state.is_frozen
        }


def marks(rooms: Rooms) -> dict[str, str]:
    """What was said of the newest revision of each issue: "ready" or "approved"."""
    templates = approval.templates_hash(rooms.settings)
    with rooms.database.reader() as connection:
        return approval.states(connection, templates)
