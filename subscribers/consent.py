"""Proof of what people agreed to: append-only rows, one for every yes and every no (GDPR, art. 7).

Nothing here is ever changed or deleted; only an erasure blanks what would name the person.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from subscribers.models import ConsentAction, ConsentPurpose
from subscribers.tables import consent, subscriber

# How long the words of a proof may be; a longer wording is a document, not a sentence.
WORDS_MAX_CHARACTERS = 2_000


def record(
    connection: Connection,
    subscriber_id: int,
    action: ConsentAction,
    purpose: ConsentPurpose,
    *,
    at: datetime,
    wording: str = "",
    wording_version: str = "",
    basis: str = "",
    source: str = "",
    agent: str | None = None,
) -> None:
    """Write one row of proof."""
    connection.execute(
        insert(consent).values(
            subscriber_id=subscriber_id,
            action=action,
            purpose=purpose,
            wording=wording[:WORDS_MAX_CHARACTERS],
            wording_version=wording_version,
            basis=basis[:WORDS_MAX_CHARACTERS],
            at=at,
            source=source,
            agent=agent,
        )
    )


def of(connection: Connection, subscriber_id: int) -> Sequence[Row[Any]]:
    """Every row of one person, in the order in which they were written."""
    query = select(consent).where(consent.c.subscriber_id == subscriber_id).order_by(consent.c.id)
    return connection.execute(query).all()


def set_track_consent(
    connection: Connection,
    subscriber_id: int,
    given: bool,
    *,
    now: datetime,
    source: str,
    wording: str = "",
    wording_version: str = "",
    agent: str | None = None,
) -> bool:
    """The reader allows or forbids individual measurement, in person; False when it was so already.

    Saying no is always written down, since from then on no import may turn it on again.
    """
    before = connection.execute(
        select(subscriber.c.track_consent).where(subscriber.c.id == subscriber_id)
    ).scalar_one()
    if given and before:
        return False
    if not given and not before and _last_word(connection, subscriber_id) == ConsentAction.WITHDRAWN:
        return False
    connection.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(track_consent=given))
    action = ConsentAction.GIVEN if given else ConsentAction.WITHDRAWN
    record(
        connection,
        subscriber_id,
        action,
        ConsentPurpose.TRACK,
        at=now,
        wording=wording,
        wording_version=wording_version,
        source=source,
        agent=agent,
    )
    return bool(before) != given


def _last_word(connection: Connection, subscriber_id: int) -> str | None:
    query = (
        select(consent.c.action)
        .where(consent.c.subscriber_id == subscriber_id, consent.c.purpose == ConsentPurpose.TRACK)
        .order_by(consent.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()
