"""Fixtures that every room's tests share: a clock value, a database, settings of a small site."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer.config import Settings, load_settings
from mailer.database import Database
from mailer.service import identity
from tests import databases

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite_only(reason): what it tests exists on SQLite alone")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if databases.SERVER and (marker := item.get_closest_marker("sqlite_only")):
            item.add_marker(pytest.mark.skip(reason=f"SQLite only: {marker.kwargs['reason']}"))


@pytest.fixture(scope="session", autouse=True)
def _no_database_is_left() -> Iterator[None]:
    yield
    databases.after_all_tests()


@pytest.fixture(autouse=True)
def _databases_are_emptied() -> Iterator[None]:
    yield
    databases.after_each_test()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 4, 10, 5, 30, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The shipped configuration, in a folder of its own, with keys made for this test."""
    (tmp_path / "config.toml").write_text((ROOT / "config.toml").read_text())
    (tmp_path / "secrets.toml").write_text(
        f'[web]\nsecrets = ["{secrets.token_urlsafe(32)}"]\n'
        f'[database]\nurl = "{databases.new_url("data/mailer.db")}"\n'
        f'suppression_key = "{secrets.token_urlsafe(32)}"\n'
        f'[sendgrid]\napi_key = "SG.{secrets.token_urlsafe(16)}.test"\n'
    )
    return load_settings(tmp_path / "config.toml")


@pytest.fixture
def database(settings: Settings, now: datetime) -> Iterator[Database]:
    """A migrated database that is at home in its site's folder."""
    databases.lay_out(settings.database_url)
    database = Database(settings.database_url)
    identity.found(database, identity.Home.of(settings), lambda: now)
    yield database
    database.close()
