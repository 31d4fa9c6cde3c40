"""Named groups, kept by hand."""

import pytest

from subscribers import lists
from subscribers.errors import NewsletterError, NotFound
from tests.subscribers.people_site import NOW, PeopleSite


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Congress 2026 booth", "congress-2026-booth"),
        ("  Ärzte & Pflege ", "arzte-pflege"),
        ("Конгресс 2026", "конгресс-2026"),
        ("A_B--C", "a-b-c"),
    ],
)
def test_a_name_has_one_slug(name: str, slug: str) -> None:
    assert lists.slug_of(name) == slug
    assert lists.slug_of(slug) == slug


@pytest.mark.parametrize("name", ["", " ", "!!!", "x" * 101])
def test_a_name_without_a_letter_or_without_end_is_refused(name: str) -> None:
    with pytest.raises(NewsletterError, match="list name"):
        lists.slug_of(name)


def test_a_list_is_found_by_slug_or_name(site: PeopleSite) -> None:
    with site.database.ledger() as connection:
        assert lists.create(connection, "Congress 2026 booth", now=NOW) == "congress-2026-booth"
        assert lists.create(connection, "congress 2026 BOOTH", now=NOW) == "congress-2026-booth"
        found = lists.get(connection, "congress-2026-booth")
        assert found == lists.get(connection, " Congress 2026 Booth ")
        assert found.name == "Congress 2026 booth"
        assert [each.slug for each in lists.every(connection)] == ["congress-2026-booth"]
        with pytest.raises(NotFound, match="no list 'other'") as caught:
            lists.get(connection, "other")
    assert "congress-2026-booth" in str(caught.value)


def test_people_join_and_leave_a_list(site: PeopleSite) -> None:
    people = [site.add(f"reader{number}@example.com") for number in range(3)]
    with site.database.ledger() as connection:
        number = lists.ensure_lists(connection, ["Booth"], now=NOW)["Booth"][0]
        assert lists.add_members(connection, number, people, now=NOW) == 3
        assert lists.add_members(connection, number, people[:2], now=NOW) == 0
        assert lists.members(connection, number, limit=2) == [
            (people[0], "reader0@example.com"),
            (people[1], "reader1@example.com"),
        ]
        assert lists.members(connection, number, after=people[1]) == [(people[2], "reader2@example.com")]
        assert lists.remove_members(connection, number, people[:1]) == 1
        assert lists.remove_members(connection, number, people[:1]) == 0
        assert lists.get(connection, "booth").members == 2


def test_removing_a_list_keeps_its_people(site: PeopleSite) -> None:
    person = site.add("reader@example.com", lists=("Booth", "Internal"))
    with site.database.ledger() as connection:
        assert lists.of_person(connection, person) == ["booth", "internal"]
        assert lists.remove(connection, lists.get(connection, "Booth").id) == 1
        assert lists.of_person(connection, person) == ["internal"]
    assert site.exists("reader@example.com")
