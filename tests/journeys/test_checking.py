"""`mailer check --sendgrid` and `--live`: SendGrid's side, looked at by somebody who is about to send."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer import site as site_files
from mailer.sandbox import letters as sandbox_letters
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer, account
from mailer.web.server import WebServer
from tests.journeys.conftest import Terminal


def findings(terminal: Terminal) -> dict[str, str]:
    """What is said of SendGrid's side -> its level."""
    document = terminal("check", "--sendgrid", "--json").document
    said = [each["said"] for each in document["findings"]]
    assert all(set(each) == {"level", "said", "cure"} for each in document["findings"])
    assert all(each["cure"] for each in document["findings"] if each["level"] != "ok"), said
    local = len(terminal("check", "--json").document["findings"])
    return {each["said"]: each["level"] for each in document["findings"][local:]}


def level_of(terminal: Terminal, part: str) -> str | None:
    return next((level for said, level in findings(terminal).items() if part in said), None)


@pytest.fixture
def served(site: Path, sandbox: SandboxServer) -> Iterator[SandboxServer]:
    """The sandbox of a site that is being served, and posts to it."""
    site_files.set_keys(site / "secrets.toml", {("sendgrid", "webhook_public_key"): sandbox.public_key})
    with Mailer.open(site / "config.toml") as mailer, WebServer(mailer.rooms, port=0, admin_port=0) as web:
        site_files.set_keys(site / "config.toml", {("web", "base_url"): web.url})
        sandbox.state.change({"webhook_url": f"{web.url}/webhooks/sendgrid"})
        yield sandbox


