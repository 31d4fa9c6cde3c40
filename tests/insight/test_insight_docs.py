"""The docs say what the code does: each number, each condition, each example."""

import json
import re
from typing import Any

import pytest

from mailer.config import Settings
from mailer.insight.definitions import DEFINITIONS, as_markdown
from mailer.insight.leaves import registry
from mailer.insight.stats import campaign_stats
from subscribers import lists, segments
from tests.conftest import ROOT
from tests.insight.world import World

SEGMENTS = (ROOT / "docs/segments.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples/segments").glob("*.json"))


def test_the_docs_carry_the_definitions_word_for_word() -> None:
    assert as_markdown() in (ROOT / "docs/numbers.md").read_text(encoding="utf-8")


def test_every_number_of_the_document_has_one_definition(world: World) -> None:
    world.start_campaign()
    world.letter("ada")
    document = campaign_stats(world.connection, world.campaign).as_json()
    names = {f"{name}.{part}" for name in ("opened", "clicked", "anonymous") for part in document[name]}
    names |= {name for name, value in document.items() if isinstance(value, int) and name != "campaign"}
    names |= {"editions", "topics.reached", "topics.clicked", "stories.reached", "stories.clicked"}
    assert names | {"links.clicked", "links.anonymous"} == set(DEFINITIONS)


def test_every_condition_is_documented_with_its_own_example(world: World, settings: Settings) -> None:
    leaves = registry(world.connection, settings)
    rows = [f"| `{n}` | `{json.dumps({n: leaf.example})}` | {leaf.meaning} |" for n, leaf in leaves.items()]
    assert "\n".join(rows) in SEGMENTS


def test_every_example_of_a_condition_is_one(world: World, settings: Settings) -> None:
    lists.ensure_lists(world.connection, ["Internal"], now=world.now)
    for slug in ("week-02", "week-03", "week-04"):
        world.start_campaign(slug)
    leaves = registry(world.connection, settings)
    for name, leaf in leaves.items():
        rule = segments.parse_rule({name: leaf.example}, leaves)
        assert segments.count(world.connection, rule, leaves, world.now) == 0
    (document,) = re.findall(r"```json\n(.*?)```", SEGMENTS, flags=re.DOTALL)
    said = segments.in_words(segments.parse_rule(document, leaves))
    assert said in " ".join(SEGMENTS.split())


def test_ten_examples_are_documented() -> None:
    assert len(EXAMPLES) == 10
    assert all(f"`{path.name}`" in SEGMENTS for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_kept_counted_and_said(path: Any, world: World, settings: Settings) -> None:
    lists.ensure_lists(world.connection, ["internal", "congress-2026"], now=world.now)
    world.start_campaign()
    world.reader("ada", all_topics=True)
    leaves = registry(world.connection, settings)
    saved = segments.save(world.connection, path.stem, path.read_bytes(), leaves, now=world.now)
    rule = segments.load(world.connection, saved.slug, leaves)
    assert segments.in_words(rule).startswith("Readers who ")
    assert segments.count(world.connection, rule, leaves, world.now) in (0, 1)
