"""Erased to the last byte, also while another process is reading the database."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mailer import dialect
from mailer.service import Mailer, erasing
from mailer.serving import clock_of
from tests.journeys.conftest import Terminal

pytestmark = pytest.mark.sqlite_only(reason="what is left in the file's log is about SQLite")

PEOPLE = (
    "email,name,referred by\n"
    "lotte@example.com,Lotte,\n"
    "ben@example.com,Ben,Lotte@Example.com\n"
    "cleo@example.com,Cleo,charlotte@example.com\n"
)
BASIS = "list sent by lotte@example.com"


@pytest.fixture
def people(site: Path, terminal: Terminal) -> Path:
    (site / "people.csv").write_text(PEOPLE)
    assert terminal("subscribers", "import", "people.csv", "--basis", BASIS).code == 0
    return site


@contextmanager
def another_process(site: Path) -> Iterator[Callable[[str], object]]:
    """A connection of somebody else, open all the time: only the last one that closes empties the log."""
    with closing(dialect.sqlite_module().connect(database_of(site), isolation_level=None)) as other:
        yield lambda statement: other.execute(statement).fetchone()


def database_of(site: Path) -> Path:
    with Mailer.open(site / "config.toml") as mailer:
        return Path(mailer.settings.database_url.removeprefix("sqlite:///"))


def bytes_of(site: Path) -> bytes:
    path = database_of(site)
    return b"".join(file.read_bytes().lower() for file in path.parent.glob(f"{path.name}*"))


def findings(terminal: Terminal) -> list[str]:
    return [
        each["said"] for each in terminal("check", "--json").document["findings"] if "erased" in each["said"]
    ]


@pytest.fixture
def reading(
    people: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], object]]:
    """Ben is erased while another process, a backup perhaps, is reading; COMMIT ends that."""
    monkeypatch.setattr(erasing, "PERSON_WAITS_MS", 1)
    with another_process(people) as run:
        run("BEGIN")
        run("SELECT count(*) FROM subscriber")
        assert terminal("subscribers", "erase", "ben@example.com", "--yes", "--json").document["trace_in_log"]
        yield run


def test_an_erasure_says_that_a_trace_is_left_while_another_process_reads(
    people: Path, terminal: Terminal, reading: Callable[[str], object]
) -> None:
    said = terminal("subscribers", "erase", "lotte@example.com", "--yes")
    assert (said.code, "still in the database's log" in said.err) == (0, True)
    assert b"ben@example.com" in bytes_of(people)
    assert len(findings(terminal)) == 1
    reading("COMMIT")
    assert findings(terminal) == []
    assert b"ben@example.com" not in bytes_of(people)


def test_a_process_that_runs_later_finishes_an_erasure(
    people: Path, reading: Callable[[str], object]
) -> None:
    with Mailer.open(people / "config.toml") as running:
        assert not erasing.empty_log(running.database)
    reading("COMMIT")
    with Mailer.open(people / "config.toml") as restarted:
        assert erasing.empty_log(restarted.database)
        assert b"ben@example.com" not in bytes_of(people)


def test_the_clock_of_a_running_site_finishes_an_erasure(
    people: Path, reading: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "LOOK_SECONDS", 0.05)
    with Mailer.open(people / "config.toml") as running:
        clock = clock_of(running)
        clock.start()
        reading("COMMIT")
        given_up = time.monotonic() + 30
        while b"ben@example.com" in bytes_of(people) and time.monotonic() < given_up:
            time.sleep(0.02)
        clock.stop()
        assert b"ben@example.com" not in bytes_of(people)


def test_erasing_again_empties_the_log_although_nobody_has_the_address_any_more(
    people: Path, terminal: Terminal, reading: Callable[[str], object]
) -> None:
    reading("COMMIT")
    again = terminal("subscribers", "erase", "ben@example.com", "--yes")
    assert (again.code, "nobody has this address" in again.err) == (1, True)
    assert b"ben@example.com" not in bytes_of(people)


def test_an_erased_address_is_taken_out_of_what_is_kept_about_others(
    people: Path, terminal: Terminal
) -> None:
    rule = {"attribute": {"name": "referred by", "is": "lotte@example.com"}}
    Path("rule.json").write_text(json.dumps({"any": [rule]}))
    assert terminal("segments", "add", "Hers", "--rule", "rule.json").code == 0
    outcome = terminal("subscribers", "erase", "lotte@example.com", "--yes", "--json").document
    assert outcome == {"erased": 1, "mentions": {"texts": 3, "attributes": 1}, "trace_in_log": False}
    ben = terminal("subscribers", "show", "ben@example.com", "--json").document
    assert ben["attributes"] == {"referred by": "(erased)"}
    assert [proof["basis"] for proof in ben["consents"]] == ["list sent by (erased)"]
    cleo = terminal("subscribers", "show", "cleo@example.com", "--json").document
    assert cleo["attributes"] == {"referred by": "charlotte@example.com"}
    assert b"lotte@example.com" not in bytes_of(people).replace(b"charlotte@example.com", b"")
