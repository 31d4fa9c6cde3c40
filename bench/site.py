"""A site of many readers and one issue of three topics, for the benches of freeze and hand-over."""

import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from mailer.config import Settings, load_settings
from mailer.database import Database
from mailer.delivery import campaigns, preflight
from mailer.delivery.audience import Audience
from mailer.issues import store
from mailer.issues.values import Issue
from mailer.service import identity
from mailer.tables import subscribers
from subscribers.topics import ensure_topics

ROOT = Path(__file__).parent.parent
BATCH = 20_000
SLUG = "bench"
# Every set of three topics, and all of them; one in twenty is no longer active.
CHOICES = [(False, mask) for mask in range(8)] + [(True, 0)]
INACTIVE_EVERY = 20


@dataclass(frozen=True, slots=True)
class Site:
    settings: Settings
    database: Database
    issue: Issue


def make_site(
    folder: Path,
    readers: int,
    *,
    sendgrid_host: str = "http://127.0.0.1:9",
    database_url: str = "sqlite:///data/mailer.db",
) -> Site:
    """The shipped configuration, the first example issue, and so many readers."""
    shutil.copy(ROOT / "config.toml", folder / "config.toml")
    (folder / "secrets.toml").write_text(
        f'[web]\nsecrets = ["bench"]\n[database]\nurl = "{database_url}"\nsuppression_key = "bench"\n'
        f'[sendgrid]\napi_key = "SG.bench"\nhost = "{sendgrid_host}"\n',
        encoding="utf-8",
    )
    settings = load_settings(folder / "config.toml")
    database = Database(settings.database_url)
    database.upgrade()
    with database.ledger() as connection:
        identity.take(connection, identity.Home.of(settings), datetime.now(UTC))
    source = sorted((ROOT / "examples").glob("week-*"))[0]
    with database.ledger() as connection:
        report = store.import_issue(
            connection,
            source.read_bytes(),
            file=source.name,
            slug=SLUG,
            settings=settings,
            author="",
            now=datetime.now(UTC),
        )
        ensure_topics(connection, settings.topics)
    for batch in _batches(readers):
        with database.ledger() as connection:
            connection.execute(insert(subscribers), batch)
    return Site(settings, database, report.issue)


def make_elsewhere(folder: Path, readers: int, *, sendgrid_host: str = "http://127.0.0.1:9") -> None:
    """`make_site` in a process of its own, so that memory measured here is not the maker's."""
    code = "import sys; from pathlib import Path; from bench.site import make_site; "
    code += "make_site(Path(sys.argv[1]), int(sys.argv[2]), sendgrid_host=sys.argv[3]).database.close()"
    subprocess.run([sys.executable, "-c", code, str(folder), str(readers), sendgrid_host], check=True)


def open_site(folder: Path) -> Site:
    """A site that was made before."""
    settings = load_settings(folder / "config.toml")
    database = Database(settings.database_url)
    with database.reader() as connection:
        return Site(settings, database, store.load_issue(connection, SLUG, settings))


def new_campaign(site: Site) -> int:
    """A campaign for everyone, to be frozen."""
    assert site.issue.issue_id is not None
    assert site.issue.revision_id is not None
    with site.database.ledger() as connection:
        return campaigns.create(
            connection,
            issue_id=site.issue.issue_id,
            revision_id=site.issue.revision_id,
            audience=Audience().as_json(),
            sender=preflight.sender_of(site.settings),
            now=datetime.now(UTC),
        )


def peak_mib() -> float:
    """Most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _batches(readers: int) -> Iterator[list[dict[str, Any]]]:
    chance = random.Random(1)
    now = datetime.now(UTC)
    for start in range(0, readers, BATCH):
        yield [
            {
                "email": f"reader{number}@mail{number % 500}.example.com",
                "email_key": f"reader{number}@mail{number % 500}.example.com",
                "key_hash": f"{chance.getrandbits(256):064x}",
                "name": f"Reader {number}",
                "status": "unsubscribed" if number % INACTIVE_EVERY == 0 else "active",
                "all_topics": wants_all,
                "topic_mask": mask,
                "source": "bench",
                "attributes": {},
                "track_consent": number % 2 == 0,
                "created_at": now,
            }
            for number in range(start, min(start + BATCH, readers))
            for wants_all, mask in [chance.choice(CHOICES)]
        ]
