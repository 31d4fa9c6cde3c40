"""Somebody is told: notices are made of what is, and leave by letter and by webhook a known number of times.

A letter leaves at most once: its notices are marked before it does, and unmarked only on proof that
nobody took it. A post is repeated a few times with growing pauses and carries an id, by which its
receiver drops a repetition. A database that does not belong to this folder tells nobody: it may be a
copy, and its original tells already.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError

from mailer.config import Settings
from mailer.delivery.audience import is_allowed
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.timing import CLOCK_SLACK
from mailer.delivery.transport import Accepted, Answer, Uncertain
from mailer.insight import notices as noted
from mailer.insight import troubles
from mailer.insight.notices import COLUMNS, Kind, Notice, Trouble, notice_of
from mailer.service import alert_letter, alert_posts, identity
from mailer.service.rooms import Rooms
from mailer.tables import notices
from mailer.tracking import heartbeats
from subscribers import suppression
from subscribers.addresses import parse_address
from subscribers.errors import NewsletterError, Problem

MEGABYTE = 1_000_000
# A disk at the edge must not raise a notice a minute: it is over with a tenth more room than was asked for.
DISK_RELIEF = 1.1

# A letter that was refused, with proof, leaves again; not before so long, whatever process tries.
LETTER_PAUSE = timedelta(minutes=10)
LETTER_REFUSED = "alert letter refused"
# A process that is told to stop waits for it.
LETTER_SECONDS = 10.0

log = structlog.get_logger()


def tend(rooms: Rooms, now: datetime) -> None:
    """Bring the notices up to date and tell of the new ones; what the clock calls."""
    look(rooms, now)
    with rooms.database.reader() as connection:
        is_at_home = identity.stranger(connection, rooms.home) is None
    if is_at_home:
        tell_by_letter(rooms, now)
        alert_posts.tell(rooms, now)


# -- looking --------------------------------------------------------------------------------------


def look(rooms: Rooms, now: datetime) -> None:
    """Raise a notice for every trouble that is new, and end those that are over."""
    with rooms.database.reader() as connection:
        if not noted.difference(connection, _troubles(rooms, connection, now)):
            return
    # Looked at once more where it is written: another process may have been faster.
    with rooms.database.ledger() as connection:
        noted.settle(connection, noted.difference(connection, _troubles(rooms, connection, now)), now)


def notices_of(rooms: Rooms, now: datetime) -> list[Notice]:
    """What needs a person, and what is over since a day at most, after a look."""
    try:
        look(rooms, now)
    except OperationalError as error:
        # A locked database or a full disk: a person who looks must see what is known.
        log.warning("notices could not be renewed", error=type(error.orig).__name__)
    with rooms.database.reader() as connection:
        return noted.lately(connection, now)


def _troubles(rooms: Rooms, connection: Connection, now: datetime) -> list[Trouble]:
    found = troubles.all_of(connection, rooms.settings, now)
    strange = identity.problem(connection, rooms.home)
    if strange is not None:
        found.append(Trouble(Kind.NOT_AT_HOME, "", _sentence(strange.message), strange.cure or ""))
    already = {notice.about for notice in noted.open_ones(connection) if notice.kind == Kind.DISK_LOW}
    return [*found, *_disks(rooms.settings, already)]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _disks(settings: Settings, already: set[str]) -> Iterator[Trouble]:
    wanted = settings.alerts.disk_free_mb
    for about, folder in _folders(settings):
        free = shutil.disk_usage(folder).free // MEGABYTE
        if free < wanted * (DISK_RELIEF if about in already else 1):
            yield Trouble(
                Kind.DISK_LOW,
                about,
                f"Less than {wanted:,} MB are free where {about} lies: a full disk stops every campaign.",
                "Make room there, or give it a larger disk.",
            )


def _folders(settings: Settings) -> list[tuple[str, Path]]:
    """What lies where, each disk once."""
    places = [("the site", settings.root)]
    prefix = "sqlite:///"
    if settings.database_url.startswith(prefix):
        places.insert(0, ("the database", Path(settings.database_url.removeprefix(prefix)).parent))
    found: dict[int, tuple[str, Path]] = {}
    for about, folder in places:
        if folder.is_dir():
            found.setdefault(folder.stat().st_dev, (about, folder))
    return list(found.values())


# -- by letter ------------------------------------------------------------------------------------


def problems(rooms: Rooms) -> list[Problem]:
    """Why somebody who should be told would not be; for `check`."""
    settings = rooms.settings
    found = []
    if settings.alerts.email:
        with rooms.database.reader() as connection:
            reason = _no_letter_to(connection, settings)
        if reason:
            found.append(Problem(reason, field="[alerts] email", cure="Name an address that may be mailed."))
    if settings.alerts.webhook:
        if not settings.alerts.webhook_secret.get_secret_value():
            found.append(
                Problem(
                    "nothing is posted to [alerts] webhook: there is no secret to sign with.",
                    field="[alerts] webhook_secret",
                    cure='Write one into secrets.toml: [alerts] webhook_secret = "…", 32 random characters.',
                )
            )
        if not alert_posts.is_safe(settings.alerts.webhook):
            found.append(
                Problem(
                    "nothing is posted to [alerts] webhook: http:// is for this machine only.",
                    field="[alerts] webhook",
                    cure="Use https://.",
                )
            )
    return found


def _no_letter_to(connection: Connection, settings: Settings) -> str:
    """Why `[alerts] email` gets no letter, "" when it does."""
    try:
        address = parse_address(settings.alerts.email)
    except NewsletterError:
        return "[alerts] email is no address."
    if settings.sending.only_to and not is_allowed(address.email, settings.sending.only_to):
        return "no alert goes to [alerts] email: [sending] only_to names others only."
    secret = settings.database.suppression_key.get_secret_value()
    if suppression.among(connection, [suppression.key_hash(address.key, secret)]):
        return "no alert goes to [alerts] email: the address is suppressed."
    return ""


def tell_by_letter(rooms: Rooms, now: datetime) -> None:
    """Send one letter of all open notices that no letter has told of."""
    if not rooms.settings.alerts.email:
        return
    untold = (notices.c.emailed_at.is_(None), notices.c.ended_at.is_(None))
    with rooms.database.reader() as connection:
        if connection.execute(select(notices.c.id).where(*untold).limit(1)).first() is None:
            return
        refused_at = heartbeats.last(connection, LETTER_REFUSED)
        # A clock that was ahead for a while must not silence us until it is that late.
        if refused_at is not None and now - LETTER_PAUSE < refused_at <= now + CLOCK_SLACK:
            return
        if _no_letter_to(connection, rooms.settings):
            return
    with rooms.database.ledger() as connection:
        taken = connection.execute(
            update(notices).where(*untold).values(emailed_at=now).returning(*COLUMNS)
        ).all()
    if taken:
        _send(rooms, sorted((notice_of(row) for row in taken), key=lambda notice: notice.id), now)


def _send(rooms: Rooms, told: Sequence[Notice], now: datetime) -> None:
    answer = _submitted(rooms, told)
    if isinstance(answer, Accepted):
        log.info("alert sent", notices=len(told), message=answer.message_id)
    elif isinstance(answer, Uncertain):
        # It may have arrived; `status` tells as well.
        log.warning("alert may have been sent", notices=len(told), detail=answer.detail)
    else:
        log.error("alert not sent", notices=len(told), answer=type(answer).__name__)
        _take_back(rooms, told, now)


def _submitted(rooms: Rooms, told: Sequence[Notice]) -> Answer | NewsletterError:
    try:
        call = alert_letter.call_of(told, rooms.settings)
        transport = SendGrid.of(rooms.settings)
    except NewsletterError as error:  # no key, or a template of the site is at fault
        return error
    try:
        return transport.submit(replace(call, ends_at=time.monotonic() + LETTER_SECONDS))
    finally:
        transport.close()


def _take_back(rooms: Rooms, told: Sequence[Notice], now: datetime) -> None:
    with rooms.database.ledger() as connection:
        connection.execute(
            update(notices)
            .where(notices.c.id.in_([notice.id for notice in told]), notices.c.emailed_at == now)
            .values(emailed_at=None)
        )
        heartbeats.beat(connection, LETTER_REFUSED, now, every=timedelta())
