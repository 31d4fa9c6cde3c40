"""What the sandbox tells of its account, in the shapes that SendGrid publishes."""

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from yaml import CSafeLoader, load

from mailer.tracking import signature
from tests.conftest import SHARED
from tests.sandbox.conftest import Desk, Receiver

SPECIFICATIONS = SHARED / "sendgrid" / "openapi"
WEBHOOKS = "/v3/user/webhooks/event"

published = pytest.mark.skipif(not SPECIFICATIONS.is_dir(), reason="SendGrid's published shapes are not here")


@cache
def _published(name: str) -> dict[str, Any]:
    document: dict[str, Any] = load((SPECIFICATIONS / f"{name}.yaml").read_text(), Loader=CSafeLoader)
    return document


def require_shape(name: str, path: str, method: str, status: int, document: Any) -> None:
    """Refuse an answer that the published document does not allow, or that has a field it does not name."""
    whole = _published(name)
    answer = whole["paths"][path][method]["responses"][str(status)]
    schema = answer["content"]["application/json"]["schema"]
    registry = Registry().with_resource(
        "urn:published",
        Resource.from_contents({"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}),
    )
    validator = Draft202012Validator(_pointing(schema), registry=registry)
    assert [error.message for error in validator.iter_errors(document)] == []


def _pointing(schema: Any) -> Any:
    """The schema with its references leading into the published document."""
    if isinstance(schema, list):
        return [_pointing(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"urn:published{value}" if key == "$ref" and isinstance(value, str) else _pointing(value)
        for key, value in schema.items()
    }


@published
@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("tsg_webhooks_v3", f"{WEBHOOKS}/settings/all"),
        ("tsg_tracking_settings_v3", "/v3/tracking_settings"),
    ],
)
def test_the_account_is_told_in_the_published_shape(desk: Desk, name: str, door: str) -> None:
    desk.behave(webhook_url="http://127.0.0.1:9/hook", account_tracking=["click"])
    answer = desk.request("GET", door)
    assert answer.status == 200
    require_shape(name, door, "get", 200, answer.json())


@published
def test_the_public_key_of_a_webhook_is_told_in_the_published_shape(desk: Desk) -> None:
    desk.behave(webhook_url="http://127.0.0.1:9/hook")
    (webhook,) = desk.request("GET", f"{WEBHOOKS}/settings/all").json()["webhooks"]
    answer = desk.request("GET", f"{WEBHOOKS}/settings/signed/{webhook['id']}")
    require_shape("tsg_webhooks_v3", f"{WEBHOOKS}/settings/signed/{{id}}", "get", 200, answer.json())
    assert answer.json()["public_key"] == webhook["public_key"] == desk.server.public_key
    assert desk.request("GET", f"{WEBHOOKS}/settings/signed/another").status == 404


@published
def test_every_published_kind_of_event_has_its_tick(desk: Desk) -> None:
    desk.behave(webhook_url="http://127.0.0.1:9/hook")
    (webhook,) = desk.request("GET", f"{WEBHOOKS}/settings/all").json()["webhooks"]
    schemas = _published("tsg_webhooks_v3")["components"]["schemas"]
    ticks = {
        name
        for name, field in schemas["EventWebhookBaseResponseProps"]["properties"].items()
        if field.get("type") == "boolean"
    }
    assert {name for name, value in webhook.items() if isinstance(value, bool)} == ticks


def test_a_webhook_tells_what_it_was_told_to(desk: Desk) -> None:
    assert desk.request("GET", f"{WEBHOOKS}/settings/all").json()["webhooks"] == [{}]
    desk.behave(webhook_url="http://127.0.0.1:9/hook")
    desk.behave(event_webhook={"enabled": False, "kinds_off": ["bounce"]})
    desk.behave(event_webhook={"signed": False})
    (webhook,) = desk.request("GET", f"{WEBHOOKS}/settings/all").json()["webhooks"]
    assert (webhook["enabled"], webhook["bounce"], webhook["dropped"]) == (False, False, True)
    assert webhook["url"] == "http://127.0.0.1:9/hook"
    assert "public_key" not in webhook


def test_a_test_event_is_posted_and_signed(desk: Desk, receiver: Receiver) -> None:
    desk.behave(webhook_url=f"{receiver.url}/hook")
    (webhook,) = desk.request("GET", f"{WEBHOOKS}/settings/all").json()["webhooks"]
    wanted = {"id": webhook["id"], "url": webhook["url"]}
    assert desk.request("POST", f"{WEBHOOKS}/test", wanted).status == 204
    (post,) = receiver.posts()
    assert signature.verify(
        desk.server.public_key,
        post.headers[signature.SIGNATURE_HEADER.casefold()],
        post.headers[signature.TIMESTAMP_HEADER.casefold()],
        post.body,
    )
    assert [event["event"] for event in receiver.events()] == ["processed"]


def test_a_test_event_may_be_lost(desk: Desk, receiver: Receiver) -> None:
    desk.behave(event_webhook={"tests": "lost"})
    assert desk.request("POST", f"{WEBHOOKS}/test", {"url": f"{receiver.url}/hook"}).status == 204
    assert receiver.posts() == []
    assert desk.request("POST", f"{WEBHOOKS}/test", {"url": "ftp://x"}).status == 400
    assert desk.request("POST", f"{WEBHOOKS}/test", {"url": "http://x", "id": "other"}).status == 404


def test_senders_are_those_that_mail_send_takes(desk: Desk) -> None:
    asked = "/v3/whitelabel/domains?domain=weekly.example.org"
    assert [each["domain"] for each in desk.request("GET", asked).json()] == ["weekly.example.org"]
    desk.behave(
        verified_senders=["@example.org", "@example.net", "ada@example.com"], pending_domains=["example.net"]
    )
    domains = desk.request("GET", "/v3/whitelabel/domains").json()
    assert [(each["domain"], each["valid"]) for each in domains] == [
        ("example.org", True), ("example.net", False),
    ]  # fmt: skip
    assert desk.request("GET", asked).json() == []
    (sender,) = desk.request("GET", "/v3/verified_senders").json()["results"]
    assert (sender["from_email"], sender["verified"]) == ("ada@example.com", True)


def test_the_account_is_told_to_keys_that_may_ask(desk: Desk) -> None:
    desk.behave(keys={"SG.test-key": ["mail.send"]})
    for door in ("/v3/verified_senders", "/v3/tracking_settings", f"{WEBHOOKS}/settings/all"):
        assert desk.request("GET", door).status == 403
    assert desk.request("GET", "/v3/scopes").json() == {"scopes": ["mail.send"]}


def test_a_door_answers_with_any_status_that_it_was_told(desk: Desk) -> None:
    desk.behave(door_status={"/v3/scopes": 451})
    assert desk.request("GET", "/v3/scopes").status == 451
    assert desk.request("GET", "/v3/tracking_settings").status == 200
