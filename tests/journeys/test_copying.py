"""Somebody outgrows a file, and goes back to one."""

from pathlib import Path

import pytest

from mailer import site as site_files
from tests import databases
from tests.journeys.conftest import Terminal


def set_database(site: Path, url: str) -> None:
    site_files.set_keys(site / "config.toml", {("database", "url"): url})


@pytest.mark.parametrize("to", ["file", "server"])
def test_a_site_moves_over_and_goes_on(to: str, site: Path, terminal: Terminal, tmp_path: Path) -> None:
    if to == "server" and not databases.SERVER:
        pytest.skip(f"needs a server: set {databases.VARIABLE}")
    url = "sqlite:///data/new.db" if to == "file" else databases.new_url("", migrated=False)
    terminal("import", "examples/week-04.md")
    terminal("subscribers", "add", "ada@example.org", "--basis", "by hand")
    assert terminal("copy-to", url).code == 2
    copied = terminal("copy-to", url, "--yes", "--json")
    assert (copied.code, copied.document["rows"]["subscriber"]) == (0, 1)
    assert terminal("copy-to", url, "--yes", "--json").document["error"]["cure"].startswith("Name an empty")

    set_database(site, url)
    assert terminal("adopt", "--yes").code == 0
    assert terminal("subscribers", "show", "ada@example.org", "--json").document["email"] == "ada@example.org"
    assert terminal("issues", "--json").document["issues"]
    assert terminal("subscribers", "add", "ben@example.org", "--basis", "by hand").code == 0
    shown = terminal("copy-to", "sqlite:///data/back.db", "--yes")
    assert shown.code == 0
    assert "2 readers" in shown.out
    assert "[database]" in shown.out
    assert "back.db" in shown.out.replace("\n", "")


def test_where_it_goes_is_said_without_its_password(site: Path, terminal: Terminal) -> None:
    url = "postgresql+psycopg://me:hush-hush@127.0.0.1:1/none"
    answer = terminal("copy-to", url, "--yes", "--json")
    assert answer.code == 1
    assert answer.document["error"]["field"] == "URL"
    assert "hush-hush" not in answer.out + answer.err
    refused = terminal("copy-to", "mysql://me:hush-hush@127.0.0.1/none", "--yes", "--json")
    assert refused.code == 1
    assert "postgresql+psycopg://" in refused.document["error"]["message"]
    assert "hush-hush" not in refused.out + refused.err
