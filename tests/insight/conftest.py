"""One campaign in one open transaction."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from mailer.database import Database
from tests.insight.world import World


@pytest.fixture
def world(database: Database, now: datetime) -> Iterator[World]:
    with database.ledger() as connection:
        yield World(connection, now)
