"""Fixtures that every room's tests share: a clock value, a database file, settings of a small site."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer.config import Settings, load_settings
from mailer.database import Database

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 4, 10, 5, 30, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The shipped configuration, in a folder of its own, with keys made for this test."""
    import secrets

    (tmp_path / "config.toml").write_text((ROOT / "config.toml").read_text())
    (tmp_path / "secrets.toml").write_text(
        f'[web]\nsecrets = ["{secrets.token_urlsafe(32)}"]\n'
        f'[database]\nsuppression_key = "{secrets.token_urlsafe(32)}"\n'
        f'[sendgrid]\napi_key = "SG.{secrets.token_urlsafe(16)}.test"\n'
    )
    return load_settings(tmp_path / "config.toml")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A migrated SQLite file."""
    database = Database(settings.database_url)
    database.upgrade()
    yield database
    database.close()
