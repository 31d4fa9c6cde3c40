"""Cells of an export: whole when they come back, and nothing that a spreadsheet would run."""

import csv
from pathlib import Path

import pytest

from subscribers import lists
from subscribers.transfer import ExportOptions, export_csv
from subscribers.transfer.guard import guard, unguard
from tests.subscribers.people_site import PeopleSite, make_site

NAMES = ("VIP, gold", "a; b", 'The "inner" circle', "Jane's readers", "'=quoted", "=SUM", "＝full", "Booth")


def list_names(site: PeopleSite) -> set[str]:
    with site.database.reader() as connection:
        return {each.name for each in lists.every(connection) if each.members}


@pytest.mark.parametrize("names", [*((name,) for name in NAMES), NAMES])
def test_the_names_of_lists_come_back_as_they_were(
    site: PeopleSite, tmp_path: Path, names: tuple[str, ...]
) -> None:
    site.add("jane@example.com", lists=names)
    export_csv(site.database, site.folder / "out.csv", ExportOptions())
    other = make_site(tmp_path / "other")
    other.import_file(site.folder / "out.csv")
    assert list_names(other) == list_names(site) == set(names)
    export_csv(other.database, other.folder / "again.csv", ExportOptions())
    with (site.folder / "out.csv").open() as first, (other.folder / "again.csv").open() as second:
        assert [row["lists"] for row in csv.DictReader(first)] == [
            row["lists"] for row in csv.DictReader(second)
        ]
    other.database.close()


@pytest.mark.parametrize("beginning", list("=+-@\t\r\n＝＋－＠"))
def test_a_cell_that_begins_as_a_formula_is_disarmed_and_comes_back(beginning: str) -> None:
    for cell in (f"{beginning}1+1", f"'{beginning}1+1", f"''{beginning}1+1"):
        assert guard(cell) == f"'{cell}"
        assert unguard(guard(cell)) == cell
    assert guard(f"1{beginning}1") == f"1{beginning}1"
