"""Pause, resume, cancel: what they stop, what they take back, and exactly what is beyond their reach."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from mailer.delivery import campaigns, fences, lateness, schedule, standing, withdrawal
from mailer.delivery.care import care, is_being_cancelled
from mailer.delivery.owners import new_owner
from mailer.delivery.standing import CampaignState
from mailer.service import identity, outgoing
from mailer.service.rooms import Rooms

Progress = Callable[[dict[str, Any]], None]
# How often somebody who waits for SendGrid to cancel looks.
LOOK_SECONDS = 0.2


def status(rooms: Rooms, campaign: int) -> dict[str, Any]:
    """Where a campaign stands, and of what was handed over, what a cancel would still take back."""
    with rooms.database.reader() as connection:
        [shown] = _shown(connection, [standing.status(connection, campaign)], rooms.now())
    return shown


def every_status(rooms: Rooms) -> list[dict[str, Any]]:
    """The same of every campaign, newest first."""
    with rooms.database.reader() as connection:
        return _shown(connection, standing.every(connection), rooms.now())


def _shown(connection: Connection, states: Sequence[CampaignState], now: datetime) -> list[dict[str, Any]]:
    ids = [state.campaign for state in states]
    handed = fences.reach_of(connection, ids, now)
    went_anyway = withdrawal.letters_that_went_anyway(connection, ids)
    return [
        state.as_json()
        | {
            "revocable": handed[state.campaign].revocable,
            "beyond_reach": handed[state.campaign].beyond,
            "went_although_cancelled": went_anyway.get(state.campaign, 0),
        }
        for state in states
    ]


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

    Whoever dies here is followed by any worker: the fences of a cancelled campaign are cancelled. Raises
    NewsletterError where that would take back the letters of another site, of whose database this is a copy.
    """
    with rooms.database.ledger() as connection:
        now = rooms.now()
        if fences.has_live(connection, campaign):
            identity.require_home(connection, rooms.home)
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
            care(ready, owner)  # what nobody knows to be cancelled by now is in doubt
    return status(rooms, campaign)


def _is_under_way(rooms: Rooms, campaign: int) -> bool:
    """Whether a cancel can still come about: not after the last minute for it, nor away from home."""
    with rooms.database.reader() as connection:
        is_hopeful = is_being_cancelled(connection, campaign, rooms.now())
        return is_hopeful and identity.stranger(connection, rooms.home) is None
