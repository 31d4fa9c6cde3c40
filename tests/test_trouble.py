"""Trouble that ends without us is told in one sentence."""

from datetime import datetime
from pathlib import Path

import pytest
import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from mailer.config import Settings
from mailer.database import Database
from mailer.service import ticking
from mailer.service.rooms import Rooms
from mailer.trouble import is_locked, passing_trouble

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")
REFUSED = psycopg.OperationalError("connection failed: connection refused")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OperationalError("", {}, REFUSED), "away"),
        (DBAPIError("", {}, psycopg.errors.AdminShutdown("terminating connection")), "away"),
        (OperationalError("", {}, psycopg.errors.LockNotAvailable("waited")), "locked"),
        (OperationalError("", {}, Exception("database is locked")), "locked"),
        (OperationalError("", {}, Exception("database or disk is full")), "no room"),
        (IntegrityError("", {}, psycopg.errors.UniqueViolation("twice")), None),
        (OperationalError("", {}, Exception("no such table: chunk")), None),
        (ValueError("database is locked"), None),
    ],
)
def test_only_what_ends_by_itself_is_passing(error: Exception, said: str | None) -> None:
    found = passing_trouble(error)
    assert (found is None) if said is None else (found is not None and said in found)
    assert is_locked(error) == (said == "locked")


def test_a_tick_says_in_one_line_that_the_database_is_away(
    settings: Settings, now: datetime, tmp_path: Path
) -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    with structlog.testing.capture_logs() as lines:
        ticking.tick(Rooms.of(settings, away, lambda: now), now)
    away.close()
    assert {line["step"] for line in lines} == {step.name for step in ticking.STEPS} - {"hand out jobs"}
    assert all("away" in line["trouble"] and "exc_info" not in line for line in lines)
