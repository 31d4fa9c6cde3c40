"""A new site, complete; and the look over an existing one."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from mailer import site, sqlite_files
from mailer.config import Settings, load_settings
from mailer.database import Database, require_known
from mailer.delivery import owners, preflight
from mailer.delivery.sendgrid import is_sendgrids_own
from mailer.models import ChunkState
from mailer.sandbox.server import SandboxServer
from mailer.sandbox.signing import public_key_at
from mailer.service import alerts, erasing, health, identity
from mailer.service.backup import Backup, before_upgrade
from mailer.service.rooms import Rooms, utc_now
from mailer.tables import chunks
from mailer.tracking import counters
from subscribers import topics
from subscribers.errors import NewsletterError, Problem
from subscribers.nearest import did_you_mean

# Schemas whose databases know of no identity: the folder that upgrades one is its home.
BEFORE_IDENTITIES = (None, "0001")

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `mailer check`."""

    level: Level
    said: str
    cure: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def lay_out(folder: Path) -> site.Site:
    """A site that works at once: files, keys, an empty database, a sandbox whose events are believed."""
    laid = site.lay_out(folder)
    with site.without_variables():
        settings = load_settings(folder / "config.toml")
        sandbox = sandbox_of(settings)
    site.write_webhook_key(folder, sandbox.public_key)
    sandbox.stop()
    database = Database(settings.database_url)
    database.upgrade()
    identity.found(database, identity.Home.of(settings), utc_now)
    database.close()
    return laid


