"""How a site does, in signs: the same for `mailer check`, `/health` and whoever watches.

A sign names no address, no key and no path, so that it may be told to anybody who asks. All of them
together cost a few small queries, however many readers there are.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, column, exists, func, or_, select, table
from sqlalchemy.exc import SQLAlchemyError

from mailer import dialect, sqlite_files
from mailer.config_tables import duration_of
from mailer.database import newest_schema
from mailer.delivery import civil
from mailer.house_models import ScheduleKind
from mailer.insight import troubles
from mailer.models import CampaignStatus, ChunkState
from mailer.service import identity
from mailer.service.rooms import Rooms
from mailer.tables import campaigns, chunks, schedules
from mailer.tracking import heartbeats
from subscribers import leavers

Level = Literal["ok", "warning", "error"]

WAL_LARGE_BYTES = 64 * 1024 * 1024
# Who works on a chunk ends before its lease does, and another looks for it at once.
STUCK_AFTER = timedelta(seconds=60)
LEAVERS_LATE = timedelta(minutes=5)
# Below this a database cannot say any more what happened to a letter.
DISK_FULL_BYTES = 20_000_000
# What letters can go out of, now or at its time.
TO_SEND = (CampaignStatus.PREPARING, CampaignStatus.SCHEDULED, CampaignStatus.SENDING)


_VERSION = table("alembic_version", column("version_num"))


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was looked at; `name` is for machines. An error keeps letters from going."""

    name: str
    level: Level
    said: str
    cure: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Health:
    """What `/health` says: `is_well` when sending works, or nothing is to be sent."""

    is_well: bool
    is_sending: bool
    signs: tuple[Sign, ...]

    def as_json(self, *, tells_all: bool = True) -> dict[str, Any]:
        return {
            "status": "ok" if self.is_well else "failing",
            "sending": self.is_sending,
            "findings": [sign.as_json() for sign in self.signs if tells_all or sign.level != "ok"],
        }


def health(rooms: Rooms) -> Health:
    """The whole look; a database that cannot be asked is the one sign of itself."""
    try:
        with rooms.database.reader() as connection:
            schema = _schema(connection)
            if schema.level == "error":
                return Health(False, False, (schema,))
            is_sending = something_to_send(connection, rooms)
            home = _home(connection, rooms)
            signs = (schema, home, *signs_of(connection, rooms, rooms.now()))
            # Of a copy nothing goes on, whoever says so: what is paused or missed counts too.
            is_held_up = home.level == "error" and _is_under_way(connection)
    except SQLAlchemyError as error:
        down = Sign("database", "error", f"the database does not answer ({type(error).__name__})")
        return Health(False, True, (down,))
    is_well = not is_held_up and not (is_sending and any(sign.level == "error" for sign in signs))
    return Health(is_well, is_sending, signs)


def something_to_send(connection: Connection, rooms: Rooms) -> bool:
    """Whether letters can go, now or at their time; every week, where a weekly time is set."""
    weekly = exists().where(schedules.c.kind == ScheduleKind.WEEKLY, schedules.c.ended_at.is_(None))
    to_send = or_(exists().where(campaigns.c.status.in_(TO_SEND)), weekly)
    return bool(rooms.settings.schedule.weekly) or bool(connection.execute(select(to_send)).scalar_one())


def _is_under_way(connection: Connection) -> bool:
    waits = exists().where(campaigns.c.status.in_((*TO_SEND, CampaignStatus.PAUSED, CampaignStatus.MISSED)))
    return bool(connection.execute(select(waits)).scalar_one())


def signs_of(connection: Connection, rooms: Rooms, now: datetime) -> Iterator[Sign]:
    """What is told by `mailer check` and `/health` in the same words."""
    yield _software(connection)
    if (log := log_bytes(rooms)) is not None:
        yield _log(log)
    yield from _chunks(connection, now)
    yield _clock(connection, rooms, now)
    yield _webhook(connection, rooms, now)
    yield _leavers(connection, now)
    yield _disk(rooms)
    version = civil.data_version(rooms.settings.newsletter.timezone)
    yield Sign("zones", "ok", f"zone data {version or 'of an unknown version'}")


@cache
def _newest_schema() -> str:
    return newest_schema()


def _schema(connection: Connection) -> Sign:
    found = connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    newest = _newest_schema()
    if found == newest:
        return Sign("schema", "ok", f"schema {found}")
    return Sign(
        "schema", "error", f"the database is at schema {found}, not {newest}", "Run 'mailer upgrade'."
    )


def _home(connection: Connection, rooms: Rooms) -> Sign:
    why = identity.stranger(connection, rooms.home)
    if why is None:
        return Sign("identity", "ok", "the database is at home in this folder")
    said = f"nothing is sent: this database is not known to belong to this folder ({why})"
    return Sign("identity", "error", said, identity.CURE)


