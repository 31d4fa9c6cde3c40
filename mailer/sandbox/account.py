"""What SendGrid's API tells of an account: senders, event webhook, tracking; answered from options.

Nothing can be changed through these doors; `POST /sandbox/behaviour` says what they tell.
"""

import time

import orjson
import urllib3
from starlette.requests import Request
from starlette.responses import Response

from mailer.sandbox import answers
from mailer.sandbox.answers import Refused, json_answer, refuse
from mailer.sandbox.mailbox import Row
from mailer.sandbox.outbox import AGENT, CONTENT_TYPE, POST_SECONDS, body_of
from mailer.sandbox.state import SandboxState

WEBHOOK_ID = "5a4db0c8-0000-4000-8000-000000000001"
KINDS = (
    "account_status_change",
    "bounce",
    "click",
    "deferred",
    "delivered",
    "dropped",
    "group_resubscribe",
    "group_unsubscribe",
    "open",
    "processed",
    "spam_report",
    "unsubscribe",
)
TRACKERS = {
    "click": "Click Tracking",
    "google_analytics": "Google Analytics",
    "open": "Open Tracking",
    "subscription": "Subscription Tracking",
}
MADE = "2026-01-01T00:00:00Z"


# -- senders --------------------------------------------------------------------------------------


def verified_senders(_request: Request, state: SandboxState, _body: object) -> Response:
    """Single senders: the addresses of `verified_senders`."""
    addresses = [entry for entry in state.options.verified_senders if not entry.startswith("@")]
    return json_answer({"results": [_sender(number, address) for number, address in enumerate(addresses, 1)]})


def _sender(number: int, address: str) -> Row:
    return {
        "id": number,
        "nickname": address,
        "from_email": address,
        "from_name": "",
        "reply_to": address,
        "reply_to_name": "",
        "address": "1 Example Street",
        "city": "Paris",
        "country": "France",
        "verified": True,
        "locked": False,
    }


def domains(request: Request, state: SandboxState, _body: object) -> Response:
    """Authenticated domains: the "@domains" of `verified_senders`; without any rule the one asked for."""
    asked = request.query_params.get("domain", "").casefold()
    rules = state.options.verified_senders
    known = [entry[1:].casefold() for entry in rules if entry.startswith("@")] if rules else [asked]
    found = [name for name in known if name and asked in ("", name)]
    return json_answer([_domain(number, name, state) for number, name in enumerate(found, 1)])


def _domain(number: int, name: str, state: SandboxState) -> Row:
    is_valid = name not in {each.casefold() for each in state.options.pending_domains}
    return {
        "id": number,
        "user_id": 1,
        "subdomain": "em1",
        "domain": name,
        "username": "sandbox",
        "ips": [],
        "custom_spf": False,
        "default": number == 1,
        "legacy": False,
        "automatic_security": True,
        "valid": is_valid,
        "dns": {
            key: {"valid": is_valid, "type": "cname", "host": f"{host}.{name}", "data": "u1.wl.example.net"}
            for key, host in (
                ("mail_cname", "em1"),
                ("dkim1", "s1._domainkey"),
                ("dkim2", "s2._domainkey"),
            )
        },
    }


# -- tracking -------------------------------------------------------------------------------------


def tracking(_request: Request, state: SandboxState, _body: object) -> Response:
    """The account's own tracking, which letters are given unless they say otherwise."""
    on = state.options.account_tracking
    return json_answer(
        {
            "result": [
                {"name": name, "title": title, "description": title, "enabled": name in on}
                for name, title in TRACKERS.items()
            ]
        }
    )


# -- the event webhook ----------------------------------------------------------------------------


def webhooks(_request: Request, state: SandboxState, _body: object) -> Response:
    """Every event webhook: one, when it has an address."""
    return json_answer({"max_allowed": 1, "webhooks": [_webhook(state)] if _url(state) else [{}]})


def _url(state: SandboxState) -> str:
    return state.options.event_webhook.url or state.options.webhook_url


def _webhook(state: SandboxState) -> Row:
    told = state.options.event_webhook
    shown: Row = {
        "enabled": told.enabled,
        "url": _url(state),
        **{kind: kind not in told.kinds_off for kind in KINDS},
        "friendly_name": "sandbox",
        "id": WEBHOOK_ID,
        "created_date": MADE,
        "updated_date": MADE,
    }
    # Only where events are signed.
    return shown | ({"public_key": told.public_key or state.signer.public_key} if told.signed else {})


def signed_webhook(request: Request, state: SandboxState, _body: object) -> Response:
    """The public key of one webhook."""
    if request.path_params["id"] != WEBHOOK_ID:
        raise Refused(refuse(404, "Invalid id provided."))
    return json_answer({"id": WEBHOOK_ID, "public_key": _webhook(state).get("public_key", "")})


def post_test_event(_request: Request, state: SandboxState, body: object) -> Response:
    """Post one made-up event where the caller wants it; signed, when the webhook it names is."""
    fields = body if isinstance(body, dict) else {}
    url = fields.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refused(refuse(400, "url is required", "url"))
    if fields.get("id") not in (None, "", WEBHOOK_ID):
        raise Refused(answers.NOT_FOUND)
    if state.options.event_webhook.tests != "lost":
        _post(url, state, is_signed=state.options.event_webhook.signed and bool(fields.get("id")))
    return Response(status_code=204)


def _post(url: str, state: SandboxState, *, is_signed: bool) -> None:
    now = int(time.time())
    # The placeholders of the console's "Test Your Integration": the same ids each time, no custom args.
    event = {
        "email": "example@test.com",
        "timestamp": now,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": "processed",
        "category": ["cat facts"],
        "sg_event_id": "sandbox-test-event==",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
    }
    body = body_of([orjson.dumps(event)])
    headers = {"User-Agent": AGENT, "Content-Type": CONTENT_TYPE}
    headers |= state.signer.headers(body, now) if is_signed else {}
    with urllib3.PoolManager() as client:
        try:
            client.request(
                "POST", url, body=body, headers=headers, timeout=POST_SECONDS, retries=False, redirect=False
            )
        except urllib3.exceptions.HTTPError:
            # Nobody listens there: the API answers 204 all the same.
            return
