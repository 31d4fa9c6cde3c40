"""Addresses never to mail, kept as keyed hashes that outlive the reader.

Suppression wins over everything: no import, sign-up or segment brings such an address back. The bare
address is not stored, and a hash without the key says nothing (a plain SHA-256 could be guessed).
"""

import hmac
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from subscribers import leavers
from subscribers.leavers import KEY_ID
from subscribers.models import Leaving, SuppressionReason
from subscribers.tables import IN_LIST_ROWS, subscriber, suppression, upsert

# Of 64: half of the hash is as good to compare (RFC 2104, 5), and every index of people is shorter by it.
HASH_DIGITS = 32


def key_hash(key: str, secret: str) -> str:
    """The keyed hash of a comparison key: HMAC-SHA-256 cut to half, hex."""
    keyed = _keyed(secret).copy()
    keyed.update(key.encode())
    return keyed.hexdigest()[:HASH_DIGITS]


@lru_cache(maxsize=2)
def _keyed(secret: str) -> hmac.HMAC:
    """The part of the hash that depends on the secret only: a copy costs half of a new one."""
    if not secret:
        raise ValueError("the suppression key is empty")
    return hmac.new(secret.encode(), digestmod="sha256")


def suppress(
    connection: Connection,
    *,
    key_hash: str,
    reason: SuppressionReason,
    detail: str = "",
    source: str = "",
    now: datetime,
) -> bool:
    """Never mail this address again; False when it was suppressed already (the first reason stays)."""
    return suppress_all(connection, [key_hash], reason=reason, detail=detail, source=source, now=now) == 1


def suppress_all(
    connection: Connection,
    key_hashes: Iterable[str],
    *,
    reason: SuppressionReason,
    detail: str = "",
    source: str = "",
    now: datetime,
) -> int:
    """Suppress many; how many were not suppressed before."""
    wanted = dict.fromkeys(key_hashes)
    known = among(connection, wanted)
    new = [each for each in wanted if each not in known]
    if new:
        row = {"key_id": KEY_ID, "reason": reason, "detail": detail, "since": now, "source": source}
        insert = upsert(suppression).on_conflict_do_nothing(index_elements=["key_hash"])
        connection.execute(insert, [{"key_hash": each, **row} for each in new])
        leavers.note(connection, new, Leaving.SUPPRESSED, at=now)
    return len(new)


def suppress_erased(connection: Connection, key_hash: str, *, source: str, now: datetime) -> None:
    """Suppress an erased address; what an earlier reason told about the person is forgotten."""
    row = {"reason": SuppressionReason.ERASED, "detail": "", "since": now, "source": source}
    insert = upsert(suppression).values(key_hash=key_hash, key_id=KEY_ID, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["key_hash"], set_=row))
    leavers.note(connection, [key_hash], Leaving.ERASED, at=now)


def find(connection: Connection, key_hash: str) -> Row[Any] | None:
    """The suppression of one address: reason, detail, since, source."""
    return connection.execute(select(suppression).where(suppression.c.key_hash == key_hash)).one_or_none()


def among(connection: Connection, key_hashes: Collection[str]) -> set[str]:
    """Those of these hashes that are suppressed."""
    found: set[str] = set()
    wanted = list(key_hashes)
    for start in range(0, len(wanted), IN_LIST_ROWS):
        part = wanted[start : start + IN_LIST_ROWS]
        found.update(
            connection.execute(
                select(suppression.c.key_hash).where(suppression.c.key_hash.in_(part))
            ).scalars()
        )
    return found


def is_suppressed() -> ColumnElement[bool]:
    """The condition on `subscriber` that its address is suppressed."""
    return subscriber.c.key_hash.in_(select(suppression.c.key_hash))


def suppressed_readers() -> Select[Any]:
    """Ids of those whose address is suppressed: from the few hashes to people, not from each of a million."""
    kept = subscriber.alias("suppressed_reader")
    return select(kept.c.id).join(suppression, suppression.c.key_hash == kept.c.key_hash)
