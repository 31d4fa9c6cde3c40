"""The first command of the README."""

import hashlib
import os
from pathlib import Path

import pytest

from mailer.demo import play
from subscribers.errors import NewsletterError
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


def test_the_demo_passes_over_the_variables_of_a_real_site(
    tmp_path: Path, site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = site / "data/mailer.db"
    before = hashlib.sha256(real.read_bytes()).digest()
    variables = {
        "MAILER_DATABASE__URL": f"sqlite:///{real}",
        "MAILER_SENDGRID__HOST": "http://127.0.0.1:9",
        "MAILER_SENDGRID__WEBHOOK_PUBLIC_KEY": "of another site",
        "MAILER_WEB__BASE_URL": "http://127.0.0.1:9",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = terminal("demo", "--no-serve", "--dir", tmp_path / "demo", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["stats"]["delivered"] > 200
    assert answer.err.count("passes over") == 1
    assert all(name in answer.err for name in variables)
    assert hashlib.sha256(real.read_bytes()).digest() == before
    assert not real.with_name("mailer.db-wal").exists()
    assert {name: os.environ[name] for name in variables} == variables


@pytest.mark.parametrize(
    ("accepted", "delivered", "said"), [(0, 0, "no letter was handed over"), (280, 0, "no event came back")]
)
def test_a_demo_that_showed_nothing_is_no_success(accepted: int, delivered: int, said: str) -> None:
    with pytest.raises(NewsletterError, match=said):
        play.require_a_whole_way({"status": {"accepted": accepted}, "stats": {"delivered": delivered}})
