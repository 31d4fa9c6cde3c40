"""When letters may be handed over at all: `[schedule]` weekdays, hours, holidays, in the newsletter's zone.

Pure: settings and an instant in, an answer out. Of a campaign at each reader's own time the civil time is
held against them, wherever it is; when that time comes to a zone, its letters go.
"""

from datetime import date, datetime, time, timedelta

from mailer.config import Settings
from mailer.config_tables import WEEKDAYS, hours_of
from mailer.delivery.civil import in_words, resolve

# A site whose holidays leave no day of two years open never sends; nobody looks farther.
LOOK_AHEAD_DAYS = 2 * 366


def is_limited(settings: Settings) -> bool:
    """Whether the configuration closes any time at all."""
    windows = settings.schedule
    return bool(windows.weekdays or windows.hours or windows.holidays)


def is_open(settings: Settings, at: datetime) -> bool:
    """Whether letters may be handed over at this moment."""
    if not is_limited(settings):
        return True
    return not why_civil_closed(settings, at.astimezone(settings.zone))


def next_open(settings: Settings, at: datetime) -> datetime | None:
    """The first moment from `at` on at which letters may be handed over; None: there is none."""
    if is_open(settings, at):
        return at
    first, _ = _hours(settings)
    today = at.astimezone(settings.zone).date()
    for days in range(LOOK_AHEAD_DAYS):
        day = today + timedelta(days=days)
        if not _is_open_day(settings, day):
            continue
        begins = resolve(datetime.combine(day, first), settings.zone).at
        # In a gap of the clocks the hours may be over at the first moment after it.
        if begins > at and is_open(settings, begins):
            return begins
    return None


def why_closed(settings: Settings, at: datetime) -> str:
    """Which key closes this moment: "2026-12-25 is one of [schedule] holidays"; "" when it is open."""
    return why_civil_closed(settings, at.astimezone(settings.zone))


def why_civil_closed(settings: Settings, civil: datetime) -> str:
    """The same of a civil time, wherever it is."""
    if civil.date().isoformat() in settings.schedule.holidays:
        return f"{civil:%Y-%m-%d} is one of [schedule] holidays"
    if not _is_open_day(settings, civil.date()):
        return f"{WEEKDAYS[civil.weekday()]} is none of [schedule] weekdays"
    first, last = _hours(settings)
    if first <= civil.time() and (last is None or civil.time() < last):
        return ""
    return f"{in_words(civil)} is outside of [schedule] hours ({settings.schedule.hours})"


def _is_open_day(settings: Settings, day: date) -> bool:
    windows = settings.schedule
    is_weekday = not windows.weekdays or WEEKDAYS[day.weekday()] in windows.weekdays
    return is_weekday and day.isoformat() not in windows.holidays


def _hours(settings: Settings) -> tuple[time, time | None]:
    """The first moment of a day and the first no more (None: the day's end)."""
    if not settings.schedule.hours:
        return time.min, None
    return hours_of(settings.schedule.hours)
