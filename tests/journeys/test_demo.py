"""The first command of the README."""

from pathlib import Path

from tests.journeys.conftest import Terminal


def test_the_demo_plays_the_whole_way(tmp_path: Path, terminal: Terminal) -> None:
    answer = terminal("demo", "--no-serve", "--dir", tmp_path / "demo", "--json")
    assert answer.code == 0, answer.err
    told = answer.document
    assert len(told["compose"]["editions"]) == 7
    ledger = told["status"]
    assert ledger["frozen"] == sum(
        ledger[part] for part in ("waiting", "accepted", "rejected", "withheld", "held")
    )
    assert ledger["skipped"] == {"unsubscribed": 12, "suppressed": 8}
    stats = told["stats"]
    assert stats["sent"] == ledger["accepted"] == 280
    assert 0 < stats["clicked"]["human"] < stats["opened"]["human"] < stats["measurable"] < stats["sent"]
    assert stats["clicked"]["machine"] >= 1, "the mail gateway's scan must be told from people"
    assert stats["anonymous"]["opens"] > 0
    assert stats["bounced"] > 0
