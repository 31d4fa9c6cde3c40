"""kill -9 at every step of a fence: taken back, handed over again, and there once at its time."""

from pathlib import Path

from tests.kill import fenced
from tests.kill.campaign import CALLING
from tests.kill.world import world

READERS = 120


def test_a_campaign_with_a_time_loses_and_doubles_nothing_however_often_its_workers_die(
    tmp_path: Path,
) -> None:
    with world(tmp_path, READERS, keys=fenced.KEYS) as here:
        fenced.walk(here)
        verdict = here.require_clean()
        assert (verdict.arrived, verdict.held) == (READERS, 0)
        taken_back = here.sandbox.mailbox.rows("SELECT count(*) AS n FROM batch WHERE status = 'cancel'")
        assert taken_back[0]["n"] >= 1
        assert set(here.deaths) == {*fenced.PLANNING, *fenced.OPENING, *CALLING, *fenced.CANCELLING}
