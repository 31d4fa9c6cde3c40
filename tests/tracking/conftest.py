from collections.abc import Iterator
from datetime import datetime

import pytest

from mailer.config import Settings
from mailer.database import Database
from mailer.tracking.hits import HitWriter
from tests.tracking.sample import Sample, send_sample

PEOPLE = {"ada": True, "ben": True, "cleo": False}


@pytest.fixture
def sample(database: Database, settings: Settings, now: datetime) -> Sample:
    """Ada and Ben agreed to be measured, Cleo did not."""
    return send_sample(database, settings, now, PEOPLE)


@pytest.fixture
def writer(sample: Sample) -> Iterator[HitWriter]:
    writer = HitWriter(sample.database, sample.tokens, sample.settings)
    writer.start()
    yield writer
    writer.stop()
