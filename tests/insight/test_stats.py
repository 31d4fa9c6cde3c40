"""The numbers of a campaign, counted by hand beside."""

import pytest
from sqlalchemy import insert

from mailer.insight.stats import CampaignStats, campaign_stats
from mailer.models import Fate
from mailer.tables import deliveries
from subscribers.errors import NotFound
from tests.insight.world import World


def numbers(world: World) -> CampaignStats:
    return campaign_stats(world.connection, world.campaign)


def test_a_person_is_counted_once_by_the_best_verdict(world: World) -> None:
    world.start_campaign()
    for name in ("ada", "bo", "cy"):
        world.letter(name)
    for verdict in ("machine", "human", "human", "unknown"):
        world.hit("ada", "open", verdict)
    for verdict in ("machine", "unknown", "machine"):
        world.hit("bo", "open", verdict)
    world.hit("cy", "open", "machine")
    assert numbers(world).opened.as_json() == {"human": 1, "machine": 1, "unknown": 1}


def test_a_person_who_clicked_has_opened_with_images_or_without(world: World) -> None:
    world.start_campaign()
    for name in ("ada", "bo", "cy"):
        world.letter(name)
    world.hit("ada", "click", "human", "story:1")
    world.hit("bo", "click", "machine", "story:1")
    world.hit("cy", "click", "human", "story:1")
    world.hit("cy", "open", "machine")
    assert numbers(world).opened.as_json() == {"human": 2, "machine": 0, "unknown": 0}
    assert numbers(world).clicked.as_json() == {"human": 2, "machine": 1, "unknown": 0}


