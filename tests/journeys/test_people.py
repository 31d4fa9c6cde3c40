"""What marketing types about people, and what is refused before anything is touched."""

import json
from pathlib import Path

import pytest

from tests.journeys.conftest import Terminal

PEOPLE = "email,name,topics\nada@example.com,Ada,car-t\nbo@example.com,Bo,\n"


@pytest.fixture
def people(site: Path, terminal: Terminal) -> Path:
    (site / "people.csv").write_text(PEOPLE)
    assert terminal("subscribers", "import", "people.csv", "--basis", "signed up at the booth").code == 0
    return site


def topics(terminal: Terminal, address: str) -> list[str]:
    return list(terminal("subscribers", "show", address, "--json").document["topics"])


def test_a_topic_is_renamed_by_its_name_as_well_as_by_its_slug(people: Path, terminal: Terminal) -> None:
    listed = terminal("topics", "list", "--json").document["topics"]
    names = {row["topic"]: row["name"] for row in listed}
    slug, name = next((slug, name) for slug, name in names.items() if slug not in ("car-t", name))
    assert terminal("topics", "rename", names["car-t"].upper(), name).code == 0
    assert topics(terminal, "ada@example.com") == [slug]
    assert {row["topic"] for row in terminal("topics", "list", "--json").document["topics"]} == set(names)


def test_a_topic_that_never_was_is_not_renamed(people: Path, terminal: Terminal) -> None:
    answer = terminal("topics", "rename", "car-tt", "car-t")
    assert (answer.code, "Did you mean 'car-t'?" in answer.err) == (1, True)


def test_a_topic_that_only_a_segment_names_is_renamed_there(people: Path, terminal: Terminal) -> None:
    config = people / "config.toml"
    before = config.read_text()
    config.write_text(before + '\n[topics.cells]\nname = "Cells"\n')
    Path("rule.json").write_text(json.dumps({"any": [{"topic": "cells"}]}))
    assert terminal("segments", "add", "Cells", "--rule", "rule.json").code == 0
    config.write_text(before)
    assert terminal("topics", "rename", "cells", "car-t").code == 0
    assert terminal("segments", "count", "cells", "--json").document["count"] == 2


@pytest.mark.parametrize("option", [("--topic", "nope"), ("--list", "nope"), ("--status", "nope")])
def test_an_export_that_is_refused_leaves_the_file_of_yesterday(
    people: Path, terminal: Terminal, option: tuple[str, str]
) -> None:
    kept = people / "out.csv"
    kept.write_text("of yesterday")
    assert terminal("subscribers", "export", "out.csv", *option).code != 0
    assert kept.read_text() == "of yesterday"
    assert list(people.glob(".out.csv*")) == []


def test_an_export_names_the_topics_there_are(people: Path, terminal: Terminal) -> None:
    answer = terminal("subscribers", "export", "out.csv", "--topic", "zzzz")
    assert "there is no topic 'zzzz'" in answer.err
    assert "car-t" in answer.err
    assert terminal("subscribers", "export", "out.csv", "--topic", "car-t").code == 0


def test_nobody_is_added_without_a_basis(people: Path, terminal: Terminal) -> None:
    answer = terminal("subscribers", "add", "cy@example.com", "--basis", "  ")
    assert (answer.code, "basis" in answer.err) == (1, True)
    assert terminal("subscribers", "show", "cy@example.com").code == 1


def test_an_unknown_list_is_named_before_anything_is_asked(people: Path, terminal: Terminal) -> None:
    answer = terminal("lists", "remove", "nope")
    assert (answer.code, "no list" in answer.err) == (1, True)


