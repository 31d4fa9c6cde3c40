"""A newcomer lays out a site and asks it things."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from mailer.service import Mailer
from mailer.tracking import counters
from subscribers.errors import NewsletterError
from tests.journeys.conftest import Terminal


def test_init_lays_out_a_complete_private_site(tmp_path: Path, terminal: Terminal) -> None:
    folder = tmp_path / "a" / "new place"
    answer = terminal("init", folder, "--json")
    assert answer.code == 0
    assert set(answer.document["written"]) >= {"config.toml", "secrets.toml", "templates/", "examples/"}
    assert stat.S_IMODE((folder / "secrets.toml").stat().st_mode) == 0o600
    assert (folder / "templates/email").is_dir()
    assert (folder / "examples/week-04.md").is_file()
    assert "secrets.toml" in (folder / ".gitignore").read_text()


def test_init_overwrites_nothing(site: Path, terminal: Terminal) -> None:
    before = (site / "secrets.toml").read_bytes()
    answer = terminal("init", site, "--json")
    assert answer.code == 1
    assert answer.document["error"]["cure"]
    assert (site / "secrets.toml").read_bytes() == before


def test_init_makes_its_own_database_whatever_the_variables_say(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "live.db"
    monkeypatch.setenv("MAILER_DATABASE__URL", f"sqlite:///{other}")
    monkeypatch.setenv("MAILER_SANDBOX__DATABASE", str(tmp_path / "live-sandbox.db"))
    answer = terminal("init", tmp_path / "new")
    assert answer.code == 0
    assert "commands obey" in answer.err
    assert "MAILER_DATABASE__URL" in answer.err
    assert not list(tmp_path.glob("live*"))
    assert (tmp_path / "new/data/mailer.db").is_file()


def test_two_sites_have_different_keys(tmp_path: Path, terminal: Terminal) -> None:
    for name in ("one", "two"):
        terminal("init", tmp_path / name)
    assert (tmp_path / "one/secrets.toml").read_text() != (tmp_path / "two/secrets.toml").read_text()


def test_upgrade_on_a_current_database_does_nothing(site: Path, terminal: Terminal) -> None:
    answer = terminal("upgrade", "--json")
    assert (answer.code, answer.document["changed"]) == (0, False)


@pytest.mark.sqlite_only(reason="a server's database is made by its administrator")
def test_upgrade_creates_a_missing_database(site: Path, terminal: Terminal) -> None:
    for file in (site / "data").glob("mailer.db*"):
        file.unlink()
    answer = terminal("upgrade", "--json")
    assert (answer.code, answer.document["changed"]) == (0, True)
    assert terminal("issues").code == 0


@pytest.mark.parametrize("command", ["upgrade", "check", "issues"])
def test_a_database_of_a_newer_version_is_refused_in_one_sentence(
    site: Path, terminal: Terminal, command: str
) -> None:
    with Mailer.open() as mailer, mailer.database.ledger() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = terminal(command, "--json")
    assert answer.code == 1
    error = answer.document["error"]
    assert error["message"] == "the database is at schema 9999, which a newer version of this program made."
    assert error["cure"].startswith("Install that version")
    assert "Traceback" not in answer.err
    with Mailer.open(any_schema=True) as mailer:
        assert mailer.database.schema_version() == "9999"


def test_init_names_its_folder_so_that_a_shell_finds_it(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = terminal("init", "ein Ort/mit Umlaut ü")
    assert "cd 'ein Ort/mit Umlaut ü'" in answer.out


def test_check_of_a_fresh_site_warns_of_the_placeholder_sender_only(site: Path, terminal: Terminal) -> None:
    findings = terminal("check", "--json").document["findings"]
    assert {finding["level"] for finding in findings} <= {"ok", "warning"}
    assert any("editor@example.com" in finding["said"] for finding in findings)


def test_check_tells_of_events_that_have_no_letter_or_no_meaning(site: Path, terminal: Terminal) -> None:
    with Mailer.open() as mailer, mailer.database.ledger() as connection:
        counters.add(connection, {counters.UNKNOWN_DELIVERIES: 1234, counters.UNREADABLE_ROWS: 2})
    said = {each["said"]: each["level"] for each in terminal("check", "--json").document["findings"]}
    assert said["1,234 events came in for letters that this site did not send"] == "ok"
    assert said["2 rows that were no events came in with a good signature"] == "warning"
    assert "1,234 events" in terminal("check").out


def test_a_placeholder_sender_is_refused_at_sendgrids_own_host(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("import", "examples/week-04.md")
    terminal("subscribers", "add", "ada@example.org", "--basis", "by hand")
    monkeypatch.setenv("MAILER_SENDGRID__HOST", "https://api.sendgrid.com")
    monkeypatch.setenv("MAILER_WEB__BASE_URL", "https://n.example.com")
    answer = terminal("send", "week-04", "--yes", "--json")
    assert answer.code == 1
    assert "editor@example.com" in answer.document["error"]["message"]


def test_what_could_not_start_is_refused_before_anybody_is_asked(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("import", "examples/week-04.md")
    terminal("subscribers", "add", "ada@example.org", "--basis", "by hand")
    assert terminal("send", "week-04", "--json").code == 2
    monkeypatch.setenv("MAILER_WEB__BASE_URL", f"https://{'n' * 40}.example.com")
    answer = terminal("send", "week-04", "--json")
    assert answer.code == 1
    assert "List-Unsubscribe" in answer.document["error"]["message"]


def test_the_keys_of_the_sandbox_are_named_at_sendgrids_own_host(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MAILER_SENDGRID__HOST": "https://api.sendgrid.com",
        "MAILER_WEB__BASE_URL": "https://news.heme.health",
        "MAILER_NEWSLETTER__FROM_EMAIL": "editor@heme.health",
        "MAILER_NEWSLETTER__REPLY_TO": "editor@heme.health",
        "MAILER_NEWSLETTER__POSTAL_ADDRESS": "Heme Health, 12 Rue Verte, Lyon",
        "MAILER_NEWSLETTER__IMPRINT_URL": "https://heme.health/imprint",
        "MAILER_NEWSLETTER__PRIVACY_URL": "https://heme.health/privacy",
    }.items():
        monkeypatch.setenv(name, value)

    def named() -> dict[str, str]:
        findings = terminal("check", "--json").document["findings"]
        return {each["said"].split(" key ")[0]: each["level"] for each in findings if " key " in each["said"]}

    assert named() == {"the API": "error", "the webhook": "warning"}
    monkeypatch.setenv("MAILER_SENDGRID__API_KEY", "SG.of-an-account")
    assert named() == {"the webhook": "warning"}
    monkeypatch.setenv("MAILER_SENDGRID__WEBHOOK_PUBLIC_KEY", "of an account")
    assert named() == {}
    assert terminal("check").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[web]\nport = 'eight'", "[web] port"),
        ("[web]\nprot = 8000", "Did you mean 'port'"),
        ("[sendgird]\nhost = 'http://127.0.0.1'", "Did you mean 'sendgrid'"),
        ("[newsletter]\nname = no quotes", "TOML"),
        ("[topics.Bad_Slug]\nname = 'x'", "Bad_Slug"),
        ("[newsletter]\ntimezone = 'Europe/Pari'", "[newsletter] timezone"),
        ("[editions]\nnumbering = 'roman'", "renumber"),
        ("[[web]]\nport = 8000", "[web]"),
        ("[web]\nport = true", "[web] port"),
        ("[web]\nport = '8000'", "[web] port"),
        ("[database]\nurl = 'sqlite://'", "[database] url"),
        ("[topics.all]\nname = 'x'", "'all'"),
        ("[topics.none]\nname = 'x'", "For example [topics.car-t]."),
        ("[newsletter]\nimprint_url = 'javascript:alert(1)'", "https://www.example.com/imprint"),
        ("[newsletter]\nprivacy_url = 'not a url'", "[newsletter] privacy_url"),
        ("[newsletter]\nlogo_url = 'https://me@example.com/x.png'", "user name before the host"),
        ("[web]\nbase_url = 'https://'", "has no host"),
        ("[links.targets]\n'Dive deeper' = 'javascript:x'", '[links.targets] "Dive deeper" = "https://'),
        ("[web]\nport = 1\n[web]\nhost = 'x'", "stands once"),
        ("[web]\nport = 1\nport = 2", "stands once"),
    ],
)
def test_a_wrong_configuration_says_where_and_what_would_be_right(
    tmp_path: Path, terminal: Terminal, line: str, said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(line + "\n")
    answer = terminal("issues", "--config", path, "--json")
    assert answer.code == 1
    error = answer.document["error"]
    assert error["file"] == str(path)
    assert error["line"] is not None
    assert error["cure"]
    assert said in f"{error['message']} {error['cure']}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAILER_SENDGRID", "x"),
        ("MAILER_SENDGRD__HOST", "x"),
        ("MAILER_WEB__PROT", "1"),
        ("MAILER_WEB__PORT", "eight"),
        ("MAILER_WEB__SECRETS", "plain"),
    ],
)
def test_a_wrong_variable_is_named(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = terminal("issues", "--json")
    error = answer.document["error"]
    assert answer.code == 1
    assert variable in f"{error['field']} {error['message']}"
    assert "example" in error["cure"]


def test_a_wrong_variable_is_not_blamed_on_a_line_that_is_right(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILER_WEB__PORT", "abc")
    error = terminal("issues", "--json").document["error"]
    assert (error["file"], error["line"], error["field"]) == ("MAILER_WEB__PORT", None, "MAILER_WEB__PORT")
    assert "[web] port" in error["message"]


def test_a_secret_typed_as_a_key_is_not_repeated(site: Path, terminal: Terminal) -> None:
    with (site / "secrets.toml").open("a") as file:
        file.write('"SG.hush-hush" = "x"\n')
    answer = terminal("check", "--json")
    assert answer.code == 1
    assert "hush-hush" not in answer.out + answer.err
    assert answer.document["error"]["file"].endswith("secrets.toml")


def test_a_missing_config_is_refused(tmp_path: Path, terminal: Terminal) -> None:
    answer = terminal("issues", "--config", tmp_path / "nowhere.toml", "--json")
    assert answer.code == 1
    assert "nowhere.toml" in answer.document["error"]["message"]


def test_secrets_never_appear_in_an_error_or_a_repr(
    site: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailer.config import load_settings

    monkeypatch.setenv("MAILER_SENDGRID__API_KEY", "SG.hush-hush")
    monkeypatch.setenv("MAILER_DATABASE__URL", "postgresql+psycopg://me:hush-hush@127.0.0.1:1/none")
    assert "hush-hush" not in repr(load_settings(site / "config.toml"))
    answer = terminal("issues", "--json")
    assert "127.0.0.1" in answer.document["error"]["message"]
    assert "hush-hush" not in answer.out + answer.err
    monkeypatch.setenv("MAILER_DATABASE__URL", "mysql://me:hush-hush@127.0.0.1:1/none")
    with pytest.raises(NewsletterError) as refused:
        load_settings(site / "config.toml")
    assert "hush-hush" not in f"{refused.value!r} {refused.value}"
    assert "postgresql+psycopg://" in str(refused.value)
    answer = terminal("issues", "--json")
    assert answer.code == 1
    assert "hush-hush" not in answer.out + answer.err


def test_a_command_line_that_cannot_be_read_exits_with_two(terminal: Terminal) -> None:
    assert terminal("compose", "--json").code == 2
    assert terminal("no-such-command").code == 2
