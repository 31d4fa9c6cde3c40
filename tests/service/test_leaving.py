"""leavers.log: what is noted, how it is written, and what a replay makes of an older database."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from mailer.config import Settings
from mailer.database import Database
from mailer.service import leaving
from mailer.service.identity import Home
from subscribers import consent, leavers, roster, suppression, transfer
from subscribers.addresses import parse_address
from subscribers.errors import NewsletterError
from subscribers.leavers import Line
from subscribers.models import ConsentAction, ConsentPurpose, Leaving, SuppressionReason
from subscribers.tables import consent as consents
from subscribers.tables import leaver, subscriber

Add = Callable[[str], int]


@pytest.fixture
def key(settings: Settings) -> str:
    return settings.database.suppression_key.get_secret_value()


@pytest.fixture
def add(database: Database, key: str, now: datetime) -> Add:
    def added(address: str) -> int:
        with database.ledger() as connection:
            person = roster.NewPerson(parse_address(address), "asked for it")
            return roster.add(
                connection, person, suppression_key=key, source="test", now=now - timedelta(days=9)
            )

    return added


def hash_of(address: str, key: str) -> str:
    return suppression.key_hash(parse_address(address).key, key)


def noted(database: Database) -> list[tuple[str, str]]:
    with database.reader() as connection:
        return [(line.key_hash, line.what) for line in leavers.waiting(connection, 1_000)]


def status(database: Database, subscriber_id: int) -> str:
    with database.reader() as connection:
        return str(
            connection.execute(
                select(subscriber.c.status).where(subscriber.c.id == subscriber_id)
            ).scalar_one()
        )


def replayed(database: Database, lines: list[Line], now: datetime) -> leavers.Replayed:
    with database.ledger() as connection:
        return leavers.replay(
            connection,
            lines,
            now=now,
            erase=lambda inner, each: roster.erase(inner, each, now=now),
        )


def test_leaving_coming_back_and_erasing_are_noted(
    database: Database, add: Add, key: str, now: datetime
) -> None:
    anna = add("anna@example.org")
    mine = hash_of("anna@example.org", key)
    with database.ledger() as connection:
        roster.unsubscribe(connection, anna, now=now, source="test")
        roster.unsubscribe(connection, anna, now=now, source="test")
        roster.resubscribe(connection, anna, now=now, source="test", wording="again")
        suppression.suppress(connection, key_hash=mine, reason=SuppressionReason.MANUAL, now=now)
        suppression.suppress(connection, key_hash=mine, reason=SuppressionReason.MANUAL, now=now)
        roster.erase(connection, anna, now=now)
    assert noted(database) == [(mine, what) for what in ("left", "back", "suppressed", "erased")]


def test_an_import_notes_those_who_left_by_it(
    database: Database, add: Add, key: str, now: datetime, tmp_path: Path
) -> None:
    for address in ("anna@example.org", "ben@example.org"):
        add(address)
    file = tmp_path / "left.csv"
    file.write_text("email\nanna@example.org\nnew@example.org\n")
    for means in ("unsubscribed", "cleaned"):
        options = transfer.ImportOptions(basis="b", topics={}, suppression_key=key, status=means)
        transfer.import_csv(database, file, options, now=now)
    known, new = hash_of("anna@example.org", key), hash_of("new@example.org", key)
    assert sorted(noted(database)) == sorted(
        [(known, "left"), (new, "left"), (known, "suppressed"), (new, "suppressed")]
    )


def test_a_file_of_active_and_departed_readers_notes_the_departed(
    database: Database, key: str, now: datetime, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,newsletter_status\nanna@example.org,active\nben@example.org,unsubscribed\n")
    transfer.import_csv(
        database, file, transfer.ImportOptions(basis="b", topics={}, suppression_key=key), now=now
    )
    assert noted(database) == [(hash_of("ben@example.org", key), "left")]


def test_notes_are_written_once_and_forgotten(
    settings: Settings, database: Database, add: Add, key: str, now: datetime
) -> None:
    home = Home.of(settings)
    with database.ledger() as connection:
        roster.unsubscribe(connection, add_one(connection, key, now), now=now, source="test")
    assert leaving.bring(database, home.leavers, home.instance()) == 1
    assert leaving.bring(database, home.leavers, home.instance()) == 0
    assert noted(database) == []
    assert stat.S_IMODE(home.leavers.stat().st_mode) == 0o600
    text = home.leavers.read_text()
    assert "@" not in text
    assert [line.what for line in leaving.read(home.leavers)] == [Leaving.LEFT]
    assert [line.at for line in leaving.read(home.leavers)] == [now]


def add_one(connection: Connection, key: str, now: datetime) -> int:
    person = roster.NewPerson(parse_address("anna@example.org"), "asked for it")
    return roster.add(connection, person, suppression_key=key, source="test", now=now)


def test_a_database_of_another_folder_writes_nothing_here(
    settings: Settings, database: Database, add: Add, now: datetime
) -> None:
    anna = add("anna@example.org")
    with database.ledger() as connection:
        roster.unsubscribe(connection, anna, now=now, source="test")
    home = Home.of(settings)
    assert leaving.bring(database, home.leavers, "another") == 0
    assert leaving.bring(database, home.leavers, "") == 0
    assert not home.leavers.exists()
    assert len(noted(database)) == 1


def test_a_torn_last_line_is_passed_over_and_replaced(
    settings: Settings, database: Database, add: Add, now: datetime
) -> None:
    home = Home.of(settings)
    people = [add(f"reader-{number}@example.org") for number in range(3)]
    for person in people[:2]:
        with database.ledger() as connection:
            roster.unsubscribe(connection, person, now=now, source="test")
        leaving.bring(database, home.leavers, home.instance())
    whole = home.leavers.read_bytes()
    home.leavers.write_bytes(whole[:-7])
    assert len(list(leaving.read(home.leavers))) == 1
    with database.ledger() as connection:
        roster.unsubscribe(connection, people[2], now=now, source="test")
    leaving.bring(database, home.leavers, home.instance())
    assert len(list(leaving.read(home.leavers))) == 2
    assert home.leavers.read_bytes().startswith(whole[: len(whole) // 2])


@pytest.mark.parametrize("broken", [b"\n", b"\x00\x00\n", b"2026-04-10 left 1 abc\n", b"\xff\n"])
def test_another_unreadable_line_is_refused_by_its_number(
    settings: Settings, database: Database, add: Add, now: datetime, broken: bytes
) -> None:
    home = Home.of(settings)
    anna = add("anna@example.org")
    with database.ledger() as connection:
        roster.unsubscribe(connection, anna, now=now, source="test")
    leaving.bring(database, home.leavers, home.instance())
    good = home.leavers.read_bytes()
    home.leavers.write_bytes(good + broken + good)
    with pytest.raises(NewsletterError) as refused:
        list(leaving.read(home.leavers))
    assert (refused.value.line, refused.value.file) == (2, str(home.leavers))
    assert refused.value.cure


def test_processes_that_write_at_once_lose_nobody(
    settings: Settings, database: Database, add: Add, key: str, now: datetime
) -> None:
    home = Home.of(settings)
    people = [add(f"reader-{number}@example.org") for number in range(24)]
    # Databases of their own, as processes have.
    others = [Database(settings.database_url) for _ in range(3)]

    def leave(other: Database, mine: list[int]) -> None:
        for person in mine:
            with other.ledger() as connection:
                roster.unsubscribe(connection, person, now=now, source="test")
            leaving.bring(other, home.leavers, home.instance())

    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(leave, other, people[number::3]) for number, other in enumerate(others)]
    for each, other in zip(done, others, strict=True):
        each.result()
        other.close()
    written = {line.key_hash for line in leaving.read(home.leavers)}
    assert written == {hash_of(f"reader-{number}@example.org", key) for number in range(24)}
    assert noted(database) == []


def test_a_log_that_cannot_be_written_keeps_nobody_from_leaving(
    settings: Settings, database: Database, add: Add, now: datetime
) -> None:
    home = Home.of(settings)
    home.leavers.mkdir()
    with database.ledger() as connection:
        roster.unsubscribe(connection, add_one(connection, "k", now), now=now, source="test")
    leaving.bring_if_possible(database, home.leavers, home.instance())
    assert len(noted(database)) == 1
    home.leavers.rmdir()
    leaving.bring_if_possible(database, home.leavers, home.instance())
    assert noted(database) == []


def test_a_missing_file_tells_of_nobody(tmp_path: Path) -> None:
    assert list(leaving.read(tmp_path / "leavers.log")) == []


def test_who_left_is_unsubscribed_with_the_proof(
    database: Database, add: Add, key: str, now: datetime
) -> None:
    anna, ben = add("anna@example.org"), add("ben@example.org")
    lines = [Line(hash_of("anna@example.org", key), 1, Leaving.LEFT, now)]
    assert replayed(database, lines, now) == leavers.Replayed(lines=1, left=1)
    assert (status(database, anna), status(database, ben)) == ("unsubscribed", "active")
    with database.reader() as connection:
        proof = consent.of(connection, anna)[-1]
    assert (proof.action, proof.basis, proof.at) == ("withdrawn", "leavers.log", now)
    assert replayed(database, lines, now) == leavers.Replayed(lines=1)
    with database.reader() as connection:
        assert len(connection.execute(select(leaver)).all()) == 0


def test_whoever_came_back_is_left_alone(database: Database, add: Add, key: str, now: datetime) -> None:
    anna, ben, cleo = (add(f"{name}@example.org") for name in ("anna", "ben", "cleo"))
    hashes = [hash_of(f"{name}@example.org", key) for name in ("anna", "ben", "cleo")]
    with database.ledger() as connection:
        consent.record(
            connection, ben, ConsentAction.GIVEN, ConsentPurpose.RECEIVE, at=now + timedelta(hours=1)
        )
        consent.record(
            connection, cleo, ConsentAction.GIVEN, ConsentPurpose.TRACK, at=now + timedelta(hours=1)
        )
    lines = [
        Line(hashes[0], 1, Leaving.LEFT, now),
        Line(hashes[0], 1, Leaving.BACK, now),
        Line(hashes[1], 1, Leaving.LEFT, now),
        Line(hashes[2], 1, Leaving.BACK, now),
        Line(hashes[2], 1, Leaving.LEFT, now),
    ]
    assert replayed(database, lines, now).left == 1
    assert [status(database, each) for each in (anna, ben, cleo)] == ["active", "active", "unsubscribed"]


def test_a_complaint_suppresses_and_unsubscribes(
    database: Database, add: Add, key: str, now: datetime
) -> None:
    anna = add("anna@example.org")
    mine = hash_of("anna@example.org", key)
    lines = [Line(mine, 1, Leaving.SUPPRESSED, now), Line(mine, 1, Leaving.LEFT, now)]
    assert replayed(database, lines, now) == leavers.Replayed(lines=2, left=1, suppressed=1)
    with database.reader() as connection:
        stopped = suppression.find(connection, mine)
    assert stopped is not None
    assert (stopped.since, stopped.source) == (now, "leavers.log")
    assert status(database, anna) == "unsubscribed"


def test_an_erased_person_is_erased_again_and_stays_suppressed(
    database: Database, add: Add, key: str, now: datetime
) -> None:
    anna = add("anna@example.org")
    mine, gone = hash_of("anna@example.org", key), hash_of("gone@example.org", key)
    lines = [
        Line(mine, 1, Leaving.ERASED, now),
        Line(mine, 1, Leaving.SUPPRESSED, now),
        Line(gone, 1, Leaving.ERASED, now),
    ]
    done = replayed(database, lines, now)
    assert (done.erased, done.suppressed) == (1, 1)
    with database.reader() as connection:
        row = roster.find_id(connection, anna)
        assert row is not None
        assert roster.is_erased(row)
        for each in (mine, gone):
            stopped = suppression.find(connection, each)
            assert stopped is not None
            assert stopped.reason == "erased"


def test_lines_of_one_person_add_up_across_batches(
    database: Database, add: Add, key: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leavers, "BATCH_LINES", 2)
    names = ("anna", "ben", "cleo")
    people = {name: add(f"{name}@example.org") for name in names}
    mine = {name: hash_of(f"{name}@example.org", key) for name in names}
    lines = [
        Line(mine["anna"], 1, Leaving.LEFT, now),
        Line(mine["ben"], 1, Leaving.ERASED, now),
        Line(mine["anna"], 1, Leaving.SUPPRESSED, now),
        Line(mine["ben"], 1, Leaving.SUPPRESSED, now),
        Line(mine["cleo"], 1, Leaving.LEFT, now),
        Line(mine["cleo"], 1, Leaving.SUPPRESSED, now),
        Line(mine["cleo"], 1, Leaving.BACK, now),
    ]
    done = replayed(database, lines, now)
    assert (done.left, done.suppressed, done.erased) == (1, 1, 1)
    assert status(database, people["cleo"]) == "active"
    with database.reader() as connection:
        assert connection.execute(select(consents).where(consents.c.basis == "leavers.log")).all()
