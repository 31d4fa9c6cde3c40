"""Who left, was suppressed or erased, or came back: noted beside the change, replayed over an older database.

A note stands in the table `leaver` from the transaction of what it tells until it is in a file that outlives
the database (leavers.log). Replayed over a backup, the notes keep everybody who left after it was made
from being mailed. They hold keyed hashes only: the file names nobody.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    update,
)

from subscribers.models import (
    ConsentAction,
    ConsentPurpose,
    Leaving,
    SubscriberStatus,
    SuppressionReason,
    UTCTime,
)
from subscribers.tables import IN_LIST_ROWS, consent, leaver, subscriber, suppression, upsert

# Which suppression key made the hashes; there is one, and it is never rotated.
KEY_ID = 1
# What is written by a replay says where it comes from.
SOURCE = "leavers.log"
BATCH_LINES = 5_000

_scratch = MetaData()
# What all lines of one hash come to. `is_back`: within the batch, so that what came before it is over.
_told = Table(
    "leaver_told",
    _scratch,
    Column("key_hash", String, primary_key=True),
    Column("key_id", Integer, nullable=False),
    Column("is_back", Boolean, nullable=False),
    Column("left_at", UTCTime),
    Column("stopped", String),
    Column("stopped_at", UTCTime),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Line:
    """One note as it stands in the file; `id` is that of its row while it waits."""

    key_hash: str
    key_id: int
    what: Leaving
    at: datetime
    id: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many lines were read, and how many people and addresses they changed."""

    lines: int = 0
    left: int = 0
    suppressed: int = 0
    erased: int = 0


def note(connection: Connection, key_hashes: Iterable[str], what: Leaving, *, at: datetime) -> None:
    """Note it of these hashes, in the transaction that makes it true."""
    rows = [{"key_hash": each, "key_id": KEY_ID, "what": what, "at": at} for each in key_hashes]
    if rows:
        connection.execute(insert(leaver), rows)


def note_people(
    connection: Connection, people: ColumnElement[bool] | Select[Any], what: Leaving, *, at: datetime
) -> None:
    """Note it of these subscribers: a condition on them, or a query of their hashes."""
    hashes = people if isinstance(people, Select) else select(subscriber.c.key_hash).where(people)
    told = hashes.subquery()
    columns = (told.c.key_hash, literal(KEY_ID), literal(what), literal(at, UTCTime()))
    connection.execute(insert(leaver).from_select(["key_hash", "key_id", "what", "at"], select(*columns)))


def note_ids(connection: Connection, ids: Sequence[int], what: Leaving, *, at: datetime) -> None:
    """The same of many subscribers by id."""
    for start in range(0, len(ids), IN_LIST_ROWS):
        note_people(connection, subscriber.c.id.in_(ids[start : start + IN_LIST_ROWS]), what, at=at)


def waiting(connection: Connection, limit: int) -> list[Line]:
    """The oldest notes that are not in the file yet."""
    rows: Sequence[Row[Any]] = connection.execute(select(leaver).order_by(leaver.c.id).limit(limit)).all()
    return [Line(row.key_hash, row.key_id, Leaving(row.what), row.at, row.id) for row in rows]


def waiting_since(connection: Connection) -> datetime | None:
    """When the oldest of them was made; None when there is none."""
    return connection.execute(select(leaver.c.at).order_by(leaver.c.id).limit(1)).scalar_one_or_none()


def are_written(connection: Connection, ids: Sequence[int]) -> None:
    """Forget notes that are in the file."""
    for start in range(0, len(ids), IN_LIST_ROWS):
        connection.execute(delete(leaver).where(leaver.c.id.in_(ids[start : start + IN_LIST_ROWS])))


def replay(
    connection: Connection,
    lines: Iterable[Line],
    *,
    now: datetime,
    erase: Callable[[Connection, int], object],
) -> Replayed:
    """Make true again what the lines tell, oldest first; whoever came back is left as they are.

    Who agreed to receive mail after leaving is left alone too. `erase` forgets one subscriber by id.
    """
    _scratch.create_all(connection)
    read = sum(_keep(connection, batch) for batch in _batches(lines))
    erased = _erase(connection, erase)
    suppressed = _suppress(connection, now)
    left = _unsubscribe(connection)
    _scratch.drop_all(connection)
    return Replayed(read, left, suppressed, erased)


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    source = iter(lines)
    while batch := list(islice(source, BATCH_LINES)):
        yield batch


