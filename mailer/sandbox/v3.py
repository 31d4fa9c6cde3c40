"""The other doors of SendGrid's v3 API that we use: batches, scheduled sends, suppressions, the account."""

import time
from collections.abc import Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.sandbox import account, answers
from mailer.sandbox.answers import Refused, json_answer, refuse, written
from mailer.sandbox.keys import require, require_acceptable, scopes_of
from mailer.sandbox.mailbox import Row
from mailer.sandbox.send_door import PATH, send_mail
from mailer.sandbox.state import SandboxState, state_of

LISTS = ("bounces", "blocks", "spam_reports", "invalid_emails")
MAX_PAGE = 500
MAX_STOPPED_BATCHES = 100  # paused and cancelled at one time ("Canceling a scheduled send")
BATCH_VALID_SECONDS = 10 * 24 * 3600

_WEBHOOKS = "/v3/user/webhooks/event"
_WEBHOOKS_TEST = "user.webhooks.event.test.create"
_WEBHOOKS_READ = "user.webhooks.event.settings.read"

Door = Callable[[Request, SandboxState, Any], Response]


def routes() -> list[Route]:
    return [
        Route(PATH, send_mail, methods=["POST"]),
        _route("/v3/scopes", "GET", None, _scopes),
        _route("/v3/mail/batch", "POST", "mail.batch.create", _new_batch),
        _route("/v3/mail/batch/{batch_id}", "GET", "mail.batch.read", _batch),
        _route("/v3/user/scheduled_sends", "POST", "user.scheduled_sends.create", _stop_batch),
        _route("/v3/user/scheduled_sends", "GET", "user.scheduled_sends.read", _stopped_batches),
        _route("/v3/user/scheduled_sends/{batch_id}", "GET", "user.scheduled_sends.read", _stopped_batch),
        _route("/v3/user/scheduled_sends/{batch_id}", "PATCH", "user.scheduled_sends.update", _change_batch),
        _route(
            "/v3/user/scheduled_sends/{batch_id}", "DELETE", "user.scheduled_sends.delete", _release_batch
        ),
        _route("/v3/suppression/{list_name}", "GET", "suppression.read", _suppressions),
        _route("/v3/suppression/{list_name}", "DELETE", "suppression.delete", _delete_suppressions),
        _route("/v3/suppression/{list_name}/{email}", "GET", "suppression.read", _suppression),
        _route("/v3/suppression/{list_name}/{email}", "DELETE", "suppression.delete", _delete_suppression),
        _route("/v3/asm/suppressions/global", "POST", "asm.suppressions.global.create", _add_global),
        _route("/v3/asm/suppressions/global/{email}", "GET", "asm.suppressions.global.read", _global),
        _route(
            "/v3/asm/suppressions/global/{email}", "DELETE", "asm.suppressions.global.delete", _delete_global
        ),
        # The scope of senders is not published; that of authenticated domains goes with them in the console.
        _route("/v3/verified_senders", "GET", "whitelabel.read", account.verified_senders),
        _route("/v3/whitelabel/domains", "GET", "whitelabel.read", account.domains),
        _route("/v3/tracking_settings", "GET", "tracking_settings.read", account.tracking),
        _route(f"{_WEBHOOKS}/settings/all", "GET", _WEBHOOKS_READ, account.webhooks),
        _route(f"{_WEBHOOKS}/settings/signed/{{id}}", "GET", _WEBHOOKS_READ, account.signed_webhook),
        _route(f"{_WEBHOOKS}/test", "POST", _WEBHOOKS_TEST, account.post_test_event, is_slow=True),
    ]


def _route(path: str, method: str, scope: str | None, door: Door, *, is_slow: bool = False) -> Route:
    async def endpoint(request: Request) -> Response:
        state = state_of(request)
        body = await request.body()
        try:
            if request.url.path in state.options.door_status:
                raise Refused(answers.of_status(state.options.door_status[request.url.path]))
            if scope:
                require(request, scope, state.options)
            require_acceptable(request)
            if is_slow:
                return await run_in_threadpool(door, request, state, _json(body))
            return door(request, state, _json(body))
        except Refused as refused:
            return written(refused.refusal)

    return Route(path, endpoint, methods=[method])


def _json(body: bytes) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(answers.BAD_REQUEST) from None


def _scopes(request: Request, state: SandboxState, _body: Any) -> Response:
    return json_answer({"scopes": list(scopes_of(request, state.options))})


# -- batches ------------------------------------------------------------------------------------


def _new_batch(_request: Request, state: SandboxState, _body: Any) -> Response:
    return json_answer({"batch_id": state.mailbox.new_batch(state.options.now())}, 201)


def _batch(request: Request, state: SandboxState, _body: Any) -> Response:
    return json_answer({"batch_id": _known_batch(request.path_params["batch_id"], state)["id"]})


def _known_batch(batch_id: object, state: SandboxState) -> Row:
    found = state.mailbox.batch(batch_id) if isinstance(batch_id, str) else None
    if found is None or found["created"] < state.options.now() - BATCH_VALID_SECONDS:
        raise Refused(refuse(400, "invalid batch id", "batch_id"))
    return found


