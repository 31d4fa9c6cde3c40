"""The JSON that scripts rely on, each shape exactly as documented."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailer.sandbox.server import SandboxServer
from tests.journeys.conftest import Terminal

LEDGER = ("waiting", "accepted", "rejected", "withheld", "held")
STATUS_KEYS = {
    "campaign", "issue", "status", "pause_reason", "frozen", *LEDGER, "skipped",
    "revision", "newest_revision", "due", "revocable", "beyond_reach",
    "went_although_cancelled",
}  # fmt: skip

READERS = """\
email,name,topics,track_consent
ada@example.com,Ada Abara,car-t,yes
bela@example.com,Bela Bianchi,myeloma;immunology,yes
chloe@example.org,,all,no
dara@example.org,Dara D'Arcy,,no
emre@example.net,Emre,cart,no
"""


@pytest.fixture
def people(site: Path, terminal: Terminal) -> dict[str, Any]:
    """Four readers and one refused row."""
    (site / "readers.csv").write_text(READERS)
    document: dict[str, Any] = terminal(
        "subscribers", "import", "readers.csv", "--basis", "form", "--json"
    ).document
    return document


def test_import(site: Path, terminal: Terminal) -> None:
    document = terminal("import", "examples/week-04.md", "--json").document
    assert set(document) == {
        "issue", "revision", "stories", "faq", "why_it_matters", "calls_to_action", "keywords",
        "references", "warnings", "unplaced",
    }  # fmt: skip
    assert (document["issue"], document["revision"]) == ("week-04", 1)
    assert [story["number"] for story in document["stories"]] == list(range(1, 9))
    for story in document["stories"]:
        assert set(story) == {
            "id", "number", "title", "topics", "suggested", "url", "urls", "region", "date", "date_text",
        }  # fmt: skip
        assert story["url"] == story["urls"][0]
    everyone = next(story for story in document["stories"] if not story["topics"])
    assert everyone["suggested"] is False
    assert terminal("import", "examples/week-04.md", "--json").document["revision"] == 1


def test_a_refused_issue_names_every_fault_at_once(site: Path, terminal: Terminal) -> None:
    (site / "bad.md").write_text("A story [1] [US • 21 Jan 2026]\nhttp:/nowhere\nAnother [2]\nwww.\u00e9 x\n")
    answer = terminal("import", "bad.md", "--json")
    error = answer.document["error"]
    assert answer.code == 1
    assert set(error) == {"message", "file", "line", "field", "cure", "all"}
    assert {problem["line"] for problem in error["all"]} >= {2}
    assert error["message"] == error["all"][0]["message"]


def test_compose(site: Path, terminal: Terminal, people: dict[str, Any]) -> None:
    terminal("import", "examples/week-04.md")
    document = terminal("compose", "week-04", "--json").document
    assert set(document) == {"issue", "editions", "skipped"}
    for edition in document["editions"]:
        assert set(edition) == {
            "key", "label", "topics", "stories", "subject", "preheader", "html_bytes", "text_bytes",
            "audience", "warnings",
        }  # fmt: skip
    assert sum(edition["audience"] for edition in document["editions"]) == 4
    every = terminal("compose", "week-04", "--all", "--json").document
    assert len(every["editions"]) == 7


def test_preview_gives_the_same_bytes_twice(site: Path, terminal: Terminal) -> None:
    terminal("import", "examples/week-04.md")
    for folder in ("deep/one", "deep/two"):
        assert terminal("preview", "week-04", "--topics", "car-t,myeloma", "--out", folder).code == 0
    for name in ("edition.html", "edition.txt", "edition.mjml"):
        first = (site / "deep/one" / name).read_bytes()
        assert first == (site / "deep/two" / name).read_bytes()
        for door in ("/c/", "/v/", "/u/", "/p/"):
            assert door.encode() in first


def test_preview_of_all_topics_is_the_full_edition(site: Path, terminal: Terminal) -> None:
    terminal("import", "examples/week-04.md")
    assert terminal("preview", "week-04", "--topics", "all", "--out", "named").code == 0
    assert terminal("preview", "week-04", "--out", "unnamed").code == 0
    named, unnamed = (site / folder / "edition.txt" for folder in ("named", "unnamed"))
    assert named.read_bytes() == unnamed.read_bytes()


def test_people(people: dict[str, Any], terminal: Terminal) -> None:
    assert {name: people[name] for name in ("read", "added", "updated", "unchanged", "suppressed")} == {
        "read": 5, "added": 4, "updated": 0, "unchanged": 0, "suppressed": 0,
    }  # fmt: skip
    assert [refused["line"] for refused in people["refused"]] == [6]
    shown = terminal("subscribers", "show", "ada@example.com", "--json").document
    assert set(shown) >= {"email", "status", "topics", "lists", "track_consent", "consents", "letters"}
    assert (shown["topics"], shown["track_consent"], shown["letters"]) == (["car-t"], True, [])


def test_send_status_campaigns_and_stats(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    answer = terminal("send", "week-04", "--yes", "--json")
    sent = answer.document
    assert answer.code == 0
    assert set(sent) == STATUS_KEYS
    assert sent["frozen"] == sum(sent[part] for part in LEDGER) == sent["accepted"] == 4
    assert terminal("status", sent["campaign"], "--json").document == sent
    listed = {**sent, "skipped": None}
    assert terminal("campaigns", "--json").document == {"campaigns": [listed]}
    assert terminal("status", "--json").document["campaigns"] == [listed]
    stats = terminal("stats", sent["campaign"], "--json").document
    assert set(stats) == {
        "campaign", "sent", "measurable", "delivered", "bounced", "complained", "unsubscribed", "opened",
        "clicked", "anonymous", "editions", "topics", "stories", "links",
    }  # fmt: skip
    assert (stats["sent"], stats["measurable"]) == (4, 2)
    assert set(stats["opened"]) == {"human", "machine", "unknown"}
    for story in stats["stories"]:
        assert set(story) >= {"id", "number", "title", "topics", "reached", "clicked"}
    letters = terminal("subscribers", "show", "ada@example.com", "--json").document["letters"]
    assert [(letter["issue"], letter["handover"]) for letter in letters] == [("week-04", "accepted")]


def test_nobody_gets_an_issue_twice(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    terminal("send", "week-04", "--yes")
    again = terminal("send", "week-04", "--yes", "--json")
    assert again.code == 1
    assert again.document["error"]["message"] == "nobody would get this issue: 4 already_sent."
    assert len(sandbox.mailbox.rows("SELECT * FROM letter")) == 4


def test_send_without_yes_and_terminal_does_nothing(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    answer = terminal("send", "week-04", "--json")
    assert answer.code == 2
    assert "4" in answer.document["error"]["message"]
    assert terminal("campaigns", "--json").document == {"campaigns": []}


def test_a_paused_campaign_ends_with_one_and_goes_on(
    site: Path,
    terminal: Terminal,
    sandbox: SandboxServer,
    people: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal("import", "examples/week-04.md")
    monkeypatch.setenv("MAILER_SENDGRID__API_KEY", "none-of-SendGrids")
    answer = terminal("send", "week-04", "--yes", "--json")
    assert (answer.code, answer.document["status"]) == (1, "paused")
    assert "none-of-SendGrids" not in answer.out + answer.err
    monkeypatch.delenv("MAILER_SENDGRID__API_KEY")
    assert terminal("resume", answer.document["campaign"], "--json").document["status"] == "sending"
    assert terminal("worker", "--once").code == 0
    done = terminal("status", answer.document["campaign"], "--json").document
    assert (done["status"], done["accepted"]) == ("finished", 4)


def test_an_issue_that_was_sent_is_closed(
    site: Path, terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    terminal("send", "week-04", "--yes")
    changed = (site / "examples/week-04.md").read_text().replace("Context:", "Context: Also,", 1)
    (site / "week-04.md").write_text(changed)
    answer = terminal("import", "week-04.md", "--json")
    assert answer.code == 1
    assert "--slug" in answer.document["error"]["cure"]
    assert terminal("import", "week-04.md", "--slug", "week-04b", "--json").code == 0


def test_test_letters_count_nothing(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    answer = terminal("test", "week-04", "--to", "me@example.com", "--every-edition", "--json")
    assert answer.code == 0
    subjects = [letter["subject"] for letter in answer.document["letters"]]
    assert subjects
    assert all(subject.startswith("[TEST] ") and " · r1 · " in subject for subject in subjects)
    assert terminal("campaigns", "--json").document == {"campaigns": []}
    assert terminal("subscribers", "show", "me@example.com", "--json").code == 1


def test_an_issue_that_was_sent_can_be_looked_at_again(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    before = terminal("compose", "week-04", "--json").document
    terminal("send", "week-04", "--yes")
    after = terminal("compose", "week-04", "--json").document
    unread = [{**edition, "audience": 0} for edition in before["editions"]]
    assert sorted(after["editions"], key=str) == sorted(unread, key=str)
    assert after["skipped"] == {"already_sent": 4}


def test_every_edition_can_be_tested_after_the_issue_was_sent(
    terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    words = ("test", "week-04", "--to", "me@example.com", "--every-edition", "--json")
    terminal("import", "examples/week-04.md")
    before = terminal(*words).document["letters"]
    terminal("send", "week-04", "--yes")
    after = terminal(*words).document["letters"]
    assert {letter["edition"] for letter in after} == {letter["edition"] for letter in before}


def test_without_readers_every_edition_is_the_full_one_and_one_of_each_topic(
    site: Path, terminal: Terminal, sandbox: SandboxServer
) -> None:
    terminal("import", "examples/week-04.md")
    words = ("test", "week-04", "--to", "me@example.com", "--every-edition")
    answer = terminal(*words, "--json")
    labels = [letter["label"] for letter in answer.document["letters"]]
    assert answer.code == 0
    assert labels == ["Full edition", "CAR-T", "Myeloma", "Immunology"]
    assert "no reader's choices make an edition" in answer.err
    said = terminal(*words)
    assert said.out.count("Sent to 1: [TEST] ") == len(labels)


def test_lists_segments_and_topics(site: Path, terminal: Terminal, people: dict[str, Any]) -> None:
    assert terminal("lists", "add", "Booth", "ada@example.com", "--json").document["members"] == 1
    assert terminal("lists", "show", "booth", "--json").document["members"] == ["ada@example.com"]
    (site / "rule.json").write_text(json.dumps({"all": [{"topic": "myeloma"}, {"not": {"list": "booth"}}]}))
    terminal("segments", "add", "Myeloma", "--rule", "rule.json")
    counted = terminal("segments", "count", "myeloma", "--json").document
    assert set(counted) == {"segment", "words", "count"}
    assert counted["count"] == 3
    topics = {row["topic"]: row for row in terminal("topics", "list", "--json").document["topics"]}
    assert topics["car-t"]["readers"] == 3
    assert terminal("lists", "remove", "booth", "ada@example.com", "--json").document["removed"] == 1


def test_export_imports_to_the_same(site: Path, terminal: Terminal, people: dict[str, Any]) -> None:
    assert terminal("subscribers", "export", "out.csv", "--json").document["exported"] == 4
    again = terminal("subscribers", "import", "out.csv", "--basis", "form", "--json").document
    assert (again["unchanged"], again["refused"]) == (4, [])


def test_an_erased_person_is_in_no_file(
    site: Path, terminal: Terminal, sandbox: SandboxServer, people: dict[str, Any]
) -> None:
    terminal("import", "examples/week-04.md")
    terminal("send", "week-04", "--yes")
    assert terminal("subscribers", "erase", "ada@example.com", "--yes").code == 0
    for file in (site / "data").glob("mailer.db*"):
        kept = file.read_bytes().lower()
        assert b"ada@example.com" not in kept, file.name
        assert b"ada abara" not in kept, file.name
    assert terminal("subscribers", "show", "ada@example.com", "--json").code == 1
    again = terminal("subscribers", "import", "readers.csv", "--basis", "form", "--json").document
    assert again["suppressed"] == 1
    assert again["added"] == 0
