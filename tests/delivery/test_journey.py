"""From the freeze to the sandbox over real HTTP: the thin path, whole."""

from datetime import UTC, datetime
from pathlib import Path

from mailer.delivery.engine import run_campaign
from mailer.delivery.sendgrid import SendGrid
from mailer.sandbox.server import SandboxServer
from tests.delivery.conftest import Site


def test_every_reader_gets_the_edition_of_their_topics(site: Site, tmp_path: Path) -> None:
    site.add(None)
    site.add(("car-t",))
    site.add(("myeloma",), track_consent=True)
    site.add(("myeloma", "immunology"))
    site.add((), name="nobody")
    campaign_id = site.freeze()
    with SandboxServer(database_path=tmp_path / "sandbox.db") as sandbox:
        transport = SendGrid(sandbox.url, "SG.test", deadline_seconds=10)
        state = run_campaign(site.send_by(transport, clock=lambda: datetime.now(UTC)), campaign_id, threads=2)
        transport.close()
    assert state.as_json() == {
        "campaign": campaign_id,
        "issue": "week-01",
        "status": "finished",
        "pause_reason": None,
        "frozen": 4,
        "waiting": 0,
        "accepted": 4,
        "rejected": 0,
        "withheld": 0,
        "held": 0,
        "skipped": {"no_stories": 1},
        "revision": 1,
        "newest_revision": 1,
        "due": None,
    }