def _stop_batch(_request: Request, state: SandboxState, body: Any) -> Response:
    fields = body if isinstance(body, dict) else {}
    batch = _known_batch(fields.get("batch_id"), state)
    status = _status(fields)
    if batch["status"] is not None:
        raise Refused(
            refuse(400, "a status for this batch id exists, try PATCH to update the status", "batch_id")
        )
    if len(_stopped(state)) >= MAX_STOPPED_BATCHES:
        raise Refused(refuse(400, f"no more than {MAX_STOPPED_BATCHES} batches may be paused or cancelled"))
    state.mailbox.set_batch_status(batch["id"], status)
    return json_answer({"batch_id": batch["id"], "status": status}, 201)


def _status(fields: Row) -> str:
    status = fields.get("status")
    if status not in ("pause", "cancel"):
        raise Refused(refuse(400, "status must be either cancel or pause", "status"))
    return str(status)


def _stopped(state: SandboxState) -> list[Row]:
    return state.mailbox.rows(
        "SELECT id AS batch_id, status FROM batch WHERE status IS NOT NULL ORDER BY created DESC"
    )


def _stopped_batches(_request: Request, state: SandboxState, _body: Any) -> Response:
    return json_answer(_stopped(state))


def _stopped_batch(request: Request, state: SandboxState, _body: Any) -> Response:
    return json_answer([row for row in _stopped(state) if row["batch_id"] == request.path_params["batch_id"]])


def _change_batch(request: Request, state: SandboxState, body: Any) -> Response:
    batch = _known_stopped(request, state)
    state.mailbox.set_batch_status(batch["id"], _status(body if isinstance(body, dict) else {}))
    return Response(status_code=204)


def _release_batch(request: Request, state: SandboxState, _body: Any) -> Response:
    state.mailbox.set_batch_status(_known_stopped(request, state)["id"], None)
    return Response(status_code=204)


def _known_stopped(request: Request, state: SandboxState) -> Row:
    batch = state.mailbox.batch(request.path_params["batch_id"])
    if batch is None or batch["status"] is None:
        raise Refused(refuse(404, "batch id not found"))
    return batch


# -- suppressions -------------------------------------------------------------------------------


def _list_name(request: Request) -> str:
    name = request.path_params["list_name"]
    if name == "unsubscribes":
        return "global"
    if name not in LISTS:
        raise Refused(answers.NOT_FOUND)
    return str(name)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise Refused(refuse(400, f"{name} must be an integer", name))
    return min(int(text), 2**53)


def _suppressions(request: Request, state: SandboxState, _body: Any) -> Response:
    name = _list_name(request)
    rows = state.mailbox.rows(
        "SELECT * FROM suppression WHERE kind = ? AND created BETWEEN ? AND ? "
        "ORDER BY created DESC, email_key LIMIT ? OFFSET ?",
        (
            name,
            _number(request, "start_time", 0),
            _number(request, "end_time", 2**53),
            min(_number(request, "limit", MAX_PAGE), MAX_PAGE),
            _number(request, "offset", 0),
        ),
    )
    return json_answer([_shown(row) for row in rows])


def _shown(row: Row) -> Row:
    shown = {"created": row["created"], "email": row["email"]}
    if row["kind"] == "spam_reports":
        return {**shown, "ip": "192.0.2.10"}
    if row["kind"] == "global":
        return shown
    if row["kind"] == "invalid_emails":
        return {**shown, "reason": row["reason"]}
    return {**shown, "reason": row["reason"], "status": row["status"]}


def _suppression(request: Request, state: SandboxState, _body: Any) -> Response:
    rows = _named(state, _list_name(request), request.path_params["email"])
    return json_answer([_shown(row) for row in rows])


def _named(state: SandboxState, kind: str, email: str) -> list[Row]:
    return state.mailbox.rows(
        "SELECT * FROM suppression WHERE kind = ? AND email_key = ?", (kind, email.casefold())
    )


def _delete_suppressions(request: Request, state: SandboxState, body: Any) -> Response:
    fields = body if isinstance(body, dict) else {}
    emails = fields.get("emails")
    everything = fields.get("delete_all") is True
    named = [str(email) for email in emails] if isinstance(emails, list) else []
    if everything == bool(named):
        raise Refused(refuse(400, "either delete_all or emails must be given"))
    state.mailbox.unsuppress(_list_name(request), None if everything else named)
    return Response(status_code=204)


def _delete_suppression(request: Request, state: SandboxState, _body: Any) -> Response:
    return _deleted(state.mailbox.unsuppress(_list_name(request), [request.path_params["email"]]))


def _deleted(count: int) -> Response:
    if not count:
        raise Refused(answers.NOT_FOUND)
    return Response(status_code=204)


def _add_global(_request: Request, state: SandboxState, body: Any) -> Response:
    emails = body.get("recipient_emails") if isinstance(body, dict) else None
    if not isinstance(emails, list) or not emails or not all(isinstance(email, str) for email in emails):
        raise Refused(refuse(400, "recipient_emails is required", "recipient_emails"))
    for email in emails:
        state.mailbox.suppress("global", email, now=time.time())
    return json_answer({"recipient_emails": emails}, 201)


def _global(request: Request, state: SandboxState, _body: Any) -> Response:
    rows = _named(state, "global", request.path_params["email"])
    return json_answer({"recipient_email": rows[0]["email"]} if rows else {})


def _delete_global(request: Request, state: SandboxState, _body: Any) -> Response:
    return _deleted(state.mailbox.unsuppress("global", [request.path_params["email"]]))
