"""An editor plans: a time on the command line, an approval, what goes next, and what was missed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from mailer import site as site_files
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from mailer.tables import occurrences
from tests.journeys.conftest import Terminal

PEOPLE = "email,name,topics\nada@example.com,Ada,car-t\nbob@example.com,Bob,all\n"
PARIS = ZoneInfo("Europe/Paris")
today = datetime.now(PARIS)


@pytest.fixture(autouse=True)
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the date once in each test: one that runs over midnight means one day."""
    monkeypatch.setitem(globals(), "today", datetime.now(PARIS))


def other_hours() -> str:
    """A minute that is not now, and will not be before the test is over."""
    return "22:00-23:00" if datetime.now(PARIS).hour < 12 else "01:00-02:00"


def civil(days: int, at: str = "07:30") -> str:
    """A time so many days from now, in the newsletter's zone."""
    return f"{today + timedelta(days=days):%Y-%m-%d} {at}"


@pytest.fixture
def stocked(site: Path, terminal: Terminal, sandbox: SandboxServer) -> Path:
    """A site with two readers and an issue."""
    (site / "people.csv").write_text(PEOPLE)
    assert terminal("subscribers", "import", "people.csv", "--basis", "signup").code == 0
    assert terminal("import", "examples/week-04.md").code == 0
    return site


@pytest.mark.usefixtures("stocked")
def test_an_issue_is_planned_shown_and_cancelled(terminal: Terminal) -> None:
    planned = terminal("send", "week-04", "--at", civil(3), "--yes", "--json")
    assert planned.code == 0, planned.err
    due = planned.document["due"]
    assert (due["civil"], due["zone"], due["is_local"]) == (civil(3), "Europe/Paris", False)
    assert (planned.document["status"], planned.document["frozen"]) == ("scheduled", 0)
    number = planned.document["campaign"]
    [line] = terminal("schedule", "--json").document["next"]
    assert (line["campaign"], line["issue"], line["at"]) == (number, "week-04", due["at"])
    assert f"planned for {civil(3)} (Europe/Paris)" in terminal("status", number).out
    for words in (("campaigns",), ("status",)):
        heads, cells, planned_for = terminal(*words).out.splitlines()[:3]
        assert heads.split() == [
            "Issue",
            "Status",
            "Frozen",
            "Waiting",
            "Accepted",
            "Rejected",
            "Withheld",
            "Held",
        ], words
        assert cells.split() == [str(number), "week-04", "scheduled", *"000000"], words
        assert planned_for == f"Campaign {number} is planned for {civil(3)} (Europe/Paris)"
    assert civil(3) in terminal("issues").out
    again = terminal("send", "week-04", "--at", civil(4), "--yes")
    assert again.code == 1
    assert f"mailer cancel {number}" in again.err
    now = terminal("send", "week-04", "--yes")
    assert now.code == 1
    assert "is scheduled, planned for" in now.err
    assert terminal("worker", "--once", "--json").document == {"campaigns": []}
    assert terminal("cancel", number, "--yes").code == 0
    assert terminal("schedule", "--json").document["next"] == []


@pytest.mark.usefixtures("stocked")
def test_a_newer_draft_is_said_wherever_the_plan_is_shown(site: Path, terminal: Terminal) -> None:
    assert terminal("approve", "week-04", "--json").document["mark"] == "approved"
    number = terminal("send", "week-04", "--at", civil(3), "--yes", "--json").document["campaign"]
    draft = site / "examples/week-04.md"
    draft.write_text(draft.read_text() + "\n")
    imported = terminal("import", draft)
    assert imported.code == 0
    assert "goes with revision 1" in imported.err
    for words in (("status", number), ("status",), ("schedule",), ("campaigns",)):
        assert "it goes with revision 1; revision 2 is newer" in terminal(*words).out, words
    assert "with revision 1; 2 is newer" in terminal("issues").out
    [issue] = terminal("issues", "--json").document["issues"]
    assert (issue["mark"], issue["planned"]["revision"], issue["revision"]) == (None, 1, 2)
    assert terminal("ready", "week-04", "--json").document["mark"] == "ready"
    approved = terminal("approve", "week-04")
    assert f"Campaign {number} goes with it" in approved.out
    assert "revision 2" not in terminal("status", number).out


@pytest.mark.usefixtures("stocked")
def test_times_that_cannot_be_are_refused_with_their_cure(site: Path, terminal: Terminal) -> None:
    past = terminal("send", "week-04", "--at", civil(-1), "--yes", "--json")
    assert past.code == 1
    assert "is past in Europe/Paris" in past.document["error"]["message"]
    assert past.document["error"]["field"] == "at"
    assert terminal("send", "week-04", "--local").code == 2
    assert terminal("send", "week-04", "--at", civil(3)).code == 2, "nobody agreed"
    site_files.set_keys(site / "config.toml", {("schedule", "hours"): "09:00-17:00"})
    closed = terminal("send", "week-04", "--at", civil(3), "--yes")
    site_files.set_keys(site / "config.toml", {("schedule", "hours"): other_hours()})
    assert "nothing is handed over until" in terminal("send", "week-04").err
    assert closed.code == 1
    assert f'--at "{civil(3, "09:00")}"' in closed.err


@pytest.mark.usefixtures("stocked")
def test_a_missed_campaign_goes_when_a_person_says_so(terminal: Terminal, sandbox: SandboxServer) -> None:
    number = terminal("send", "week-04", "--at", civil(3), "--yes", "--json").document["campaign"]
    with Mailer.open() as mailer, mailer.database.ledger() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=2)
        connection.execute(update(occurrences).values(at=long_ago, civil=civil(-2)))
    assert terminal("worker", "--once").code == 0
    assert "missed its time" in terminal("status", number).out
    asked = terminal("resume", number)
    assert asked.code == 2
    assert terminal("resume", number, "--yes", "--json").document["status"] == "scheduled"
    assert terminal("worker", "--once").code == 0
    assert terminal("status", number, "--json").document["accepted"] == 2
    assert len(sandbox.mailbox.rows("SELECT id FROM letter")) == 2


@pytest.mark.usefixtures("stocked")
def test_the_weekly_rule_of_the_configuration_takes_an_approved_issue(site: Path, terminal: Terminal) -> None:
    site_files.set_keys(site / "config.toml", {("schedule", "weekly"): "fri 07:30"})
    assert "it holds when 'mailer serve' or a worker starts anew" in terminal("schedule").err
    assert terminal("worker", "--once").code == 0
    shown = terminal("schedule", "--json").document
    assert shown["weekly"] == {"rule": "fri 07:30", "zone": "Europe/Paris"}
    assert [line["campaign"] for line in shown["next"]] == [None]
    approved = terminal("approve", "week-04", "--json").document
    [line] = terminal("schedule", "--json").document["next"]
    assert (line["campaign"], line["issue"]) == (approved["campaign"], "week-04")


@pytest.mark.usefixtures("stocked")
def test_python_plans_in_one_line() -> None:
    with Mailer.open() as mailer:
        campaign = mailer.schedule("week-04", at=civil(3), local=True)
        assert mailer.status(campaign)["due"]["is_local"] is True
        assert [line["campaign"] for line in mailer.upcoming()["next"]] == [campaign]
