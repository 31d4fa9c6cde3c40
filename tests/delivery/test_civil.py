"""Civil times: every civil date-time has one instant, in every zone, whatever its clocks do."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from mailer.delivery.civil import Weekly, civil_of, data_version, resolve, zone_of
from subscribers.errors import NewsletterError

ZONES = (
    "Europe/Paris",
    "America/New_York",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
)
FROM, TO = civil_of("1990-01-01 00:00"), civil_of("2045-12-31 00:00")
MINUTE = timedelta(minutes=1)


@cache
def transitions(name: str) -> tuple[tuple[datetime, timedelta, timedelta], ...]:
    """(instant, offset before, offset after) of every change of a zone's clocks, found day by day."""
    zone, found = ZoneInfo(name), []
    day, offset = FROM.replace(tzinfo=UTC), None
    while day < TO.replace(tzinfo=UTC):
        now = day.astimezone(zone).utcoffset()
        assert now is not None
        if offset is not None and now != offset:
            low, high = int((day - timedelta(days=1)).timestamp()), int(day.timestamp())
            while high - low > 1:
                middle = (low + high) // 2
                is_after = datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == now
                low, high = (low, middle) if is_after else (middle, high)
            found.append((datetime.fromtimestamp(high, UTC), offset, now))
        day, offset = day + timedelta(days=1), now
    return tuple(found)


def minutes_around(instant: datetime, before: timedelta, after: timedelta) -> Iterator[datetime]:
    """Every civil minute from ten minutes before the change to ten after, by both its offsets."""
    civil = (instant + min(before, after)).replace(tzinfo=None) - 10 * MINUTE
    end = (instant + max(before, after)).replace(tzinfo=None) + 10 * MINUTE
    # Samoa left a whole day out: half-hours do there.
    step = MINUTE if end - civil < timedelta(hours=6) else 30 * MINUTE
    while civil <= end:
        yield civil
        civil += step


@pytest.mark.parametrize("name", ZONES)
def test_around_every_change_of_the_clocks_a_civil_time_has_the_instant_of_our_rule(name: str) -> None:
    zone = ZoneInfo(name)
    for instant, before, after in transitions(name):
        gap_from = (instant + before).replace(tzinfo=None)
        gap_to = (instant + after).replace(tzinfo=None)
        resolved = [resolve(civil, zone) for civil in minutes_around(instant, before, after)]
        for found in resolved:
            naive = found.civil.replace(tzinfo=UTC)
            if gap_from <= found.civil < gap_to:
                assert (found.is_gap, found.at) == (True, instant), found
            elif gap_to <= found.civil < gap_from:
                assert (found.is_repeated, found.at) == (True, naive - before), found
            else:
                assert not found.remark, found
                assert found.at == naive - (before if naive - before < instant else after), found
                continue
            assert found.remark
        assert all(one.at <= next_one.at for one, next_one in pairwise(resolved)), (
            "later by the clock, earlier"
        )


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("rule", ["sun 02:30", "fri 00:30", "fri 07:30", "sun 01:30"])
def test_a_weekly_rule_happens_once_in_every_week_of_55_years(name: str, rule: str) -> None:
    weekly, zone = Weekly.of(rule), ZoneInfo(name)
    civils = list(takewhile(lambda civil: civil < TO, weekly.after(FROM)))
    instants = [resolve(civil, zone).at for civil in civils]
    assert len(set(instants)) == len(civils) >= 2921
    assert all(one < next_one for one, next_one in pairwise(instants))
    assert {(civil.weekday(), civil.time()) for civil in civils} == {(weekly.weekday, weekly.at)}


def test_the_zones_of_the_test_really_change_their_clocks() -> None:
    changes = {name: len(transitions(name)) for name in ZONES}
    assert changes["Asia/Kathmandu"] == 0, "its last change was in 1986"
    assert all(number > 15 for name, number in changes.items() if name != "Asia/Kathmandu"), changes
    assert any(after - before == timedelta(days=1) for _, before, after in transitions("Pacific/Apia"))


@pytest.mark.parametrize(
    ("civil", "zone", "instant", "remark"),
    [
        ("2027-03-28 02:30", "Europe/Paris", "2027-03-28 01:00", "2027-03-28 03:00 is taken"),
        ("2027-10-31 02:30", "Europe/Paris", "2027-10-31 00:30", "the first of the two"),
        ("2027-04-30 00:30", "Africa/Cairo", "2027-04-29 22:00", "2027-04-30 01:00 is taken"),
        ("2027-11-07 01:30", "America/New_York", "2027-11-07 05:30", "the first of the two"),
        ("2026-10-04 02:10", "Australia/Lord_Howe", "2026-10-03 15:30", "2026-10-04 02:30 is taken"),
        ("2011-12-30 07:30", "Pacific/Apia", "2011-12-30 10:00", "2011-12-31 00:00 is taken"),
        ("2026-04-10 07:30", "Asia/Kathmandu", "2026-04-10 01:45", ""),
    ],
)
def test_gaps_and_repeated_hours_are_explained(civil: str, zone: str, instant: str, remark: str) -> None:
    found = resolve(civil_of(civil), zone_of(zone))
    assert found.at == datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert remark in found.remark


def test_the_next_time_of_a_weekly_rule_is_later_than_the_time_given() -> None:
    rule = Weekly(4, time(7, 30))
    assert next(rule.after(civil_of("2026-04-10 07:29"))) == civil_of("2026-04-10 07:30")
    assert next(rule.after(civil_of("2026-04-10 07:30"))) == civil_of("2026-04-17 07:30")
    assert str(rule) == "fri 07:30"


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-04-31 07:30",
        "2026-04-10",
        "2026-04-10 25:00",
        "07:30",
        "0001-01-01 00:00",  # at the ends of the calendar a zone has no instant
        "9999-12-31 23:59",
    ],
)
def test_what_is_no_date_and_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(NewsletterError, match="no date and time") as refusal:
        civil_of(text)
    assert "2026-04-10 07:30" in (refusal.value.cure or "")


def test_a_zone_is_known_by_any_letter_case_and_a_wrong_one_names_the_nearest() -> None:
    assert zone_of("europe/paris").key == "Europe/Paris"
    with pytest.raises(NewsletterError, match="no time zone") as refusal:
        zone_of("Europe/Pariss")
    assert "Europe/Paris" in (refusal.value.cure or "")


@pytest.mark.parametrize("name", ["localtime", "Factory"])
def test_what_means_no_place_is_no_zone(name: str) -> None:
    with pytest.raises(NewsletterError, match="no time zone"):
        zone_of(name)


def test_the_zone_data_has_a_version_that_sorts_by_age() -> None:
    assert data_version("Europe/Paris") >= "2024a"