def test_a_rule_that_is_too_large_is_not_saved(people: Path, terminal: Terminal) -> None:
    Path("one.csv").write_text("email,country\nada@example.com,FR\n")
    assert terminal("subscribers", "import", "one.csv", "--basis", "by file").code == 0
    values = {"attribute": {"name": "country", "is_one_of": [f"C{number}" for number in range(500)]}}
    Path("rule.json").write_text(json.dumps({"any": [values] * 12}))
    answer = terminal("segments", "add", "Large", "--rule", "rule.json")
    assert (answer.code, "more than 5,000 values" in answer.err) == (1, True)
    assert terminal("segments", "count", "large").code == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Plasma cells, light chains", "',' and ';' stand between"),
        ("Plasma; cells", "no name may hold one"),
        ("All", "'All' has a meaning of its own"),
        ("none", "'none' has a meaning of its own"),
    ],
)
def test_a_topic_that_no_file_could_name_is_refused_where_it_is_declared(
    site: Path, terminal: Terminal, name: str, said: str
) -> None:
    config = site / "config.toml"
    lines = [*config.read_text().splitlines(), "[topics.plasma]", f'name = "{name}"']
    config.write_text("\n".join(lines) + "\n")
    error = terminal("topics", "list", "--json").document["error"]
    assert (error["file"], error["line"]) == ("config.toml", len(lines))
    assert error["field"] == "[topics.plasma] name"
    assert said in error["message"]
    assert error["cure"] == 'For example [topics.plasma] name = "CAR-T".'


@pytest.mark.parametrize("command", ["add", "remove"])
def test_every_address_that_nobody_has_is_named(people: Path, terminal: Terminal, command: str) -> None:
    assert terminal("lists", "add", "booth").code == 0
    wanted = ("ada@example.com", "who@example.com", "bo@example.com", "nobody@example.com", "no address")
    answer = terminal("lists", command, "booth", *wanted, "--json")
    error = answer.document["error"]
    assert (answer.code, error["field"]) == (1, "address")
    assert [each["message"].split(":")[0] for each in error["all"]] == [
        "'who@example.com'",
        "'nobody@example.com'",
        "'no address'",
    ]
    assert terminal("lists", "show", "booth", "--json").document["members"] == []


@pytest.mark.parametrize(
    ("said", "kept"), [("none", []), ("NONE", []), ("All", ["all"]), ("none,car-t", ["car-t"])]
)
def test_topics_are_said_by_hand_as_in_a_file(
    people: Path, terminal: Terminal, said: str, kept: list[str]
) -> None:
    added = terminal(
        "subscribers", "add", "cy@example.com", "--basis", "by hand", "--topics", said, "--json"
    ).document
    Path("one.csv").write_text(f'email,topics\ndi@example.com,"{said}"\n')
    assert terminal("subscribers", "import", "one.csv", "--basis", "by file").code == 0
    assert added["topics"] == topics(terminal, "di@example.com") == kept


def test_two_topics_that_readers_chose_are_joined_only_when_that_is_confirmed(
    people: Path, terminal: Terminal
) -> None:
    add = ("subscribers", "add", "cy@example.com", "--basis", "by hand", "--topics", "myeloma")
    assert terminal(*add).code == 0
    asked = terminal("topics", "rename", "car-t", "myeloma")
    assert (asked.code, "'car-t' (1 chose it) and 'myeloma' (1 chose it)" in asked.err) == (2, True)
    assert topics(terminal, "ada@example.com") == ["car-t"]
    joined = terminal("topics", "rename", "car-t", "myeloma", "--yes", "--json")
    assert joined.document["moved"] == 1
    assert topics(terminal, "ada@example.com") == ["myeloma"]


def test_a_new_rule_names_only_attributes_that_somebody_has(people: Path, terminal: Terminal) -> None:
    Path("one.csv").write_text("email,Country\nada@example.com,FR\n")
    assert terminal("subscribers", "import", "one.csv", "--basis", "by file").code == 0
    rule = Path("rule.json")
    rule.write_text(json.dumps({"all": [{"attribute": {"name": "country", "is": "FR"}}]}))
    refused = terminal("segments", "add", "French", "--rule", "rule.json")
    assert refused.code == 1
    assert "all[0].attribute.name: no reader has 'country'. Did you mean 'Country'?" in refused.err
    rule.write_text(json.dumps({"all": [{"attribute": {"name": "Country", "is": "FR"}}]}))
    assert terminal("segments", "add", "French", "--rule", "rule.json").code == 0
    assert terminal("subscribers", "erase", "ada@example.com", "--yes").code == 0
    assert terminal("segments", "count", "french", "--json").document["count"] == 0
