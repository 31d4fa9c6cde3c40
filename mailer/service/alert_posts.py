"""Notices leave by webhook: signed, to https or this machine, tried a few times with growing pauses.

Each try is counted before it is made, so that whoever dies repeats a post at most; its `id` lets the
receiver drop the repetition. Redirects are not followed, and no post outlasts its deadline.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import orjson
import structlog
from sqlalchemy import or_, select, update

from mailer.config import Settings
from mailer.delivery.sendgrid import is_loopback
from mailer.delivery.wire import Cut, Wire
from mailer.insight.notices import COLUMNS, Notice
from mailer.service.rooms import Rooms
from mailer.tables import notices

# 1, 2, 4 … minutes between tries: about two hours, longer than a receiver is down for an update.
TRIES = 8
PAUSE = timedelta(minutes=1)
DEADLINE_SECONDS = 10.0
# A dead receiver must not hold up the clock; the next tick goes on.
POSTS_A_TICK = 3
SIGNATURE_VERSION = "v1"
TIMESTAMP_HEADER = "X-Newsletter-Timestamp"
SIGNATURE_HEADER = "X-Newsletter-Signature"

log = structlog.get_logger()


def tell(rooms: Rooms, now: datetime) -> None:
    """Post the open notices that the webhook has not taken, a few at a time."""
    table = rooms.settings.alerts
    if not (table.webhook and table.webhook_secret.get_secret_value() and is_safe(table.webhook)):
        return
    with rooms.database.reader() as connection:
        due = connection.execute(
            select(*COLUMNS, notices.c.post_tries)
            .where(
                notices.c.posted_at.is_(None),
                notices.c.ended_at.is_(None),
                notices.c.post_tries < TRIES,
                or_(
                    notices.c.post_from.is_(None),
                    notices.c.post_from <= now,
                    # A clock that was ahead for a while: no pause is longer than the last one.
                    notices.c.post_from > now + PAUSE * 2**TRIES,
                ),
            )
            .order_by(notices.c.id)
            .limit(POSTS_A_TICK)
        ).all()
    for *row, tries in due:
        if _claim_post(rooms, row[0], tries, now):
            _post(rooms, Notice(*row), tries + 1, now)


def _claim_post(rooms: Rooms, number: int, tries: int, now: datetime) -> bool:
    """Count a try before it is made; False: another process makes it."""
    with rooms.database.ledger() as connection:
        claimed = connection.execute(
            update(notices)
            .where(
                notices.c.id == number,
                notices.c.post_tries == tries,
                notices.c.posted_at.is_(None),
                notices.c.ended_at.is_(None),
            )
            .values(post_tries=tries + 1, post_from=now + PAUSE * 2**tries)
        )
    return claimed.rowcount == 1


def _post(rooms: Rooms, notice: Notice, number: int, now: datetime) -> None:
    body = body_of(notice, rooms.settings)
    secret = rooms.settings.alerts.webhook_secret.get_secret_value()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "newsletter-mailer",
        **signed(body, secret, int(now.timestamp())),
    }
    wire = Wire(1)
    try:
        status = wire.post(
            rooms.settings.alerts.webhook, headers, body, deadline_seconds=DEADLINE_SECONDS
        ).status
    except Cut as cut:
        log.warning("alert not posted", notice=notice.id, number=number, detail=cut.detail)
        return
    finally:
        wire.close()
    if not 200 <= status < 300:
        log.warning("alert not posted", notice=notice.id, number=number, status=status)
        return
    with rooms.database.ledger() as connection:
        connection.execute(update(notices).where(notices.c.id == notice.id).values(posted_at=now))


def body_of(notice: Notice, settings: Settings) -> bytes:
    """What is posted; every try has the same id."""
    return orjson.dumps(
        {
            "id": identifier(notice),
            "newsletter": settings.newsletter.name,
            "site": settings.web.base_url,
            "kind": notice.kind,
            "about": notice.about,
            "campaign": notice.campaign,
            "said": notice.said,
            "cure": notice.cure,
            "raised_at": notice.raised_at.isoformat(),
        }
    )


def identifier(notice: Notice) -> str:
    """The same for every try, another for the same trouble later, or after a restore."""
    words = "\n".join((str(notice.id), notice.kind, notice.about, notice.raised_at.isoformat()))
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """The two headers by which a receiver knows us: HMAC-SHA256 over timestamp, a dot and the body."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: f"{SIGNATURE_VERSION}={digest}"}


def is_safe(url: str) -> bool:
    """https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
