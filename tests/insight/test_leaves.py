"""Segments that read what became of letters, and what they never do to readers who are not measured."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import insert

from mailer.config import Settings
from mailer.database import Database
from mailer.insight.leaves import registry
from subscribers import segments
from subscribers.errors import NewsletterError
from subscribers.tables import topic
from tests.insight.world import World


def picked(world: World, settings: Settings, rule: Any, *, excluding: bool = False) -> set[str]:
    leaves = registry(world.connection, settings)
    query = segments.select_ids(rule, leaves, world.now, excluding=excluding)
    ids: set[int] = {row[0] for row in world.connection.execute(query)}
    assert segments.count(world.connection, rule, leaves, world.now, excluding=excluding) == len(ids)
    return {name for name, number in world.readers.items() if number in ids}


@pytest.fixture
def readers(world: World, now: datetime) -> World:
    """Measured for long, measured since last week, once measured, never measured."""
    year = now - timedelta(days=365)
    today = now.date()
    world.reader("opened", consents=year, last_engaged_on=today - timedelta(days=90))
    world.reader("silent", consents=year)
    world.reader("lapsed", consents=year, last_engaged_on=today - timedelta(days=91))
    world.reader("clicked", consents=year, last_engaged_on=today, last_clicked_on=today)
    world.reader("agreed-lately", consents=now - timedelta(days=7))
    world.reader("joined-lately", consents=now - timedelta(days=7), created_at=now - timedelta(days=7))
    world.reader("withdrew", consents=year, last_engaged_on=today, track_consent=False)
    world.agreed("withdrew", now - timedelta(days=1), "withdrawn")
    world.reader("never")
    return world


def test_who_opened_is_measured_and_did_within_the_days(readers: World, settings: Settings) -> None:
    assert picked(readers, settings, {"opened_within_days": 90}) == {"opened", "clicked"}
    assert picked(readers, settings, {"opened_within_days": 91}) == {"opened", "clicked", "lapsed"}
    assert picked(readers, settings, {"clicked_within_days": 90}) == {"clicked"}


def test_who_did_not_open_was_measured_all_the_time(readers: World, settings: Settings) -> None:
    assert picked(readers, settings, {"not": {"opened_within_days": 90}}) == {"silent", "lapsed"}
    assert picked(readers, settings, {"not": {"opened_within_days": 6}}) == {
        "opened",
        "silent",
        "lapsed",
        "agreed-lately",
        "joined-lately",
    }


def test_readers_in_doubt_may_be_counted_in_and_never_out(readers: World, settings: Settings) -> None:
    rule = {"opened_within_days": {"days": 90, "or_unmeasured": True}}
    doubtful = {"agreed-lately", "joined-lately", "withdrew", "never"}
    assert picked(readers, settings, rule) == {"opened", "clicked"} | doubtful
    assert picked(readers, settings, rule, excluding=True) == {"opened", "clicked"}
    for excluding in (False, True):
        assert picked(readers, settings, {"not": rule}, excluding=excluding) == {"silent", "lapsed"}


def individually(settings: Settings, mode: str) -> Settings:
    tracking = settings.tracking.model_copy(update={"individual": mode})
    return settings.model_copy(update={"tracking": tracking})


def test_when_everyone_is_measured_consent_is_not_asked(readers: World, settings: Settings) -> None:
    everyone = individually(settings, "everyone")
    assert "withdrew" in picked(readers, everyone, {"opened_within_days": 90})
    assert picked(readers, everyone, {"not": {"opened_within_days": 90}}) == {
        "silent",
        "lapsed",
        "agreed-lately",
        "never",
    }


def test_when_nobody_is_measured_opens_pick_nobody(readers: World, settings: Settings) -> None:
    nobody = individually(settings, "nobody")
    assert picked(readers, nobody, {"opened_within_days": 90}) == set()
    assert picked(readers, nobody, {"not": {"opened_within_days": 90}}) == set()


@pytest.fixture
def campaign(world: World, now: datetime) -> World:
    year = now - timedelta(days=365)
    world.start_campaign()
    for name in ("ada", "bo", "cy", "di"):
        world.reader(name, consents=year)
        world.letter(name)
    world.reader("elsewhere", consents=year)
    world.reader("unmeasured")
    world.letter("unmeasured", measured=False)
    world.hit("ada", "click", "human", "story:1")
    world.hit("bo", "click", "human", "reference:1")
    world.hit("cy", "click", "machine", "story:1")
    world.hit("di", "click", "human", "cta:1")
    return world


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ({}, {"ada", "bo", "di"}),
        ({"story": 1}, {"ada", "bo"}),
        ({"story": 2}, set()),
        ({"place": "story:1"}, {"ada"}),
        ({"place": "cta:1"}, {"di"}),
    ],
)
def test_who_clicked_where(
    campaign: World, settings: Settings, target: Mapping[str, Any], names: set[str]
) -> None:
    rule = {"clicked": {"campaign": campaign.campaign, **target}}
    assert picked(campaign, settings, rule) == names
    measured = {"ada", "bo", "cy", "di", "elsewhere"}
    assert picked(campaign, settings, {"not": rule}) == measured - names


def test_a_click_that_waits_for_its_verdict_is_nobodys_yet(campaign: World, settings: Settings) -> None:
    campaign.hit("cy", "click", "human", "cta:1", settled=False)
    rule = {"clicked": {"campaign": campaign.campaign, "place": "cta:1"}}
    assert picked(campaign, settings, rule) == {"di"}


def test_who_agreed_after_the_letter_is_in_doubt_about_it(
    campaign: World, settings: Settings, now: datetime
) -> None:
    campaign.reader("late", consents=now - timedelta(days=1))
    campaign.letter("late", measured=False)
    rule = {"clicked": {"campaign": campaign.campaign}}
    assert "late" not in picked(campaign, settings, rule) | picked(campaign, settings, {"not": rule})


def received(world: World, settings: Settings) -> set[str]:
    rule = {"received": {"campaign": world.campaign}}
    names = picked(world, settings, rule)
    assert picked(world, settings, {"not": rule}) == set(world.readers) - names
    return names


def test_who_received_is_known_of_everybody(campaign: World, settings: Settings) -> None:
    assert received(campaign, settings) == {"ada", "bo", "cy", "di", "unmeasured"}


@pytest.mark.parametrize("handover", ["waiting", "held", "rejected"])
def test_only_letters_handed_over_were_received(campaign: World, settings: Settings, handover: str) -> None:
    campaign.reader("fay")
    mark = (
        {"rejected": 1}
        if handover == "rejected"
        else {"state": {"held": "uncertain"}.get(handover, handover)}
    )
    campaign.letter("fay", handover=handover, chunk_id=campaign.another_chunk(**mark))
    assert "fay" not in received(campaign, settings)


def test_a_letter_of_a_cancelled_campaign_does_not_hide_the_one_that_came(
    campaign: World, settings: Settings
) -> None:
    first = campaign.campaign
    campaign.reader("gil")
    chunk = campaign.another_chunk(state="withheld")
    campaign.letter("gil", handover="withheld", reason="cancelled", chunk_id=chunk)
    assert "gil" not in received(campaign, settings)
    campaign.start_campaign(again=True)
    campaign.letter("gil")
    assert received(campaign, settings) == {"gil"}
    campaign.campaign = first
    assert "gil" not in received(campaign, settings)


def test_an_erased_reader_leaves_no_hole_in_not(campaign: World, settings: Settings) -> None:
    campaign.letter("nobody", subscriber_id=None)
    campaign.hit("nobody", "click", "human", "story:2")
    rule = {"not": {"clicked": {"campaign": campaign.campaign, "story": 2}}}
    assert picked(campaign, settings, rule) == {"ada", "bo", "cy", "di", "elsewhere"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"received": {"campaign": 99}}, "received.campaign: there is no campaign 99."),
        (
            {"clicked": {"campaign": 1, "story": 9}},
            "clicked.story: campaign 1 (week-04) has no story 9; it has 1 to 4.",
        ),
        ({"clicked": {"campaign": 1, "place": "cta:7"}}, "has no link at 'cta:7'. Did you mean 'cta:1'?"),
        ({"clicked": {"campaign": 1, "story": 1, "place": "cta:1"}}, "a story or a place, not both"),
        ({"clicked": {"story": 1}}, "'clicked' needs 'campaign'"),
        ({"received": 1}, "'received' is an object with 'campaign', not a number"),
        ({"received": {"campaign": 2**70}}, "a whole number from 1 to"),
        ({"opened_within_days": {"or_unmeasured": True}}, "'opened_within_days' needs 'days'"),
        ({"opened_within_days": {"days": 3, "or_unmeasured": 1}}, "is true or false, not a number"),
        ({"opened_within_days": 0}, "a whole number from 1 to 36525"),
    ],
)
def test_what_does_not_exist_is_refused(campaign: World, settings: Settings, rule: Any, said: str) -> None:
    with pytest.raises(NewsletterError) as caught:
        segments.parse_rule(rule, registry(campaign.connection, settings))
    assert said in str(caught.value)


def test_measuring_is_said_in_words(campaign: World, settings: Settings) -> None:
    leaves = registry(campaign.connection, settings)
    rule = {"all": [{"opened_within_days": 90}, {"not": {"clicked": {"campaign": 1, "story": 2}}}]}
    assert segments.in_words(segments.parse_rule(rule, leaves)) == (
        "Readers who are measured and opened or clicked in the last 90 days and are measured and did not "
        "click story 2 of campaign 1 (week-04)."
    )


# -- the property: a reader is picked only if every truth about their opens and clicks would pick them ------

KNOWN = ("topic", "received")
ENGAGEMENT = ("opened", "clicked", "story")
LEAVES: Mapping[str, Any] = {
    "topic": {"topic": "car-t"},
    "received": {"received": {"campaign": 1}},
    "opened": {"opened_within_days": 90},
    "clicked": {"clicked_within_days": 30},
    "story": {"clicked": {"campaign": 1, "story": 1}},
    "opened-or-doubt": {"opened_within_days": {"days": 90, "or_unmeasured": True}},
}
_rules = st.recursive(
    st.sampled_from(sorted(LEAVES)).map(lambda name: LEAVES[name]),
    lambda inner: (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=8,
)


@pytest.fixture
def twins(database: Database, now: datetime) -> Iterator[World]:
    """For every known side of a reader: one who is unmeasured, and measured ones of every engagement."""
    year = now - timedelta(days=365)
    with database.ledger() as connection:
        connection.execute(insert(topic).values(slug="car-t", bit=0))
        world = World(connection, now)
        world.start_campaign()
        for known in product((False, True), repeat=len(KNOWN)):
            for engaged in product((False, True), repeat=len(ENGAGEMENT)):
                name = _name(known, engaged)
                days = {
                    "last_engaged_on": now.date() if engaged[0] else None,
                    "last_clicked_on": now.date() if engaged[1] else None,
                }
                world.reader(name, consents=year, topic_mask=int(known[0]), **days)
                if known[1]:
                    world.letter(name)
                elif engaged[2]:
                    world.letter(name, handover="rejected", chunk_id=world.another_chunk(rejected=1))
                if engaged[2]:
                    world.hit(name, "click", "human", "story:1")
            name = _name(known, None)
            world.reader(name, topic_mask=int(known[0]), last_engaged_on=now.date())
            if known[1]:
                world.letter(name, measured=False)
        yield world


def _name(known: tuple[bool, ...], engaged: tuple[bool, ...] | None) -> str:
    return f"{known}-{engaged}"


@given(rule=_rules, excluding=st.booleans())
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_turns_on_a_reader_being_unmeasured(
    twins: World, settings: Settings, rule: Any, excluding: bool
) -> None:
    names = picked(twins, settings, rule, excluding=excluding)
    for known in product((False, True), repeat=len(KNOWN)):
        truths = [
            _holds(rule, dict(zip((*KNOWN, *ENGAGEMENT), (*known, *engaged), strict=True)))
            for engaged in product((False, True), repeat=len(ENGAGEMENT))
        ]
        found = [_name(known, engaged) in names for engaged in product((False, True), repeat=len(ENGAGEMENT))]
        assert found == truths
        if _name(known, None) in names and (excluding or "or_unmeasured" not in str(rule)):
            assert all(truths)


def _holds(rule: Any, truth: Mapping[str, bool]) -> bool:
    """The rule by Python's own logic, of a measured reader."""
    ((word, inner),) = rule.items()
    if word == "not":
        return not _holds(inner, truth)
    if word in ("all", "any"):
        return (all if word == "all" else any)(_holds(part, truth) for part in inner)
    name = next(name for name, leaf in LEAVES.items() if leaf == rule)
    return truth["opened" if name == "opened-or-doubt" else name]