def test_only_letters_handed_over_count(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    for handover in ("waiting", "rejected", "withheld", "held"):
        world.letter(handover, handover=handover, fate="none")
        world.hit(handover, "open", "human")
    found = numbers(world)
    assert (found.sent, found.measurable, found.delivered, found.opened.human) == (1, 1, 1, 0)


def test_fates_are_told_apart(world: World) -> None:
    world.start_campaign()
    for fate in Fate:
        world.letter(fate, fate=fate.value)
    world.letter("another", fate="delivered")
    found = numbers(world)
    # A complaint is made about a letter that came.
    assert (found.sent, found.delivered, found.bounced, found.complained) == (8, 3, 1, 1)


def test_the_base_is_who_was_measured_when_the_letter_was_made(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    world.letter("bo", measured=False)
    world.letter("cy", measured=False)
    assert (numbers(world).sent, numbers(world).measurable) == (3, 1)
    # Agreed between the freeze and the call, and was measured: nobody opens from outside the base.
    world.hit("cy", "open", "machine")
    assert numbers(world).measurable == 2


def test_a_hit_waits_for_its_verdict(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    world.hit("ada", "click", "human", "story:1", settled=False)
    found = numbers(world)
    assert (found.opened.human, found.clicked.human, found.stories[0].clicked) == (0, 0, 0)
    assert found.links[0].clicked.human == 0


def test_hits_without_a_reader_are_totals(world: World) -> None:
    world.start_campaign()
    world.letter("ada", measured=False)
    for verdict in ("human", "machine", "unknown"):
        world.hit(None, "open", verdict)
    world.hit(None, "click", "human", "story:1")
    world.hit(None, "click", "machine", "story:1")
    found = numbers(world)
    assert found.as_json()["anonymous"] == {"opens": 3, "clicks": 2}
    assert (found.anonymous.machine_opens, found.anonymous.machine_clicks) == (1, 1)
    assert found.opened.human == found.clicked.human == found.stories[0].clicked == 0
    assert [link.anonymous for link in found.links if link.place == "story:1"] == [2]


def test_who_left_is_counted_once(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    world.letter("bo")
    for kind in ("unsubscribe", "unsubscribe", "group_unsubscribe"):
        world.hit("ada", kind, None)
    world.hit("bo", "delivered", None)
    assert numbers(world).unsubscribed == 1


def test_stories_topics_and_links_are_counted_by_people(world: World) -> None:
    world.start_campaign()
    world.letter("ada", "1-2")
    world.letter("bo", "1-2", measured=False)
    world.letter("cy", "3")
    world.letter("di", "full")
    for place in ("story:1", "reference:1", "story:2", "cta:1"):
        world.hit("ada", "click", "human", place)
    world.hit("di", "click", "human", "reference:1")
    world.hit("di", "click", "machine", "story:4")
    world.hit("cy", "click", "unknown", "story:3")
    found = numbers(world)
    assert [(s.number, s.reached, s.measurable, s.clicked) for s in found.stories] == [
        (1, 3, 2, 2),
        (2, 3, 2, 1),
        (3, 2, 2, 0),
        (4, 1, 1, 0),
    ]
    assert [(t.topic, t.stories, t.reached, t.measurable, t.clicked) for t in found.topics] == [
        ("car-t", (1, 2), 3, 2, 2),
        ("myeloma", (2, 3), 4, 3, 1),
    ]
    assert {link.place: link.clicked.human for link in found.links} == {
        "story:1": 1,
        "story:2": 1,
        "story:3": 0,
        "story:4": 0,
        "reference:1": 2,
        "cta:1": 1,
    }
    assert {edition.key: edition.totals.clicked.human for edition in found.editions} == {
        "1-2": 1,
        "3": 0,
        "full": 1,
    }


def test_editions_add_up_to_the_campaign(world: World) -> None:
    world.start_campaign()
    for index in range(30):
        name = f"reader-{index}"
        world.letter(name, ("1-2", "3", "full")[index % 3], measured=index % 2 == 0)
        if index % 2 == 0:
            world.hit(name, "open", ("human", "machine", "unknown")[index % 3])
    found = numbers(world).as_json()
    for name in ("sent", "measurable", "delivered", "bounced", "complained"):
        assert found[name] == sum(edition[name] for edition in found["editions"])
    for name in ("opened", "clicked"):
        for verdict in ("human", "machine", "unknown"):
            assert found[name][verdict] == sum(edition[name][verdict] for edition in found["editions"])


def test_campaigns_do_not_mix(world: World) -> None:
    first = world.start_campaign()
    world.letter("ada")
    world.hit("ada", "click", "human", "story:1")
    before = campaign_stats(world.connection, first)
    world.start_campaign("week-05")
    world.letter("ada")
    world.hit("ada", "open", "machine")
    world.hit(None, "open", "unknown")
    assert campaign_stats(world.connection, first) == before
    assert numbers(world).opened.as_json() == {"human": 0, "machine": 1, "unknown": 0}


def test_letters_of_other_campaigns_within_the_range_are_not_counted(world: World) -> None:
    first = world.start_campaign()
    world.letter("ada")
    chunk, editions = world.chunk, dict(world.editions)
    world.start_campaign("week-05")
    world.letter("bo")
    row = {
        "campaign_id": first,
        "issue_id": 1,
        "edition_id": editions["full"],
        "chunk_id": chunk,
        "email": "",
    }
    world.connection.execute(insert(deliveries).values(**row, handover="accepted"))
    assert campaign_stats(world.connection, first).sent == 2
    assert numbers(world).sent == 1


def test_the_document_has_the_shape_that_scripts_rely_on(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    document = numbers(world).as_json()
    assert list(document) == [
        "campaign",
        "sent",
        "measurable",
        "delivered",
        "bounced",
        "complained",
        "unsubscribed",
        "opened",
        "clicked",
        "anonymous",
        "editions",
        "topics",
        "stories",
        "links",
    ]
    assert document["stories"][0] == {
        "id": "s-1",
        "number": 1,
        "title": "Story 1",
        "topics": ["car-t"],
        "reached": 1,
        "clicked": 0,
    }


def test_a_campaign_without_letters_has_zeros(world: World) -> None:
    world.start_campaign()
    found = numbers(world)
    assert (found.sent, found.measurable, found.opened.human, found.stories[0].reached) == (0, 0, 0, 0)


def test_an_unknown_campaign_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="there is no campaign 7"):
        campaign_stats(world.connection, 7)
