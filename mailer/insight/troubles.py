"""What is not as it should be, read from the ledger, the calendar and the events, set by set.

Queries only: they change nothing and tell nobody. No sentence holds an address of a reader; a pause
reason was masked before it was stored.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from mailer.config import Settings
from mailer.config_tables import duration_of
from mailer.house_models import OccurrenceState
from mailer.insight.notices import Kind, Trouble
from mailer.models import AttemptOutcome, CampaignStatus, ChunkState, FenceState
from mailer.tables import (
    attempts,
    campaign_counts,
    campaigns,
    chunks,
    events,
    fences,
    issues,
    occurrences,
    schedules,
    seed_letters,
)
from mailer.tracking import heartbeats

# SendGrid posts events every 30 seconds, and most doubts end with the first: nobody is called earlier.
DOUBT_RIPENS = timedelta(minutes=10)
# Where `[sending] on_uncertain` sends again by itself, a person is wanted only if it does not.
ENDS_BY_ITSELF = timedelta(hours=1)
# What was skipped or missed for good is told for so long; nothing else would ever end it.
TOLD_FOR = timedelta(days=7)
# Complaints of older campaigns are no longer counted (`mailer.insight.counts`).
COUNTED_FOR = timedelta(days=7)
# Below either, a rate is chance: 1 of 12 is no alarm. At a true rate of 0.1 %, three complaints among 300
# letters happen once in 300 campaigns.
COMPLAINTS_LEAST = 3
COMPLAINTS_BASE = 100
# Gmail asks for less than 0.1 % and rejects mail from 0.3 % on ("Email sender guidelines").
REJECTED_FROM = 0.003
# A heartbeat is not written at every event: letters that went so soon after one may have been heard of.
BEAT_SLACK = timedelta(minutes=5)
PROVIDERS_OWN = ("processed", "deferred", "delivered", "bounce", "dropped", "spamreport")
# A call under a fence ends at most so long before its letters go.
FENCE_AHEAD = timedelta(hours=1)


def all_of(connection: Connection, settings: Settings, now: datetime) -> list[Trouble]:
    """Every trouble that the database knows of."""
    return [
        *_paused(connection),
        *_missed(connection),
        *_uncertain(connection, now - _patience(settings)),
        *_seeds(connection),
        *_skipped(connection, now),
        *_reminders(connection),
        *_silent(connection, duration_of(settings.alerts.webhook_silent), now),
        *_complaints(connection, settings.alerts.complaint_rate, now),
    ]


def _paused(connection: Connection) -> Iterator[Trouble]:
    rows = connection.execute(
        select(campaigns.c.id, issues.c.slug, campaigns.c.pause_reason)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(campaigns.c.status == CampaignStatus.PAUSED)
    )
    for number, slug, reason in rows:
        yield Trouble(
            Kind.PAUSED,
            f"campaign {number}",
            f"Campaign {number} ({slug}) is paused: {reason or 'no reason was kept'}",
            f"Mend it, then 'mailer resume {number}'; or end it with 'mailer cancel {number}'.",
            number,
        )


def _missed(connection: Connection) -> Iterator[Trouble]:
    rows = connection.execute(
        select(campaigns.c.id, issues.c.slug, occurrences.c.civil, schedules.c.zone)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .outerjoin(occurrences, occurrences.c.id == campaigns.c.occurrence_id)
        .outerjoin(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(campaigns.c.status == CampaignStatus.MISSED)
    )
    for number, slug, civil, zone in rows:
        planned = f", {civil} ({zone})" if civil else ""
        yield Trouble(
            Kind.MISSED,
            f"campaign {number}",
            f"Campaign {number} ({slug}) missed its time{planned}; nothing of it goes by itself any more.",
            f"'mailer resume {number} --yes' sends it now, 'mailer cancel {number}' ends it.",
            number,
        )


def _patience(settings: Settings) -> timedelta:
    return DOUBT_RIPENS if settings.sending.on_uncertain == "hold" else ENDS_BY_ITSELF


def _uncertain(connection: Connection, called_before: datetime) -> Iterator[Trouble]:
    is_fresh = exists().where(attempts.c.chunk_id == chunks.c.id, attempts.c.started_at > called_before)
    # A fence that can still be cancelled ends the doubt by itself.
    is_fenced = exists().where(
        fences.c.id == chunks.c.fence_id, fences.c.state.in_((FenceState.OPEN, FenceState.CANCELLING))
    )
    rows = connection.execute(
        select(
            campaigns.c.id,
            issues.c.slug,
            func.sum(chunks.c.recipients - chunks.c.rejected - chunks.c.withheld),
        )
        .select_from(chunks)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(chunks.c.state == ChunkState.UNCERTAIN, ~is_fresh, ~is_fenced)
        .group_by(campaigns.c.id, issues.c.slug)
    )
    for number, slug, letters in rows:
        yield Trouble(
            Kind.UNCERTAIN,
            f"campaign {number}",
            f"{int(letters):,} letters of campaign {number} ({slug}) are held: nobody saw the answer to "
            "their call, and no event has told whether they went.",
            f"'mailer resolve {number}' with --sent, --again or --drop shows the evidence before it asks.",
            number,
        )


def _seeds(connection: Connection) -> Iterator[Trouble]:
    """Editions that some of the seed list did not get, or not surely, while there is something to stop."""
    rows = connection.execute(
        select(campaigns.c.id, issues.c.slug, func.count(), func.min(seed_letters.c.detail))
        .select_from(seed_letters)
        .join(campaigns, campaigns.c.id == seed_letters.c.campaign_id)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(
            seed_letters.c.detail != "",
            campaigns.c.status.in_((CampaignStatus.SENDING, CampaignStatus.PAUSED)),
        )
        .group_by(campaigns.c.id, issues.c.slug)
    )
    for number, slug, editions, detail in rows:
        yield Trouble(
            Kind.SEEDS,
            f"campaign {number}",
            f"Editions of campaign {number} ({slug}) that not everybody of the seed list surely got: "
            f"{editions}; {detail.rstrip('.')}.",
            f"The others get it at its time; 'mailer pause {number}' stops it until somebody has looked.",
            number,
        )


def _skipped(connection: Connection, now: datetime) -> Iterator[Trouble]:
    """Times of the calendar at which nothing went, and no campaign stands for them."""
    has_campaign = exists().where(
        campaigns.c.occurrence_id == occurrences.c.id, campaigns.c.status != CampaignStatus.CANCELLED
    )
    wanted = and_(
        occurrences.c.state.in_((OccurrenceState.SKIPPED, OccurrenceState.MISSED)),
        occurrences.c.settled_at > now - TOLD_FOR,
        # A schedule that somebody ended skips nothing that anybody waits for.
        schedules.c.ended_at.is_(None),
        ~has_campaign,
    )
    for row in _calendar(connection, wanted):
        is_missed = row.state == OccurrenceState.MISSED
        # A closed day is known a week ahead.
        verb = "went" if row.at <= now else "goes"
        why = (row.reason or f"it was {'missed' if is_missed else 'skipped'}").rstrip(".")
        yield Trouble(
            Kind.MISSED if is_missed else Kind.SKIPPED,
            f"{row.rule} on {row.civil}",
            f"Nothing {verb} at {row.civil} ({row.zone}): {why}.",
            "'mailer send ISSUE' sends an issue now; 'mailer schedule' shows what goes next.",
        )


def _reminders(connection: Connection) -> Iterator[Trouble]:
    wanted = and_(occurrences.c.state == OccurrenceState.PENDING, occurrences.c.reminders > 0)
    for row in _calendar(connection, wanted):
        yield Trouble(
            Kind.REMINDER,
            f"{row.rule} on {row.civil}, reminder {row.reminders}",
            f"No issue is approved for {row.civil} ({row.zone}); without one it is skipped.",
            "'mailer approve ISSUE' lets it go; 'mailer schedule' shows what goes next.",
        )


def _calendar(connection: Connection, wanted: ColumnElement[bool]) -> Sequence[Any]:
    return connection.execute(
        select(
            schedules.c.rule,
            schedules.c.zone,
            occurrences.c.civil,
            occurrences.c.at,
            occurrences.c.state,
            occurrences.c.reason,
            occurrences.c.reminders,
        )
        .join(schedules, schedules.c.id == occurrences.c.schedule_id)
        .where(wanted)
        .order_by(occurrences.c.id)
    ).all()


def unanswered_since(connection: Connection, patience: timedelta, now: datetime) -> datetime | None:
    """When letters went of which nothing has come back for so long; None when all is well."""
    heard = last_heard(connection)
    went = func.coalesce(fences.c.send_at, attempts.c.ended_at)
    unanswered = (
        select(func.min(went))
        .select_from(attempts)
        .outerjoin(fences, fences.c.id == attempts.c.fence_id)
        .where(attempts.c.outcome == AttemptOutcome.ACCEPTED)
    )
    if heard is not None:
        unanswered = unanswered.where(attempts.c.started_at > heard - FENCE_AHEAD, went > heard + BEAT_SLACK)
    since: datetime | None = connection.execute(unanswered).scalar()
    return since if since is not None and since <= now - patience else None


def _silent(connection: Connection, patience: timedelta, now: datetime) -> Iterator[Trouble]:
    since = unanswered_since(connection, patience, now)
    if since is not None:
        yield Trouble(
            Kind.WEBHOOK_SILENT,
            "",
            f"Letters went at {since:%Y-%m-%d %H:%M} UTC, and no event has come back since: "
            "no bounce, complaint or doubt can be known.",
            "'mailer serve' must run where SendGrid posts to; 'mailer check --sendgrid' looks at that.",
        )


def last_heard(connection: Connection) -> datetime | None:
    """When SendGrid was heard of last; None: never."""
    beat = heartbeats.last(connection, heartbeats.WEBHOOK)
    if beat is not None:
        return beat
    # An older version left no heartbeat.
    newest: datetime | None = connection.execute(
        select(events.c.received_at)
        .where(events.c.kind.in_(PROVIDERS_OWN))
        .order_by(events.c.id.desc())
        .limit(1)
    ).scalar()
    return newest


def _complaints(connection: Connection, line: float, now: datetime) -> Iterator[Trouble]:
    totals = campaign_counts.c.numbers["totals"]
    rows = connection.execute(
        select(
            campaigns.c.id,
            issues.c.slug,
            totals["complained"].as_integer(),
            totals["delivered"].as_integer(),
        )
        .join(campaign_counts, campaign_counts.c.campaign_id == campaigns.c.id)
        .join(issues, issues.c.id == campaigns.c.issue_id)
        .where(campaigns.c.started_at > now - COUNTED_FOR)
        .order_by(campaigns.c.id)
    )
    for number, slug, complained, delivered in rows:
        if complained < COMPLAINTS_LEAST or delivered < COMPLAINTS_BASE:
            continue
        for crossed in sorted({line, max(line, REJECTED_FROM)}):
            if complained / delivered >= crossed:
                yield Trouble(
                    Kind.COMPLAINTS,
                    f"campaign {number}, {crossed:.2%}",
                    f"{complained:,} of {delivered:,} readers who got campaign {number} ({slug}) called it "
                    f"spam: {complained / delivered:.2%}, over the line of {crossed:.2%}.",
                    "Pause, and look at who got it and how they came on the list: "
                    "mailbox providers reject a sender's mail from 0.30 % on.",
                    number,
                )
