"""Hours for sending: weekdays, hours and holidays, in the newsletter's zone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mailer.config import Settings
from mailer.delivery import windows
from mailer.delivery.civil import civil_of, resolve

WEEK = ("mon", "tue", "wed", "thu", "fri")


def limited(settings: Settings, **keys: Any) -> Settings:
    return settings.model_copy(update={"schedule": settings.schedule.model_copy(update=keys)})


def at(settings: Settings, civil: str) -> datetime:
    return resolve(civil_of(civil), settings.zone).at


def test_without_a_limit_it_is_always_open(settings: Settings) -> None:
    moment = datetime(2026, 4, 12, 1, tzinfo=UTC)
    assert windows.is_open(settings, moment)
    assert windows.next_open(settings, moment) == moment
    assert windows.why_closed(settings, moment) == ""


@pytest.mark.parametrize(
    ("civil", "opens", "why"),
    [
        ("2026-04-10 07:00", "2026-04-10 07:00", ""),
        ("2026-04-10 19:59", "2026-04-10 19:59", ""),
        ("2026-04-10 06:59", "2026-04-10 07:00", "hours"),
        ("2026-04-10 20:00", "2026-04-13 07:00", "hours"),
        ("2026-04-11 12:00", "2026-04-13 07:00", "weekdays"),
        ("2026-12-25 12:00", "2026-12-28 07:00", "holidays"),
        ("2026-12-24 21:00", "2026-12-28 07:00", "hours"),
    ],
)
def test_the_next_opening_passes_over_nights_weekends_and_holidays(
    settings: Settings, civil: str, opens: str, why: str
) -> None:
    settings = limited(settings, weekdays=WEEK, hours="07:00-20:00", holidays=("2026-12-25",))
    moment = at(settings, civil)
    assert windows.next_open(settings, moment) == at(settings, opens)
    assert windows.is_open(settings, moment) == (civil == opens)
    assert f"[schedule] {why}" in windows.why_closed(settings, moment) if why else True


def test_hours_that_a_gap_of_the_clocks_swallows_are_not_open_that_day(settings: Settings) -> None:
    settings = limited(settings, hours="02:10-02:50")
    assert windows.next_open(settings, at(settings, "2027-03-28 00:00")) == at(settings, "2027-03-29 02:10")


def test_a_site_that_is_never_open_says_so(settings: Settings) -> None:
    days = tuple(f"2026-04-{day:02d}" for day in range(1, 31))
    settings = limited(settings, weekdays=("sun",), holidays=days)
    assert windows.next_open(settings, at(settings, "2026-04-01 07:00")) == at(settings, "2026-05-03 00:00")
    everyday = tuple(
        datetime.fromordinal(day).date().isoformat()
        for day in range(
            datetime(2026, 1, 1, tzinfo=UTC).toordinal(), datetime(2029, 1, 1, tzinfo=UTC).toordinal()
        )
    )
    closed = limited(settings, holidays=everyday)
    assert windows.next_open(closed, at(settings, "2026-04-01 07:00")) is None
