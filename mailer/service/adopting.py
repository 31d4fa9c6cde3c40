"""`mailer adopt`: a person says that this database belongs to this folder, and may send from here.

Before that, whoever left since is known again (leavers.log), and what would go is shown.
"""

from dataclasses import asdict, dataclass
from typing import Any

from mailer import dialect
from mailer.delivery import standing
from mailer.models import CampaignStatus
from mailer.service import due, erasing, identity, leaving
from mailer.service.rooms import Rooms
from subscribers.errors import NewsletterError
from subscribers.leavers import Replayed

# What a campaign may be while something of it can still go by itself or by a person's word.
UNDER_WAY = (
    CampaignStatus.PREPARING,
    CampaignStatus.SCHEDULED,
    CampaignStatus.SENDING,
    CampaignStatus.PAUSED,
    CampaignStatus.MISSED,
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """Why the database is not at home here (None: it is), who left since, and what would go."""

    problem: str | None
    replayed: Replayed
    campaigns: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "replayed": asdict(self.replayed),
            "campaigns": list(self.campaigns),
        }


def prepare(rooms: Rooms) -> Adoption:
    """Know again who left, then say what would go; nothing may go yet."""
    with rooms.database.reader() as connection:
        problem = identity.problem(connection, rooms.home)
    replayed = replay(rooms) if problem is not None else Replayed()
    with rooms.database.reader() as connection:
        under_way = [state.as_json() for state in standing.every(connection, statuses=UNDER_WAY)]
    return Adoption(problem.message if problem else None, replayed, tuple(under_way))


def replay(rooms: Rooms) -> Replayed:
    """Make true again what leavers.log tells, erased people to the last byte."""
    with rooms.database.ledger() as connection:
        replayed = leaving.replay(connection, rooms.home.leavers, rooms.now())
    if replayed.erased:
        erasing.empty_log(rooms.database, wait_ms=erasing.PERSON_WAITS_MS)
    return replayed


def adopt(rooms: Rooms) -> None:
    """Let this folder send from this database, and no other folder."""
    with rooms.database.ledger() as connection:
        identity.take(connection, rooms.home, rooms.now())
    # A process that started before could not: what `[schedule] weekly` says holds from now on.
    due.at_start(rooms)


def join(rooms: Rooms) -> None:
    """Let this folder send beside the others of a database that several machines share."""
    with rooms.database.reader() as connection:
        row = identity.row_of(connection)
        if dialect.is_sqlite(connection):
            raise NewsletterError(
                "a SQLite database belongs to one folder; nobody else can send from it.",
                field="--join",
                cure="Leave out --join; several machines share a PostgreSQL database.",
            )
    if row is None:
        raise NewsletterError(
            "this database is nobody's yet, so there is nobody to join.",
            field="--join",
            cure="Leave out --join on the first machine.",
        )
    rooms.home.write(row.instance, joins=True)
