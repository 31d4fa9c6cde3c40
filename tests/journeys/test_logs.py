"""Log lines of a site: where they go, what they name, and what never stands in them."""

import json
import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailer.cli import logs
from mailer.cli.masks import masked
from mailer.config_tables import LogsTable
from mailer.links import Purpose, Tokens
from mailer.sandbox.server import SandboxServer
from mailer.service import Mailer
from tests.journeys.conftest import Terminal
from tests.journeys.test_adopting import ready as ready


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in logs.OURS]
    before = [(each, each.level) for each in (root, *ours)]
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for each, level in before:
        each.setLevel(level)
    for handler in [each for each in root.handlers if type(each) is logs._Stderr]:
        root.removeHandler(handler)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capfd.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


TOKENS = [
    Tokens([secrets.token_urlsafe(32)]).sign(purpose, 10**number) for purpose in Purpose for number in (0, 6)
]
HOSTILE = [
    "anna@example.org",
    "<anna@example.org>",
    "to=anna@example.org;",
    "anna%40example.org",
    "ANNA@EXAMPLE.ORG",
    "anna+tag@sub.example.org",
    '"anna smith"@example.org',
    "ann\u00e1@b\u00fccher.example",
    "mailto:anna@example.org?subject=x",
    "anna\uff20example.org",
    "SG.abcDEF-123_x.yzyzyzyz",
    "Bearer abcdef",
    "authorization: Basic YTpi",
    "postgresql+psycopg://mailer:hushhush@db.example.org/mailer",
    "https://anna:hushhush@example.org/",
    *(f"https://news.example.com/{door}/{token}" for door, token in zip("opcuvt", TOKENS, strict=False)),
    *(f"/c/{token}/17" for token in TOKENS),
    *TOKENS,
    *(secrets.token_urlsafe(32) for _ in range(50)),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_addresses_tokens_and_keys_are_masked_wherever_they_stand(
    hostile: str, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.follow(LogsTable(format="json"), is_server=True)
    log = structlog.get_logger()
    structlog.contextvars.bind_contextvars(about=hostile)
    log.warning(f"it failed for {hostile}, twice")
    log.error("failed", reason=hostile, deep={"rows": [(hostile, 1)], hostile: 2}, error=ValueError(hostile))
    try:
        raise ValueError(f"no {hostile}")
    except ValueError:
        log.exception("broken")
        logging.getLogger("uvicorn.error").exception("broken %s", hostile)
    logging.getLogger("mailer.delivery.send").info("said", extra={"words": hostile})
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 5
    for part in ("anna", "ann\u00e1", "hushhush", "abcdef", "abcDEF", "YTpi", hostile):
        assert part.casefold() not in err.casefold().replace("\\u00e1", "\u00e1")


@pytest.mark.parametrize(
    "plain",
    [
        "campaign 3 missed its time",
        "0123456789abcdef0123456789abcdef",
        "mailer.delivery.engine",
        "UnsupportedCompilationError",
        "sqlalchemy.exc.OperationalError: database is locked",
        "test_a_long_name_of_a_function_in_a_traceback",
        "/srv/newsletter/weekly/data/mailer.db",
        "2026-04-10T05:30:00.000000Z",
        "https://news.example.com/archive/week-04",
    ],
)
def test_what_is_no_secret_stays_readable(plain: str) -> None:
    assert masked(plain) == plain


def test_lines_of_others_come_in_the_same_shape(capfd: pytest.CaptureFixture[str]) -> None:
    logs.follow(LogsTable(format="json", level="debug"), is_server=True)
    for name in ("uvicorn.error", "alembic.runtime.migration", "apscheduler.scheduler"):
        logging.getLogger(name).error("something about %s", name)
        logging.getLogger(name).debug("chatter")
    logging.getLogger("uvicorn.access").error("GET /u/token")
    logging.getLogger("mailer.clock").debug("ours")
    found = lines(capfd)
    assert [line["logger"] for line in found] == [
        "uvicorn.error",
        "alembic.runtime.migration",
        "apscheduler.scheduler",
        "mailer.clock",
    ]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in found)


def test_the_level_and_the_format_are_those_of_the_configuration(capfd: pytest.CaptureFixture[str]) -> None:
    logs.follow(LogsTable(format="text", level="error"), is_server=True)
    structlog.get_logger().warning("quiet")
    logging.getLogger("mailer.x").warning("quiet")
    structlog.get_logger().error("loud", campaign=3)
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "loud" in err
    assert "campaign=3" in err
    assert "\x1b" not in err


def test_a_command_says_what_is_wrong_and_no_more(capfd: pytest.CaptureFixture[str]) -> None:
    logs.follow(LogsTable(format="json", level="debug"), is_server=False)
    logging.getLogger("mailer.x").info("chatter")
    structlog.get_logger().info("chatter")
    structlog.get_logger().warning("wrong")
    assert [line["event"] for line in lines(capfd)] == ["wrong"]


def test_every_call_is_a_line_with_campaign_chunk_and_attempt(
    ready: Path, sandbox: SandboxServer, terminal: Terminal, capfd: pytest.CaptureFixture[str]
) -> None:
    with Mailer.open(ready / "config.toml") as mailer:
        mailer.start(mailer.plan("week-04"))
    (ready / "config.toml").write_text((ready / "config.toml").read_text() + '\n[logs]\nformat = "json"\n')
    answer = terminal("worker", "--once")
    found = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    calls = [line for line in found if line["event"] == "call ended"]
    assert calls
    for line in calls:
        assert line["campaign"] == 1
        assert line["chunk"] >= 1
        assert len(line["attempt"]) == 32
        assert line["answer"] == "Accepted"
    assert sum(line["letters"] for line in calls) == 12
    assert "@" not in "".join(json.dumps(line) for line in found)
    assert "token" not in sys.argv
