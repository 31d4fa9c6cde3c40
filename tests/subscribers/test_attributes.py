"""Attributes by value say what the people's rows say, whatever was imported, changed or erased."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from subscribers import attributes, roster
from subscribers.tables import attribute, attribute_holder, subscriber
from tests.subscribers.people_site import LATER, PeopleSite, make_site


def expect_in_step(site: PeopleSite) -> None:
    """Every value of every person is written down once, and nothing else is."""
    with site.database.reader() as connection:
        people = connection.execute(select(subscriber.c.id, subscriber.c.attributes)).all()
        holders = set(map(tuple, connection.execute(select(attribute_holder))))
        known = {row.id: (row.name, row.folded) for row in connection.execute(select(attribute))}
    held = [(number, pair) for number, facts in people for pair in facts.items()]
    assert holders == {(attributes.id_of(*pair), number) for number, pair in held}
    assert known == {attributes.id_of(name, value): (name, value.casefold()) for _, (name, value) in held}


def test_an_import_writes_down_who_has_what(site: PeopleSite) -> None:
    site.import_rows("email,country,hospital\na@example.com,FR,St X\nb@example.com,FR,\nc@example.com,,\n")
    expect_in_step(site)


def test_a_value_that_changed_is_forgotten_when_nobody_has_it_any_more(site: PeopleSite) -> None:
    site.import_rows("email,country\na@example.com,FR\nb@example.com,FR\n")
    site.import_rows("email,country\na@example.com,DE\n", now=LATER)
    expect_in_step(site)
    site.import_rows("email,country\nb@example.com,DE\n", now=LATER)
    expect_in_step(site)


def test_somebody_added_by_hand_and_erased_leaves_no_value(site: PeopleSite) -> None:
    site.import_rows("email,country\na@example.com,FR\n")
    number = site.add("b@example.com", attributes={"country": "FR", "note": "only hers", "empty": ""})
    expect_in_step(site)
    with site.database.ledger() as connection:
        roster.erase(connection, number, now=LATER)
    expect_in_step(site)


def statements_of_a_change(site: PeopleSite, rows: int) -> int:
    """How many statements an import takes that changes a value of each of so many people."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    site.import_rows("email,country\n" + "".join(f"r{n}@example.com,old {n}\n" for n in range(rows)))
    event.listen(Engine, "before_cursor_execute", hear)
    try:
        changed = "email,country\n" + "".join(f"r{n}@example.com,new {n}\n" for n in range(rows))
        assert site.import_rows(changed, now=LATER).updated == rows
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    return len(said)


def test_changed_values_of_many_take_as_many_statements_as_those_of_few(
    site: PeopleSite, tmp_path: Path
) -> None:
    other = make_site(tmp_path / "other")
    assert statements_of_a_change(site, 500) == statements_of_a_change(other, 2)
    expect_in_step(site)
    other.database.close()


def test_two_names_or_values_are_never_taken_for_each_other() -> None:
    pairs = [("a", "b"), ("ab", ""), ("a", "B"), ("b", "a"), ("a", "b ")]
    assert len({attributes.id_of(*pair) for pair in pairs}) == len(pairs)
    assert all(0 <= attributes.id_of(*pair) < 2**63 for pair in pairs)


ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["", "FR", "fr", "ß"]), st.sampled_from(["", "FR", "x"])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_they_stay_in_step_through_any_imports(files: list[list[tuple[int, str, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder))
        for rows in files:
            lines = [f"r{number}@example.com,{country},{other}" for number, country, other in rows]
            site.import_rows("\n".join(["email,country,other", *lines]))
            expect_in_step(site)
        site.database.close()
