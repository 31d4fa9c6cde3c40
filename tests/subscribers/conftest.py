"""A fresh database of people for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.subscribers.people_site import PeopleSite, make_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PeopleSite]:
    site = make_site(tmp_path)
    yield site
    site.database.close()
