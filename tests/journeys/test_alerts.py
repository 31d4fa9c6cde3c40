"""What a person at a terminal hears of trouble: in `status`, in `check`, in the mailbox."""

from pathlib import Path

import pytest

from mailer import site as site_files
from mailer.sandbox.server import SandboxServer
from tests.journeys.conftest import Terminal

READERS = "email,name,topics\nada@example.com,Ada,all\nbela@example.org,Bela,all\n"


@pytest.fixture
def paused(site: Path, terminal: Terminal, sandbox: SandboxServer) -> int:
    """A campaign that SendGrid refused: its number."""
    (site / "readers.csv").write_text(READERS)
    terminal("subscribers", "import", "readers.csv", "--basis", "form")
    terminal("import", "examples/week-04.md")
    sandbox.faults.add("unauthorized")
    document = terminal("send", "week-04", "--yes", "--json").document
    assert document["status"] == "paused"
    return int(document["campaign"])


def test_status_names_what_is_open_first_and_what_is_over_after(paused: int, terminal: Terminal) -> None:
    answer = terminal("status")
    assert answer.out.startswith(f"needs you Campaign {paused} (week-04) is paused: SendGrid refused the key")
    assert f"'mailer resume {paused}'" in answer.out
    (notice,) = terminal("status", "--json").document["notices"]
    assert set(notice) == {
        "id", "kind", "about", "campaign", "said", "cure", "raised_at", "ended_at",
    }  # fmt: skip
    assert (notice["kind"], notice["campaign"], notice["ended_at"]) == ("paused", paused, None)
    assert terminal("status", paused).out.startswith("needs you")
    terminal("cancel", paused, "--yes")
    assert "over      Campaign" in terminal("status").out
    (over,) = terminal("status", "--json").document["notices"]
    assert (over["id"], over["ended_at"] is None) == (notice["id"], False)


def test_check_refuses_a_webhook_without_a_secret(site: Path, terminal: Terminal) -> None:
    assert "nobody is told when something needs a person" in terminal("check").out
    site_files.set_keys(site / "config.toml", {("alerts", "webhook"): "https://hooks.example.com/x"})
    answer = terminal("check")
    assert answer.code == 1
    assert "there is no secret to sign with" in answer.out
    site_files.set_keys(site / "secrets.toml", {("alerts", "webhook_secret"): "known to two"})
    answer = terminal("check")
    assert answer.code == 0
    assert "somebody is told" in answer.out
    assert "known to two" not in answer.out


def test_check_says_that_an_operator_cannot_be_mailed(site: Path, terminal: Terminal) -> None:
    site_files.set_keys(site / "config.toml", {("alerts", "email"): "operator"})
    answer = terminal("check")
    assert answer.code == 1
    assert "[alerts] email is no address" in answer.out
