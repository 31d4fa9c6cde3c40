"""What the conditions on people pick, and how segments are kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import pytest
from sqlalchemy import insert

from mailer.database import Database
from subscribers import lists, segments
from subscribers.errors import NewsletterError, NotFound
from subscribers.segment_leaves import own_leaves
from subscribers.segment_rules import MAX_CONDITIONS, MAX_VALUES
from subscribers.tables import subscriber, suppression, topic
from tests.insight.world import World

TOPICS = {"car-t": "CAR-T", "myeloma": "Myeloma", "immunology": "Immunology"}


@pytest.fixture
def people(database: Database, now: datetime) -> Iterator[World]:
    with database.ledger() as connection:
        connection.execute(insert(topic), [{"slug": "car-t", "bit": 0}, {"slug": "myeloma", "bit": 5}])
        world = World(connection, now)
        country = {"country": "FR", "specialty": "Haematology, adult"}
        world.reader("ada", all_topics=True, timezone="Europe/Paris", attributes=country)
        world.reader("bo", topic_mask=1, timezone="America/New_York", attributes={"country": "US"})
        world.reader("cy", topic_mask=32, created_at=now - timedelta(days=3))
        world.reader("di", topic_mask=33, status="pending")
        world.reader("ed", topic_mask=1, status="unsubscribed")
        world.reader("flo", all_topics=True)
        row = {"reason": "complaint", "detail": "", "since": now, "source": "", "key_id": 1}
        connection.execute(insert(suppression).values(key_hash="hash-of-flo", **row))
        (number, _slug) = lists.ensure_lists(connection, ["Congress 2026"], now=now)["Congress 2026"]
        lists.add_members(connection, number, [world.readers["bo"], world.readers["flo"]], now=now)
        yield world


def picked(world: World, rule: Any, **options: Any) -> set[str]:
    leaves = own_leaves(world.connection, TOPICS)
    query = segments.select_ids(rule, leaves, world.now, **options)
    ids: set[int] = {row[0] for row in world.connection.execute(query)}
    assert segments.count(world.connection, rule, leaves, world.now, **options) == len(ids)
    return {name for name, number in world.readers.items() if number in ids}


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ({"topic": "car-t"}, {"ada", "bo"}),
        ({"topic": "myeloma"}, {"ada", "cy"}),
        ({"topic": "immunology"}, {"ada"}),
        ({"not": {"topic": "car-t"}}, {"cy"}),
        ({"all_topics": True}, {"ada"}),
        ({"all_topics": False}, {"bo", "cy"}),
        ({"list": "congress-2026"}, {"bo"}),
        ({"not": {"list": "congress-2026"}}, {"ada", "cy"}),
        ({"attribute": {"name": "country", "is": "FR"}}, {"ada"}),
        ({"attribute": {"name": "country", "is": "fr"}}, set()),
        ({"not": {"attribute": {"name": "country", "is": "FR"}}}, {"bo", "cy"}),
        ({"attribute": {"name": "country", "is_one_of": ["US", "FR"]}}, {"ada", "bo"}),
        ({"attribute": {"name": "specialty", "contains": "haemat"}}, {"ada"}),
        ({"attribute": {"name": "specialty", "contains": "%"}}, set()),
        ({"attribute": {"name": "specialty", "is": "FR"}}, set()),
        ({"zone": "Europe/Paris"}, {"ada"}),
        ({"zone": ["Europe", "America"]}, {"ada", "bo"}),
        ({"not": {"zone": "Europe"}}, {"bo", "cy"}),
        ({"joined_since": "2026-04-01"}, {"cy"}),
        ({"not": {"joined_since": "2026-04-01"}}, {"ada", "bo"}),
        ({"joined_within_days": 3}, {"cy"}),
        ({"joined_within_days": 2}, set()),
        ({"status": "pending"}, {"di"}),
        ({"status": "unsubscribed"}, {"ed"}),
        ({"all": [{"status": "active"}, {"topic": "car-t"}]}, {"ada", "bo", "flo"}),
        ({"any": [{"topic": "myeloma"}, {"list": "congress-2026"}]}, {"ada", "bo", "cy"}),
        ({"all": [{"topic": "car-t"}, {"not": {"any": [{"zone": "Europe"}]}}]}, {"bo"}),
    ],
)
def test_a_rule_picks_whom_it_says(people: World, rule: Any, names: set[str]) -> None:
    assert picked(people, rule) == names


@pytest.mark.parametrize("value", ["Zürich", 'a"b', "50 %", "a_b", "C:\\x", "日本", "e", "O'Neil"])
def test_an_attribute_is_found_whatever_characters_it_has(people: World, value: str) -> None:
    people.reader("gus", attributes={"city, new": value, "other": "x"})
    for test in ("is", "contains"):
        assert picked(people, {"attribute": {"name": "city, new", test: value}}) == {"gus"}


@pytest.mark.parametrize(("value", "part"), [("ÉCOLE ÉTÉ", "école"), ("Straße", "STRASSE"), ("İzmir", "i̇z")])
def test_a_part_is_found_in_any_letter_case_of_any_language(people: World, value: str, part: str) -> None:
    people.reader("gus", attributes={'a "quoted" name': value})
    assert picked(people, {"attribute": {"name": 'a "quoted" name', "contains": part}}) == {"gus"}


def test_an_attribute_of_who_is_not_mailed_counts_for_nothing(people: World) -> None:
    for name, status in {"gus": "pending", "hal": "unsubscribed", "ina": "active"}.items():
        people.reader(name, attributes={"country": "FR"}, status=status)
    row = {"reason": "complaint", "detail": "", "since": people.now, "source": "", "key_id": 1}
    people.connection.execute(insert(suppression).values(key_hash="hash-of-hal", **row))
    people.connection.execute(insert(suppression).values(key_hash="hash-of-ina", **row))
    assert picked(people, {"attribute": {"name": "country", "is": "FR"}}) == {"ada"}
    assert picked(people, {"attribute": {"name": "country", "contains": "r"}}) == {"ada"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"list": "congres-2026"}, "'congres-2026' is not a list. Did you mean 'congress-2026'?"),
        ({"zone": "Europe/Pariss"}, "Did you mean 'Europe/Paris'?"),
        ({"zone": []}, "is a list of texts, not an empty one"),
        ({"joined_since": "2026-02-30"}, "'2026-02-30' is no date like 2026-01-31."),
        ({"joined_since": "20260101"}, "is no date like"),
        ({"status": "dead"}, "'dead' is not a status"),
        ({"attribute": {"name": "x"}}, "needs a name and one of is, is_one_of, contains"),
        ({"attribute": {"name": "x", "is": "a", "contains": "b"}}, "needs a name and one of"),
        ({"attribute": {"is": "a"}}, "'attribute' needs 'name'"),
        ({"attribute": {"name": "x", "is_one_of": ["a", 3]}}, "attribute.is_one_of[1]"),
        ({"attribute": {"name": "x", "equals": "a"}}, "'attribute' has no key 'equals'"),
        ({"joined_within_days": 10**9}, "from 1 to 36525"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest(people: World, rule: Any, said: str) -> None:
    with pytest.raises(NewsletterError) as caught:
        segments.parse_rule(rule, own_leaves(people.connection, TOPICS))
    assert said in str(caught.value)


def test_a_segment_is_kept_said_and_replaced(people: World, now: datetime) -> None:
    leaves = own_leaves(people.connection, TOPICS)
    saved = segments.save(people.connection, "CAR-T readers", '{"topic": "car-t"}', leaves, now=now)
    assert (saved.slug, saved.name) == ("car-t-readers", "CAR-T readers")
    rule = segments.load(people.connection, "CAR-T readers", leaves)
    assert segments.in_words(rule) == "Readers who get the topic CAR-T."
    segments.save(people.connection, "car-t-readers", {"topic": "myeloma"}, leaves, now=now)
    assert [each.rule for each in segments.list_all(people.connection)] == [{"topic": "myeloma"}]
    segments.remove(people.connection, "car-t-readers")
    with pytest.raises(NotFound, match="there is no segment 'car-t-readers'"):
        segments.find(people.connection, "car-t-readers")


def test_a_refused_rule_is_not_kept(people: World, now: datetime) -> None:
    leaves = own_leaves(people.connection, TOPICS)
    with pytest.raises(NewsletterError, match=r"rule\.json: topic: 'cart'"):
        segments.save(people.connection, "x", '{"topic": "cart"}', leaves, now=now, file="rule.json")
    assert segments.list_all(people.connection) == []


def test_a_rule_whose_list_has_gone_is_refused_and_not_read_as_nobody(people: World, now: datetime) -> None:
    leaves = own_leaves(people.connection, TOPICS)
    segments.save(people.connection, "booth", {"not": {"list": "congress-2026"}}, leaves, now=now)
    lists.remove(people.connection, lists.get(people.connection, "congress-2026").id)
    with pytest.raises(NewsletterError, match=r"segment 'booth': not\.list: 'congress-2026' is not a list"):
        segments.load(people.connection, "booth", own_leaves(people.connection, TOPICS))


def test_renaming_a_topic_renames_it_in_every_rule(people: World, now: datetime) -> None:
    leaves = own_leaves(people.connection, TOPICS)
    rule = {"all": [{"not": {"topic": "car-t"}}, {"attribute": {"name": "topic", "is": "car-t"}}]}
    segments.save(people.connection, "one", rule, leaves, now=now)
    segments.save(people.connection, "two", {"topic": "myeloma"}, leaves, now=now)
    assert segments.rename_topic(people.connection, "car-t", "cells") == ["one"]
    assert segments.find(people.connection, "one").rule == {
        "all": [{"not": {"topic": "cells"}}, {"attribute": {"name": "topic", "is": "car-t"}}]
    }


def test_a_suppressed_reader_is_in_no_segment_but_one_about_status(people: World) -> None:
    assert "flo" not in picked(people, {"list": "congress-2026"})
    assert "flo" in picked(people, {"all": [{"status": "active"}, {"list": "congress-2026"}]})


def test_an_erased_person_is_in_no_segment(people: World) -> None:
    people.reader("jo", status="unsubscribed", email="")
    assert picked(people, {"status": "unsubscribed"}) == {"ed"}


def test_the_day_of_joining_is_one_of_utc(people: World) -> None:
    people.reader("hal", created_at=datetime(2026, 4, 1, 0, 0, tzinfo=UTC))
    people.reader("ina", created_at=datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
    assert picked(people, {"joined_since": "2026-04-01"}) == {"cy", "hal"}


def test_a_segment_never_writes(people: World) -> None:
    before = people.connection.execute(subscriber.select()).all()
    picked(people, {"topic": "car-t"})
    assert people.connection.execute(subscriber.select()).all() == before


def test_the_largest_rules_of_many_areas_are_counted(people: World) -> None:
    areas = sorted({zone.split("/")[0] for zone in available_timezones() if "/" in zone})
    rule = {"any": [{"zone": areas}] * min(MAX_CONDITIONS, MAX_VALUES // len(areas))}
    assert picked(people, rule) == {"ada", "bo"}
    assert picked(people, {"not": rule}) == {"cy"}
    assert picked(people, {"any": [{"zone": ["Europe"] * 400}] * 10}) == {"ada"}


def test_the_values_of_all_conditions_together_are_limited(people: World) -> None:
    countries = {"attribute": {"name": "country", "is_one_of": [f"C{n}" for n in range(499)] + ["FR"]}}
    most = MAX_VALUES // 500
    assert picked(people, {"any": [countries] * most}) == {"ada"}
    with pytest.raises(NewsletterError, match="more than 5,000 values together"):
        picked(people, {"any": [countries] * (most + 1)})
