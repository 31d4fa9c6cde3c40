"""Civil times: what an editor's "fri 07:30" means on the world's one clock.

Our own rule, since no library keeps one for all zones: a time that a zone leaves out happens at the first
instant after the gap, a time that comes twice happens at the first of them. One civil date-time has one
instant, always. Nothing here reads a clock or a table.
"""

import re
import zoneinfo
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

from mailer.config_tables import WEEKDAYS, weekly_of
from subscribers.errors import NewsletterError
from subscribers.nearest import did_you_mean
from subscribers.zones import every_zone, find_zone

CIVIL_FORMAT = "%Y-%m-%d %H:%M"
# What zone data tell of; at the ends of the calendar a zone has no instant at all.
YEARS = range(1970, 2200)

_CIVIL = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{1,2}:\d{2})")
# The first line of the system's zone data: "# version 2026a".
_DATA_VERSION = re.compile(r"# version (\S+)")


@dataclass(frozen=True, slots=True)
class Instant:
    """A civil time and its moment; `is_gap`: the zone leaves it out, `is_repeated`: it comes twice."""

    civil: datetime
    zone: str
    at: datetime
    is_gap: bool = False
    is_repeated: bool = False

    @property
    def remark(self) -> str:
        """What a person should know of the choice; "" as a rule."""
        shown = in_words(self.civil)
        if self.is_gap:
            chosen = in_words(self.at.astimezone(ZoneInfo(self.zone)))
            return f"{shown} does not exist in {self.zone} (clocks go forward): {chosen} is taken."
        if self.is_repeated:
            return f"{shown} comes twice in {self.zone} (clocks go back): the first of the two is taken."
        return ""


@dataclass(frozen=True, slots=True)
class Weekly:
    """A day of the week (0 is Monday) and a time of day."""

    weekday: int
    at: time

    @classmethod
    def of(cls, text: str) -> "Weekly":
        """What "fri 07:30" says. Raises ValueError."""
        return cls(*weekly_of(text))

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {self.at:%H:%M}"

    def after(self, civil: datetime) -> Iterator[datetime]:
        """Its civil times later than this one, soonest first, without an end."""
        found = datetime.combine(civil.date() + timedelta(days=(self.weekday - civil.weekday()) % 7), self.at)
        if found <= civil:
            found += timedelta(days=7)
        while True:
            yield found
            found += timedelta(days=7)


def in_words(civil: datetime) -> str:
    """A civil time as people type it, and as it is stored."""
    return civil.strftime(CIVIL_FORMAT)


def civil_of(text: str) -> datetime:
    """Read "2026-04-10 07:30". Raises NewsletterError."""
    match = _CIVIL.fullmatch(text.strip())
    if match is not None:
        with suppress(ValueError):  # a 31st of February
            civil = datetime.fromisoformat(f"{match[1]} {match[2]:0>5}")
            if civil.year in YEARS:
                return civil
    raise NewsletterError(
        f"'{text[:40]}' is no date and time.", field="at", cure='For example: --at "2026-04-10 07:30".'
    )


def zone_of(name: str) -> ZoneInfo:
    """The zone of a name; any letter case. Raises NewsletterError."""
    found = find_zone(name)
    if found is None:
        raise NewsletterError(
            f"'{name[:40]}' is no time zone.",
            field="zone",
            cure=f"{did_you_mean(name, every_zone().values())}For example: Europe/Paris.",
        )
    return ZoneInfo(found)


def known_zone(name: str, default: str) -> ZoneInfo:
    """The zone of a name, or the other one: zones that a person once chose come and go."""
    return ZoneInfo(find_zone(name) or default)


def resolve(civil: datetime, zone: ZoneInfo) -> Instant:
    """The one instant of a civil date-time."""
    first = civil.replace(tzinfo=zone, fold=0)
    second = civil.replace(tzinfo=zone, fold=1)
    at = first.astimezone(UTC)
    if first.utcoffset() == second.utcoffset():
        return Instant(civil, zone.key, at)
    if at.astimezone(zone).replace(tzinfo=None) == civil:
        return Instant(civil, zone.key, at, is_repeated=True)
    return Instant(civil, zone.key, _end_of_gap(second.astimezone(UTC), at, zone), is_gap=True)


def data_version(zone: str) -> str:
    """The version of the zone data that this process resolves with; "" where nobody wrote it down."""
    for folder in zoneinfo.TZPATH:
        if (Path(folder) / zone).is_file():
            return _version_in(folder)
    return str(tzdata.IANA_VERSION)


@cache
def _version_in(folder: str) -> str:
    try:
        with (Path(folder) / "tzdata.zi").open(encoding="ascii", errors="replace") as lines:
            match = _DATA_VERSION.match(lines.readline())
    except OSError:
        return ""
    return match[1] if match else ""


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second at which the zone has its later offset; exact, by halving."""
    wanted = after.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while low < high:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == wanted:
            high = middle
        else:
            low = middle + 1
    return before + timedelta(seconds=low)
