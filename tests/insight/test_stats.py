"""The numbers of a campaign, counted by hand beside."""

import pytest

from mailer.insight.stats import campaign_stats
from subscribers.errors import NotFound
from tests.insight.world import World


def test_a_person_is_counted_once_by_the_best_verdict(world: World) -> None:
    world.start_campaign()
    for name in ("ada", "bo", "cy"):
        world.letter(name)
    for verdict in ("machine", "human", "human", "unknown"):
        world.hit("ada", "open", verdict)
    for verdict in ("machine", "unknown", "machine"):
        world.hit("bo", "open", verdict)
    world.hit("cy", "open", "machine")
    assert campaign_stats(world.connection, world.campaign).opened.as_json() == {
        "human": 1,
        "machine": 1,
        "unknown": 1,
    }


def test_a_person_who_clicked_has_opened_with_images_or_without(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    world.letter("bo")
    world.hit("ada", "click", "human", "story:1")
    world.hit("bo", "click", "machine", "story:1")
    numbers = campaign_stats(world.connection, world.campaign)
    assert numbers.opened.as_json() == {"human": 1, "machine": 0, "unknown": 0}
    assert numbers.clicked.as_json() == {"human": 1, "machine": 1, "unknown": 0}


def test_an_unknown_campaign_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="there is no campaign 7"):
        campaign_stats(world.connection, 7)