def _software(connection: Connection) -> Sign:
    if not dialect.is_sqlite(connection):
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        return Sign("software", "ok", f"PostgreSQL {version}")
    version = dialect.sqlite_module().sqlite_version
    if dialect.sqlite_is_safe():
        return Sign("software", "ok", f"SQLite {version}")
    return Sign(
        "software",
        "warning",
        f"SQLite {version} can corrupt a busy database; 3.51.3 or newer is safe",
        "Install the pysqlite3 wheel or a newer Python.",
    )


def log_bytes(rooms: Rooms) -> int | None:
    """How long the database's write-ahead log is; None where the database is no file."""
    file = sqlite_files.path_of(rooms.database.url)
    if file is None:
        return None
    log = file.with_name(f"{file.name}-wal")
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def _log(size: int) -> Sign:
    said = f"the database's log has {size / 1e6:,.1f} MB"
    if size <= WAL_LARGE_BYTES:
        return Sign("log", "ok", said)
    return Sign(
        "log",
        "warning",
        f"{said}: it is not brought home",
        "Somebody reads without an end, or 'serve' does not run; look for a process that hangs.",
    )


def stuck(connection: Connection, now: datetime) -> int:
    """Chunks whose lease is over for so long that nobody takes them over."""
    in_hand = chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING))
    query = select(func.count()).where(in_hand, chunks.c.lease_until < now - STUCK_AFTER)
    return int(connection.execute(query).scalar_one())


def _chunks(connection: Connection, now: datetime) -> Iterator[Sign]:
    number = stuck(connection, now)
    held = connection.execute(select(func.count()).where(chunks.c.state == ChunkState.UNCERTAIN)).scalar_one()
    if number:
        yield Sign(
            "stuck",
            "error",
            f"{number:,} chunks were left by who worked on them, and nobody takes them over",
            "Start 'mailer serve' or 'mailer worker'.",
        )
    if held:
        yield Sign(
            "uncertain",
            "warning",
            f"{held:,} chunks are uncertain: nobody saw the answer",
            "An event settles it; otherwise 'mailer resolve CAMPAIGN'.",
        )
    if not number and not held:
        yield Sign("stuck", "ok", "no chunk is stuck or uncertain")


def _clock(connection: Connection, rooms: Rooms, now: datetime) -> Sign:
    at = heartbeats.last(connection, heartbeats.TICK)
    if (at is None or now > at + heartbeats.LATE) and not something_to_send(connection, rooms):
        return Sign("clock", "ok", "no clock ticks, and nothing is to be sent")
    cure = "Start 'mailer serve' or 'mailer worker': nothing planned goes without a clock."
    if at is None:
        return Sign("clock", "error", "the clock has never ticked", cure)
    if heartbeats.ticks(connection, now):
        return Sign("clock", "ok", f"the clock ticked {_ago(max(now - at, timedelta()))}")
    if now < at:
        return Sign("clock", "warning", f"the clock ticked in the future, at {at:%Y-%m-%d %H:%M} UTC", cure)
    return Sign("clock", "error", f"the clock ticked last {_ago(now - at)}", cure)


def _webhook(connection: Connection, rooms: Rooms, now: datetime) -> Sign:
    at = troubles.last_heard(connection)
    said = "no signed event has come in yet" if at is None else f"a signed event came in {_ago(now - at)}"
    patience = duration_of(rooms.settings.alerts.webhook_silent)
    since = troubles.unanswered_since(connection, patience, now)
    if since is None:
        return Sign("webhook", "ok", said)
    return Sign(
        "webhook",
        "warning",
        f"{said}, and letters went {_ago(now - since)}",
        "See that SendGrid's event webhook reaches 'serve': 'mailer check --sendgrid'.",
    )


def _leavers(connection: Connection, now: datetime) -> Sign:
    at = leavers.waiting_since(connection)
    if at is None or now - at < LEAVERS_LATE:
        return Sign("leavers", "ok", "leavers.log is up to date")
    return Sign(
        "leavers",
        "warning",
        f"somebody left {_ago(now - at)} and is not in leavers.log yet",
        "See that 'mailer serve' runs, and may write into the site's data folder.",
    )


def _disk(rooms: Rooms) -> Sign:
    free = shutil.disk_usage(rooms.settings.root).free
    said = f"{free / 1e6:,.0f} MB of the disk are free"
    if free < DISK_FULL_BYTES:
        return Sign("disk", "error", said, "Make room: letters cannot be accounted for on a full disk.")
    if free < rooms.settings.alerts.disk_free_mb * 1_000_000:
        return Sign("disk", "warning", said, "Make room before the disk is full.")
    return Sign("disk", "ok", said)


def _ago(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} seconds ago"
