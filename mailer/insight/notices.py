"""What needs a person, as rows: raised once, ended when it is over, the same trouble later a new one.

Made from a whole look at the state of things (`mailer.insight.troubles`), never by calls from the rooms
where something happened: whoever dies between two lines, the next look finds it. Any number of
processes may look; the index on open notices lets one of them raise it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, or_, select, update

from mailer.tables import notices
from subscribers.tables import upsert

# How long `status` still names what is over.
OVER_FOR = timedelta(days=1)


class Kind(StrEnum):
    PAUSED = "paused"
    UNCERTAIN = "uncertain"
    MISSED = "missed"
    SKIPPED = "skipped"
    REMINDER = "reminder"
    WEBHOOK_SILENT = "webhook silent"
    DISK_LOW = "disk low"
    COMPLAINTS = "complaints"
    SEEDS = "seeds"
    NOT_AT_HOME = "not at home"


# With other words these are another trouble: a campaign that was resumed and met a new reason.
_NEW_WITH_NEW_WORDS = frozenset({Kind.PAUSED})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not as it should be now; `kind` and `about` tell it from all others."""

    kind: Kind
    about: str
    said: str
    cure: str
    campaign: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A row, as people and scripts read it."""

    id: int
    kind: str
    about: str
    campaign: int | None
    said: str
    cure: str
    raised_at: datetime
    ended_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """The shape that scripts rely on."""
        shown = asdict(self)
        shown["raised_at"] = self.raised_at.isoformat()
        shown["ended_at"] = self.ended_at.isoformat() if self.ended_at else None
        return shown


COLUMNS = (
    notices.c.id,
    notices.c.kind,
    notices.c.about,
    notices.c.campaign_id,
    notices.c.said,
    notices.c.cure,
    notices.c.raised_at,
    notices.c.ended_at,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates the rows from the troubles there are."""

    begun: tuple[Trouble, ...]
    over: tuple[int, ...]
    reworded: tuple[tuple[int, Trouble], ...]

    def __bool__(self) -> bool:
        return bool(self.begun or self.over or self.reworded)


def difference(connection: Connection, troubles: Sequence[Trouble]) -> Difference:
    """What must change for the open notices to say these troubles and no others."""
    there = {(row.kind, row.about): row for row in connection.execute(_open_ones())}
    now = {(trouble.kind.value, trouble.about): trouble for trouble in troubles}
    begun, reworded = [], []
    over = [row.id for key, row in there.items() if key not in now]
    for key, trouble in now.items():
        row = there.get(key)
        if row is None:
            begun.append(trouble)
        elif (row.said, row.cure) != (trouble.said, trouble.cure):
            if trouble.kind in _NEW_WITH_NEW_WORDS:
                over.append(row.id)
                begun.append(trouble)
            else:
                reworded.append((row.id, trouble))
    return Difference(tuple(begun), tuple(over), tuple(reworded))


def settle(connection: Connection, change: Difference, now: datetime) -> None:
    """Write a difference; what another process wrote meanwhile stays as it is."""
    is_open = notices.c.ended_at.is_(None)
    if change.over:
        connection.execute(update(notices).where(notices.c.id.in_(change.over), is_open).values(ended_at=now))
    for number, trouble in change.reworded:
        connection.execute(
            update(notices)
            .where(notices.c.id == number, is_open)
            .values(said=trouble.said, cure=trouble.cure)
        )
    if change.begun:
        connection.execute(
            upsert(notices).on_conflict_do_nothing(),
            [
                {
                    "kind": trouble.kind.value,
                    "about": trouble.about,
                    "campaign_id": trouble.campaign,
                    "said": trouble.said,
                    "cure": trouble.cure,
                    "raised_at": now,
                    "post_tries": 0,
                }
                for trouble in change.begun
            ],
        )


def open_ones(connection: Connection) -> list[Notice]:
    """What needs a person now, oldest first."""
    return [notice_of(row) for row in connection.execute(_open_ones())]


def lately(connection: Connection, now: datetime) -> list[Notice]:
    """What needs a person now, then what is over since a day at most, newest first."""
    rows = connection.execute(
        select(*COLUMNS)
        .where(or_(notices.c.ended_at.is_(None), notices.c.ended_at > now - OVER_FOR))
        .order_by(notices.c.id)
    ).all()
    still = [notice_of(row) for row in rows if row.ended_at is None]
    over = sorted((notice_of(row) for row in rows if row.ended_at is not None), key=_end, reverse=True)
    return still + over


def _end(notice: Notice) -> tuple[datetime, int]:
    assert notice.ended_at is not None
    return notice.ended_at, notice.id


def _open_ones() -> Any:
    return select(*COLUMNS).where(notices.c.ended_at.is_(None)).order_by(notices.c.id)


def notice_of(row: Any) -> Notice:
    """A row of `COLUMNS`."""
    return Notice(*row)