def _keep(connection: Connection, batch: Sequence[Line]) -> int:
    """Add lines to what earlier ones told; how many."""
    rows: dict[str, dict[str, Any]] = {}
    for line in batch:
        nothing = {
            "key_hash": line.key_hash,
            "key_id": line.key_id,
            "is_back": line.what == Leaving.BACK,
            "left_at": None,
            "stopped": None,
            "stopped_at": None,
        }
        row = nothing if line.what == Leaving.BACK else rows.get(line.key_hash, nothing)
        if line.what == Leaving.LEFT:
            row |= {"left_at": line.at}
        elif line.what != Leaving.BACK and row["stopped"] != Leaving.ERASED:
            row |= {"stopped": line.what, "stopped_at": line.at}
        rows[line.key_hash] = row
    statement = upsert(_told)
    new, old = statement.excluded, _told.c
    later: dict[str, ColumnElement[Any]] = {
        "left_at": case((new.is_back, new.left_at), else_=func.coalesce(new.left_at, old.left_at)),
        # The gravest stays: a complaint after an erasure takes nothing back.
        "stopped": case(
            (new.is_back, new.stopped),
            (old.stopped == Leaving.ERASED, old.stopped),
            else_=func.coalesce(new.stopped, old.stopped),
        ),
        "stopped_at": case(
            (new.is_back, new.stopped_at), else_=func.coalesce(new.stopped_at, old.stopped_at)
        ),
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=["key_hash"], set_=later), list(rows.values())
    )
    return len(batch)


def _erase(connection: Connection, erase: Callable[[Connection, int], object]) -> int:
    """Forget whom the older database still names; few, so one by one."""
    ids = connection.execute(
        select(subscriber.c.id)
        .join(_told, _told.c.key_hash == subscriber.c.key_hash)
        .where(_told.c.stopped == Leaving.ERASED)
    ).scalars()
    found = list(ids)
    for subscriber_id in found:
        erase(connection, subscriber_id)
    return len(found)


def _suppress(connection: Connection, now: datetime) -> int:
    """Suppress who was, how many; an erased address whose row is gone stays suppressed as well."""
    reason = case(
        (_told.c.stopped == Leaving.ERASED, literal(SuppressionReason.ERASED)),
        else_=literal(SuppressionReason.IMPORTED),
    )
    since = func.coalesce(_told.c.stopped_at, literal(now, UTCTime()))
    columns = (_told.c.key_hash, _told.c.key_id, reason, literal(""), since, literal(SOURCE))
    names = ["key_hash", "key_id", "reason", "detail", "since", "source"]
    # The condition also tells SQLite where the query ends and ON CONFLICT begins.
    rows = select(*columns).where(_told.c.stopped.is_not(None), true())
    statement = upsert(suppression).from_select(names, rows)
    return connection.execute(statement.on_conflict_do_nothing(index_elements=["key_hash"])).rowcount


def _unsubscribe(connection: Connection) -> int:
    """Unsubscribe who left, with the proof of it; how many."""
    agreed_again = exists().where(
        consent.c.subscriber_id == subscriber.c.id,
        consent.c.purpose == ConsentPurpose.RECEIVE,
        consent.c.action == ConsentAction.GIVEN,
        consent.c.at > _told.c.left_at,
    )
    leaves = and_(
        _told.c.key_hash == subscriber.c.key_hash,
        _told.c.left_at.is_not(None),
        subscriber.c.status != SubscriberStatus.UNSUBSCRIBED,
        ~agreed_again,
    )
    proof: dict[str, ColumnElement[Any]] = {
        "subscriber_id": subscriber.c.id,
        "action": literal(ConsentAction.WITHDRAWN),
        "purpose": literal(ConsentPurpose.RECEIVE),
        "wording": literal(""),
        "wording_version": literal(""),
        "basis": literal(SOURCE),
        "at": _told.c.left_at,
        "source": literal(SOURCE),
    }
    connection.execute(
        insert(consent).from_select(
            list(proof), select(*proof.values()).select_from(_told).join(subscriber, leaves)
        )
    )
    return connection.execute(
        update(subscriber)
        .where(leaves)
        .values(
            status=SubscriberStatus.UNSUBSCRIBED,
            unsubscribed_at=_told.c.left_at,
            paused_until=None,
        )
    ).rowcount
