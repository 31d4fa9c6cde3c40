"""Who may ask: API keys, scopes, methods, content types; and nobody from another page or machine."""

from pathlib import Path

import pytest

from mailer.sandbox.server import SandboxServer
from subscribers.errors import NewsletterError
from tests.sandbox.conftest import KEY, SEND, Desk, mail


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer SG.", "Bearer None", "Basic SG.key", "Bearer other"])
def test_a_call_without_a_good_key_is_401(desk: Desk, value: str) -> None:
    assert desk.send(mail(), headers={"Authorization": value}).status == 401
    assert desk.messages() == []


def test_a_missing_header_is_401_too(desk: Desk) -> None:
    answer = desk.http.request("POST", desk.server.url + SEND, body=b"{}")
    assert answer.status == 401
    assert answer.json()["errors"][0]["message"] == "authorization required"


def test_a_key_does_what_its_scopes_allow(desk: Desk) -> None:
    desk.server.state.change({"keys": {KEY: ["suppression.read"], "SG.sender": ["mail.send"]}})
    assert desk.send(mail()).status == 403
    assert desk.request("GET", "/v3/suppression/bounces").status == 200
    assert desk.send(mail(), headers={"Authorization": "Bearer SG.sender"}).status == 202
    assert desk.send(mail(), headers={"Authorization": "Bearer SG.revoked"}).status == 401
    scopes = desk.request("GET", "/v3/scopes", headers={"Authorization": "Bearer SG.sender"}).json()
    assert scopes == {"scopes": ["mail.send"]}


def test_configured_keys_are_not_shown(desk: Desk) -> None:
    desk.server.state.change({"keys": {"SG.very-secret-key": ["mail.send"]}})
    assert b"very-secret" not in desk.request("GET", "/sandbox/behaviour").data


def test_every_scope_is_shown_for_an_unlimited_key(desk: Desk) -> None:
    assert "mail.send" in desk.request("GET", "/v3/scopes").json()["scopes"]


def test_only_a_verified_sender_may_write(desk: Desk) -> None:
    desk.behave(verified_senders=["@news.example.com", "editor@example.org"])
    assert desk.send(mail()).status == 403
    assert desk.send(mail(**{"from": {"email": "a@news.example.com"}})).status == 202
    assert desk.send(mail(**{"from": {"email": "Editor@example.org"}})).status == 202


def test_the_wrong_content_type_is_415(desk: Desk) -> None:
    assert desk.send(mail(), headers={"Content-Type": "text/plain"}).status == 415
    assert desk.send(mail(), headers={"Content-Type": "application/json; charset=utf-8"}).status == 202
    assert desk.send(mail(), headers={"Content-Encoding": "gzip"}).status == 415


@pytest.mark.parametrize("accept", [None, "", "text/html", "text/*, image/png;q=0.5"])
def test_a_call_that_takes_no_json_is_406(desk: Desk, accept: str | None) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    headers |= {} if accept is None else {"Accept": accept}
    for method, path in (("POST", SEND), ("GET", "/v3/scopes"), ("GET", "/v3/suppression/bounces")):
        answer = desk.http.request(method, desk.server.url + path, json=mail(), headers=headers)
        assert (answer.status, answer.json()["errors"][0]["message"]) == (406, "not acceptable")
    assert desk.messages() == []
    assert desk.send(mail(), headers={"Accept": "text/html, application/json;q=0.9"}).status == 202


def test_unknown_paths_and_methods_answer_in_sendgrids_shape(desk: Desk) -> None:
    for method, path, status in (
        ("GET", SEND, 405),
        ("POST", "/v3/nothing", 404),
        ("PUT", "/v3/mail/batch", 405),
    ):
        answer = desk.request(method, path)
        assert answer.status == status
        assert set(answer.json()["errors"][0]) == {"message", "field", "help"}


def test_a_foreign_page_can_neither_write_nor_use_another_name(desk: Desk) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert desk.request("POST", "/sandbox/reset", headers=foreign).status == 403
    assert desk.request("GET", "/", headers={"Host": "evil.example"}).status == 403
    own = {"Origin": desk.server.url}
    assert desk.request("POST", "/sandbox/reset", headers=own).status == 204


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "mail.example.com", ""])
def test_it_listens_on_this_machine_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(NewsletterError, match="this machine only"):
        SandboxServer(host=host, database_path=tmp_path / "s.db")


def test_a_taken_port_is_said(desk: Desk, tmp_path: Path) -> None:
    second = SandboxServer(port=desk.server.port, database_path=tmp_path / "s.db")
    with pytest.raises(NewsletterError, match="cannot listen on"):
        second.start()
    second.stop()


def test_mail_survives_a_restart_and_so_does_the_signing_key(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SandboxServer(database_path=path) as first:
        import urllib3

        with urllib3.PoolManager() as http:
            headers = {"Authorization": f"Bearer {KEY}", "Accept": "*/*"}
            http.request("POST", first.url + SEND, json=mail(), headers=headers)
        key = first.public_key
    with SandboxServer(database_path=path) as second:
        assert second.public_key == key
        assert second.mailbox.rows("SELECT count(*) AS n FROM letter")[0]["n"] == 1


def test_a_file_of_another_version_is_refused_with_a_cure(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "s.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewsletterError) as caught:
        SandboxServer(database_path=path)
    assert "Delete the file" in str(caught.value.cure)