@pytest.fixture
def unserved(site: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """The sandbox of a site that nobody serves; its check does not wait."""
    monkeypatch.setattr(account, "ARRIVES_WITHIN_SECONDS", 0.0)
    site_files.set_keys(site / "secrets.toml", {("sendgrid", "webhook_public_key"): sandbox.public_key})
    sandbox.state.change({"webhook_url": "http://127.0.0.1:8000/webhooks/sendgrid"})
    return sandbox


def test_a_good_account_is_said_to_be_good_from_end_to_end(served: SandboxServer, terminal: Terminal) -> None:
    found = findings(terminal)
    assert set(found.values()) == {"ok"}, found
    for part in (
        "knows the key", "may send", "take back", "example.com is authenticated", "all that is counted",
        "signed with the configured key", "own tracking is off", "is taken", "went from SendGrid",
    ):  # fmt: skip
        assert any(part in said for said in found), (part, found)
    assert terminal("check", "--sendgrid").code == 0


def test_the_key_is_never_shown(unserved: SandboxServer, terminal: Terminal, site: Path) -> None:
    key = (site / "secrets.toml").read_text().split('api_key = "')[1].split('"')[0]
    for path in ("/v3/scopes", "/v3/tracking_settings", "/v3/whitelabel/domains"):
        unserved.state.change({"door_status": {path: 401}})
        answer = terminal("check", "--sendgrid")
        assert key not in answer.out + answer.err
        assert key not in terminal("check", "--sendgrid", "--json").out


@pytest.mark.parametrize(
    ("changes", "part", "level"),
    [
        ({"door_status": {"/v3/scopes": 401}}, "does not take the key", "error"),
        ({"door_status": {"/v3/scopes": 451}}, "does not take the key", "error"),
        ({"door_status": {"/v3/scopes": 302}}, "answers 302", "error"),
        ({"door_status": {"/v3/tracking_settings": 500}}, "unknown, it answered 500", "warning"),
        ({"verified_senders": ["@example.org"]}, "neither example.com nor editor@example.com", "error"),
        ({"verified_senders": ["editor@example.com"]}, "a single sender", "warning"),
        (
            {"verified_senders": ["@example.com"], "pending_domains": ["example.com"]},
            "waits for its DNS records",
            "error",
        ),
        ({"event_webhook": {"enabled": False}}, "switched off", "error"),
        (
            {"event_webhook": {"kinds_off": ["bounce", "spam_report"]}},
            "does not tell of bounce, spam_report",
            "error",
        ),
        ({"event_webhook": {"kinds_off": ["open", "click"]}}, "all that is counted", "ok"),
        ({"event_webhook": {"signed": False}}, "are not signed", "error"),
        ({"event_webhook": {"public_key": "another"}}, "another key than the configured one", "error"),
        ({"event_webhook": {"url": "https://old.example.org/hook"}}, "post to old.example.org", "error"),
        ({"webhook_url": ""}, "the account has none", "error"),
        ({"account_tracking": ["click"]}, "rewrites every link", "warning"),
        ({"account_tracking": ["subscription"]}, "in place of ours", "warning"),
        ({"event_webhook": {"tests": "lost"}}, "has not reached this site", "warning"),
    ],
)
def test_what_is_wrong_at_sendgrid_is_named_with_its_cure(
    unserved: SandboxServer, terminal: Terminal, changes: dict[str, Any], part: str, level: str
) -> None:
    unserved.state.change(changes)
    assert level_of(terminal, part) == level


@pytest.mark.parametrize(
    ("scopes", "part", "level"),
    [
        (["mail.batch.create"], "lacks mail.send", "error"),
        (["mail.send"], "cannot be taken back: the key lacks mail.batch.create", "warning"),
        (["mail.send"], "event webhook: unknown, since the key may not look (403)", "warning"),
        (
            ["mail.send", "api_keys.create", "teammates.read"],
            "may do 2 things that nothing here",
            "warning",
        ),
    ],
)
def test_what_the_key_may_not_and_need_not_do_is_named(
    site: Path, unserved: SandboxServer, terminal: Terminal, scopes: list[str], part: str, level: str
) -> None:
    key = (site / "secrets.toml").read_text().split('api_key = "')[1].split('"')[0]
    unserved.state.change({"keys": {key: scopes}})
    assert level_of(terminal, part) == level


def test_a_sendgrid_that_is_not_there_is_one_finding(unserved: SandboxServer, terminal: Terminal) -> None:
    unserved.refuse(600)
    answer = terminal("check", "--sendgrid", "--json")
    assert answer.code == 1
    last = answer.document["findings"][-1]
    assert "cannot be reached" in last["said"]
    assert "mailer sandbox" in last["cure"]


def test_looking_sends_nothing_and_changes_nothing(unserved: SandboxServer, terminal: Terminal) -> None:
    findings(terminal)
    assert sandbox_letters.find(unserved.mailbox, "letter.id > ?", [0]) == []
    assert unserved.mailbox.rows("SELECT id FROM batch") == []


# -- live -----------------------------------------------------------------------------------------

PAIR = ("ada@example.org", "bela@example.net")


def test_a_live_check_sends_two_copies_that_differ_and_says_what_to_look_at(
    site: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    document = terminal("check", "--live", *PAIR, "--yes", "--json").document
    assert set(document) == {"to", "message_id", "look_at"}
    assert document["to"] == list(PAIR)
    first, second = sandbox_letters.find(sandbox.mailbox, "letter.id > ? ORDER BY letter.id", [0])
    assert [first.email, second.email] == list(PAIR)
    assert first.message_id == second.message_id == document["message_id"]
    for letter, name, other, token in (
        (first, "Zoë O'Neil & Ada", "Bela", "first-check-opens-nought"),
        (second, "Bela <Bianchi>", "Zoë", "other-check-opens-nought"),
    ):
        assert f"Hello {name}, this is your copy." in (letter.text or "")
        for body in (letter.text or "", letter.html or ""):
            assert "[[" not in body
            assert other not in body
            assert f"http://127.0.0.1:8000/v/{token}" in body
        assert letter.headers["List-Unsubscribe"] == f"<http://127.0.0.1:8000/u/{token}>"
        assert letter.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Zoë O&#x27;Neil &amp; Ada" in (first.html or "")
    shown = " ".join(document["look_at"])
    for part in ("unsubscribe", "http://127.0.0.1:8000", "From says", "DKIM", "Light and dark", "mixed up"):
        assert part in shown
    assert terminal("check", "--live", *PAIR, "--yes").out.count("\n") > len(document["look_at"])


def test_a_live_check_asks_first(site: Path, sandbox: SandboxServer, terminal: Terminal) -> None:
    answer = terminal("check", "--live", *PAIR)
    assert answer.code == 2
    assert "ada@example.org and bela@example.net" in answer.err
    assert sandbox_letters.find(sandbox.mailbox, "letter.id > ?", [0]) == []


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("ada@example.org", "Ada@example.org"), "two different addresses"),
        (("ada@example.org", "nobody"), "must have an @-sign"),
    ],
)
def test_a_live_check_refuses_what_shows_nothing(
    site: Path, sandbox: SandboxServer, terminal: Terminal, pair: tuple[str, str], said: str
) -> None:
    answer = terminal("check", "--live", *pair, "--yes")
    assert answer.code == 1
    assert said in answer.err
    assert sandbox_letters.find(sandbox.mailbox, "letter.id > ?", [0]) == []


def test_a_live_check_mails_nobody_whom_this_site_may_not_mail(
    site: Path, sandbox: SandboxServer, terminal: Terminal
) -> None:
    terminal("subscribers", "suppress", "bela@example.net")
    answer = terminal("check", "--live", *PAIR, "--yes")
    assert (answer.code, "suppressed" in answer.err) == (1, True)
    assert sandbox_letters.find(sandbox.mailbox, "letter.id > ?", [0]) == []
