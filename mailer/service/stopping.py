"""Pause, resume, cancel: what they stop, what they take back, and exactly what is beyond their reach."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from mailer.delivery import campaigns, fences, lateness, schedule, withdrawal
from mailer.delivery.campaigns import CampaignState
from mailer.delivery.care import care, is_being_cancelled
from mailer.delivery.owners import new_owner
from mailer.service import outgoing
from mailer.service.rooms import Rooms

Progress = Callable[[dict[str, Any]], None]
# How often somebody who waits for SendGrid to cancel looks.
LOOK_SECONDS = 0.2


def status(rooms: Rooms, campaign: int) -> dict[str, Any]:
    """Where a campaign stands, and of what was handed over, what a cancel would still take back."""
    with rooms.database.reader() as connection:
        return _shown(connection, campaigns.status(connection, campaign), rooms.now())


def every_status(rooms: Rooms) -> list[dict[str, Any]]:
    """The same of every campaign, newest first."""
    with rooms.database.reader() as connection:
        return [_shown(connection, state, rooms.now()) for state in campaigns.list_all(connection)]


def _shown(connection: Connection, state: CampaignState, now: datetime) -> dict[str, Any]:
    handed = fences.reach_of(connection, state.campaign, now)
    return state.as_json() | {
        "revocable": handed.revocable,
        "beyond_reach": handed.beyond,
        "went_although_cancelled": withdrawal.letters_that_went_anyway(connection, state.campaign),
    }


def pause(rooms: Rooms, campaign: int) -> dict[str, Any]:
    """Hand nothing more over; what was handed over arrives."""
    with rooms.database.ledger() as connection:
        campaigns.pause(connection, campaign)
    return status(rooms, campaign)


def is_late(rooms: Rooms, campaign: int) -> bool:
    """Whether resuming a campaign sends what is later than `[schedule] latest`."""
    with rooms.database.reader() as connection:
        return lateness.is_late(connection, campaign, schedule.latest_of(rooms.settings), rooms.now())


def resume(rooms: Rooms, campaign: int, *, even_late: bool = False) -> dict[str, Any]:
    """Let a paused campaign go on; `even_late`: one that missed its time too, now."""
    latest = schedule.latest_of(rooms.settings)
    with rooms.database.ledger() as connection:
        lateness.resume(connection, campaign, latest, rooms.now(), even_late=even_late)
        rooms.hand_out(connection, campaign)
    return status(rooms, campaign)


def cancel(rooms: Rooms, campaign: int, on_progress: Progress | None = None) -> dict[str, Any]:
    """End a campaign, and wait until SendGrid has cancelled what can still be taken back.

    Whoever dies here is followed by any worker: the fences of a cancelled campaign are cancelled.
    """
    with rooms.database.ledger() as connection:
        now = rooms.now()
        campaigns.cancel(connection, campaign, now)
        fences.withdraw(connection, campaign, now, outgoing.deadline_of(rooms))
    if _is_under_way(rooms, campaign):
        owner = new_owner()
        with outgoing.opened(rooms) as ready:
            while _is_under_way(rooms, campaign):
                if on_progress is not None:
                    on_progress(status(rooms, campaign))
                if not care(ready, owner):
                    time.sleep(LOOK_SECONDS)
    return status(rooms, campaign)


def _is_under_way(rooms: Rooms, campaign: int) -> bool:
    with rooms.database.reader() as connection:
        return is_being_cancelled(connection, campaign)