def sandbox_of(settings: Settings) -> SandboxServer:
    """The sandbox that `[sandbox]` describes, not yet listening."""
    from mailer.sandbox.options import options_of

    table = settings.sandbox
    path = settings.path(table.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return SandboxServer(options_of(settings), table.host, table.port, database_path=path, settings=settings)


def upgrade(rooms: Rooms, on_backup: Callable[[Backup], object] | None = None) -> bool:
    """Bring the schema up to date and recompute masks that drifted; False when nothing was to do.

    A backup is made first. Raises NewsletterError in mid-send, and when the disk has no room for one.
    """
    found, newest = rooms.database.schema_version(), rooms.database.newest_version()
    was_without = found in BEFORE_IDENTITIES
    if found not in (None, newest):
        require_known(found)
        with rooms.database.reader() as connection:
            _refuse_in_mid_send(connection, rooms.now())
        # A server's own tools take its backups; rows of an older schema could not be read here.
        if sqlite_files.path_of(rooms.database.url) is not None:
            made = before_upgrade(rooms.database, rooms.settings.root, newest, rooms.now())
            if on_backup is not None:
                on_backup(made)
    changed = rooms.database.upgrade()
    if rooms.jobs is not None:
        changed = rooms.jobs.lay_out(rooms.database) or changed
    # A folder that has had a newer database already was given an old one back: that is for `adopt`.
    if was_without and rooms.home.said() is None:
        with rooms.database.ledger() as connection:
            identity.take(connection, rooms.home, rooms.now())
    with rooms.database.ledger() as connection:
        mended = topics.mend(connection)
    return changed or mended > 0


def _refuse_in_mid_send(connection: Connection, now: datetime) -> None:
    """Refuse while somebody who lives has a chunk in hand: its answer belongs to the schema it began with."""
    in_hand = connection.execute(
        select(chunks.c.owner, chunks.c.campaign_id).where(
            chunks.c.state.in_((ChunkState.CLAIMED, ChunkState.SUBMITTING)), chunks.c.lease_until > now
        )
    ).all()
    sending = sorted({row.campaign_id for row in in_hand if not owners.is_gone(row.owner)})
    if sending:
        raise NewsletterError(
            f"campaign {sending[0]} is being sent; nothing was changed.",
            cure="Stop 'serve' and 'worker', which end their calls first, then run 'mailer upgrade' again.",
        )


def look_over(rooms: Rooms) -> list[Finding]:
    """What is right and what is not, each with its cure; changes nothing but the log of an erasure."""
    findings = [Finding("ok", f"configuration read from {rooms.settings.root}/config.toml")]
    findings.append(_schema(rooms))
    findings += _senders(rooms)
    if findings[1].level != "error":
        findings.append(_identity(rooms))
        findings += _signs(rooms)
        findings += _topics(rooms)
        findings += _events(rooms)
        findings += _erasures(rooms)
        findings += _alerts(rooms)
    return findings


def _schema(rooms: Rooms) -> Finding:
    found, newest = rooms.database.schema_version(), rooms.database.newest_version()
    if found == newest:
        return Finding("ok", f"database at schema {found}")
    return Finding("error", f"the database is at schema {found}, not {newest}", "Run 'mailer upgrade'.")


def _identity(rooms: Rooms) -> Finding:
    with rooms.database.reader() as connection:
        problem = identity.problem(connection, rooms.home)
    if problem is None:
        return Finding("ok", "the database is at home in this folder")
    return Finding("error", problem.message, problem.cure)


def _signs(rooms: Rooms) -> list[Finding]:
    with rooms.database.reader() as connection:
        return [
            Finding(sign.level, sign.said, sign.cure)
            for sign in health.signs_of(connection, rooms, rooms.now())
        ]


def _senders(rooms: Rooms) -> list[Finding]:
    report = preflight.look(rooms.settings)
    findings = [Finding("error", problem.message, problem.cure) for problem in report.refusals]
    findings += [
        Finding("warning", problem.message, problem.cure)
        for problem in (*report.warnings, *webhook_key_problems(rooms.settings))
    ]
    return findings or [Finding("ok", f"sender {rooms.settings.newsletter.from_email}")]


def webhook_key_problems(settings: Settings) -> list[Problem]:
    """Where letters really leave, events that SendGrid signs must be believed, and no others."""
    key = settings.sendgrid.webhook_public_key
    if not is_sendgrids_own(settings.sendgrid.host):
        return []
    mailbox = settings.path(settings.sandbox.database)
    if key and not (mailbox.is_file() and public_key_at(mailbox) == key):
        return []
    return [
        Problem(
            "the webhook key is the sandbox's own: SendGrid's events will be refused."
            if key
            else "there is no webhook key: events will be refused, and no bounce will be known.",
            field="[sendgrid] webhook_public_key",
            cure="Copy it from SendGrid (Settings, Mail Settings, Event Webhook) into secrets.toml.",
        )
    ]


def _topics(rooms: Rooms) -> list[Finding]:
    declared = list(rooms.settings.topics)
    with rooms.database.reader() as connection:
        strays = topics.undeclared(connection, declared)
        drifted = len(topics.drift(connection))
    findings = [
        Finding(
            "warning",
            f"{count:,} readers chose '{slug}', which config.toml does not declare",
            f"{did_you_mean(slug, declared)}Declare it, or move the choices: 'mailer topics rename OLD NEW'.",
        )
        for slug, count in strays.items()
    ]
    if drifted:
        findings.append(
            Finding(
                "error",
                f"{drifted:,} readers have a topic mask that differs from their choices",
                "Run 'mailer upgrade': it recomputes the masks.",
            )
        )
    return findings or [Finding("ok", f"{len(declared)} topics declared")]


def _events(rooms: Rooms) -> list[Finding]:
    with rooms.database.reader() as connection:
        totals = counters.totals(connection)
    strange = totals.get(counters.UNKNOWN_DELIVERIES, 0)
    unreadable = totals.get(counters.UNREADABLE_ROWS, 0)
    # An account that sends other mail as well posts the events of that too: no fault of this site.
    findings = [Finding("ok", f"{strange:,} events came in for letters that this site did not send")]
    if unreadable:
        findings.append(
            Finding(
                "warning",
                f"{unreadable:,} rows that were no events came in with a good signature",
                "See at SendGrid whether another version of the Event Webhook posts here.",
            )
        )
    return findings


def _alerts(rooms: Rooms) -> list[Finding]:
    table = rooms.settings.alerts
    found = [Finding("error", problem.message, problem.cure) for problem in alerts.problems(rooms)]
    if found or table.email or table.webhook:
        return found or [Finding("ok", "somebody is told when something needs a person")]
    return [
        Finding(
            "warning",
            "nobody is told when something needs a person: [alerts] names no email and no webhook",
            "Write [alerts] email into config.toml; until then look at 'mailer status'.",
        )
    ]


def _erasures(rooms: Rooms) -> list[Finding]:
    if erasing.empty_log(rooms.database, wait_ms=erasing.PERSON_WAITS_MS):
        return []
    return [
        Finding(
            "warning",
            "an erased address is still in the database's log, because another process is reading it",
            "'serve' and 'worker' empty the log when that has ended; or end it, and check again.",
        )
    ]
