"""What Prometheus collects: read from the tables when it asks, from sums and kept counts alone.

Nothing is counted in memory, so any process tells the same, and a restart loses nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, and_, func, or_, select

from mailer.house_models import OccurrenceState
from mailer.models import CampaignStatus, ChunkState, Handover
from mailer.service import health, identity
from mailer.service.rooms import Rooms
from mailer.tables import (
    attempts,
    campaign_counts,
    campaigns,
    chunks,
    notices,
    occurrences,
    suppressions,
)
from mailer.tracking import counters, heartbeats

# Where the letters of a chunk stand that are not out of it already.
_HANDOVER = {
    ChunkState.WAITING: Handover.WAITING,
    ChunkState.CLAIMED: Handover.WAITING,
    ChunkState.SUBMITTING: Handover.WAITING,
    ChunkState.ACCEPTED: Handover.ACCEPTED,
    ChunkState.UNCERTAIN: Handover.HELD,
    ChunkState.REJECTED: Handover.REJECTED,
    ChunkState.WITHHELD: Handover.WITHHELD,
}
# Names of the kept counts of a campaign, and of the kinds that they tell.
_EVENTS = ("delivered", "bounced", "complained")


def exposition(rooms: Rooms) -> bytes:
    """Everything, in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Site(rooms))
    return generate_latest(registry)


class _Site(Collector):
    """One look at one snapshot."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        rooms, now = self._rooms, self._rooms.now()
        with rooms.database.reader() as connection:
            yield _letters(connection)
            yield _by(
                "newsletter_campaigns", "Campaigns by status.", "status", connection, campaigns.c.status
            )
            yield _by("newsletter_chunks", "Chunks by state.", "state", connection, chunks.c.state)
            yield _attempts(connection)
            yield _events(connection)
            yield from _strays(connection)
            yield _one(
                "newsletter_queue_lag_seconds",
                "How long the oldest chunk that may go has been waiting.",
                _lag(connection, now),
            )
            yield _one(
                "newsletter_chunks_stuck",
                "Chunks whose lease is over and that nobody took over.",
                health.stuck(connection, now),
            )
            yield _ages(connection, now)
            yield _one(
                "newsletter_occurrences_pending",
                "Planned times that are to come.",
                _count(connection, occurrences.c.id, occurrences.c.state == OccurrenceState.PENDING),
            )
            yield _one(
                "newsletter_notices_open",
                "What needs a person now.",
                _count(connection, notices.c.id, notices.c.ended_at.is_(None)),
            )
            yield _one(
                "newsletter_suppressed_addresses",
                "Addresses that are never mailed.",
                _count(connection, suppressions.c.key_hash),
            )
            yield _one(
                "newsletter_at_home",
                "1 when the database belongs to this folder; 0: nothing is sent.",
                int(identity.stranger(connection, rooms.home) is None),
            )
        if (size := health.log_bytes(rooms)) is not None:
            yield _one("newsletter_wal_bytes", "Length of SQLite's write-ahead log.", size)


def _one(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[])
    if value is not None:
        family.add_metric([], value)
    return family


def _count(connection: Connection, column: Any, *conditions: Any) -> int:
    return int(connection.execute(select(func.count(column)).where(*conditions)).scalar_one())


def _by(name: str, help_text: str, label: str, connection: Connection, column: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, number in connection.execute(select(column, func.count()).group_by(column).order_by(column)):
        family.add_metric([value], number)
    return family


def _letters(connection: Connection) -> GaugeMetricFamily:
    """Letters of all campaigns by handover: sums over chunks, never over letters."""
    sums = dict.fromkeys(Handover, 0)
    rest = chunks.c.recipients - chunks.c.rejected - chunks.c.withheld
    columns = (func.sum(rest), func.sum(chunks.c.rejected), func.sum(chunks.c.withheld))
    for state, left, rejected, withheld in connection.execute(
        select(chunks.c.state, *columns).group_by(chunks.c.state)
    ):
        if state in _HANDOVER:
            sums[_HANDOVER[state]] += int(left)
            sums[Handover.REJECTED] += int(rejected)
            sums[Handover.WITHHELD] += int(withheld)
    family = GaugeMetricFamily(
        "newsletter_letters", "Letters of all campaigns by handover.", labels=["handover"]
    )
    for handover, number in sums.items():
        family.add_metric([handover], number)
    return family


def _attempts(connection: Connection) -> GaugeMetricFamily:
    """A gauge, since an outcome changes: what is open is accepted later, what was accepted is withdrawn."""
    family = GaugeMetricFamily(
        "newsletter_attempts", "Calls by outcome; 'open': no answer yet.", labels=["outcome"]
    )
    query = select(attempts.c.outcome, func.count()).group_by(attempts.c.outcome).order_by(attempts.c.outcome)
    for outcome, number in connection.execute(query):
        family.add_metric([outcome or "open"], number)
    return family


def _events(connection: Connection) -> GaugeMetricFamily:
    """Letters by what came back, as last counted: counting events themselves would take seconds."""
    sums: dict[str, int] = dict.fromkeys((*_EVENTS, "opened", "clicked", "unsubscribed"), 0)
    for numbers in connection.execute(select(campaign_counts.c.numbers)).scalars():
        totals = numbers.get("totals", {})
        for name in _EVENTS:
            sums[name] += int(totals.get(name, 0))
        for name in ("opened", "clicked"):
            sums[name] += int(totals.get(name, {}).get("human", 0))
        sums["unsubscribed"] += int(numbers.get("unsubscribed", 0))
    family = GaugeMetricFamily(
        "newsletter_events", "Letters by what came back, as last counted.", labels=["kind"]
    )
    for name, number in sums.items():
        family.add_metric([name], number)
    return family


def _strays(connection: Connection) -> Iterator[CounterMetricFamily]:
    totals = counters.totals(connection)
    for name, help_text, total in (
        (
            "newsletter_events_unknown",
            "Events for letters that this site did not send.",
            counters.UNKNOWN_DELIVERIES,
        ),
        ("newsletter_events_unreadable", "Signed rows that were no events.", counters.UNREADABLE_ROWS),
    ):
        yield CounterMetricFamily(name, help_text, value=totals.get(total, 0))


def _ages(connection: Connection, now: datetime) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "newsletter_heartbeat_age_seconds",
        "Time since the last tick, and since the last event.",
        labels=["of"],
    )
    for name in (heartbeats.TICK, heartbeats.WEBHOOK):
        at = heartbeats.last(connection, name)
        if at is not None:
            family.add_metric([name], (now - at).total_seconds())
    return family


def _lag(connection: Connection, now: datetime) -> float:
    since = func.coalesce(chunks.c.not_before, campaigns.c.frozen_at)
    oldest = connection.execute(
        select(func.min(since))
        .select_from(chunks)
        .join(campaigns, campaigns.c.id == chunks.c.campaign_id)
        .where(
            and_(chunks.c.state == ChunkState.WAITING, campaigns.c.status == CampaignStatus.SENDING),
            or_(campaigns.c.not_before.is_(None), campaigns.c.not_before <= now),
        )
    ).scalar_one()
    return max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
