"""`POST /v3/mail/send`: check as SendGrid does, keep what was accepted, misbehave when told to.

The order of checks is SendGrid's: key, accepted answer, content type, size, JSON, rules, sender.
"""

import asyncio
import contextlib
import time
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mailer.sandbox import answers, faults, rules
from mailer.sandbox.answers import ApiError, Refusal, Refused, refuse, written
from mailer.sandbox.faults import Fault, Kind
from mailer.sandbox.keys import require, require_acceptable
from mailer.sandbox.letters import addressees
from mailer.sandbox.state import SandboxState, state_of
from mailer.sandbox.wire import NeverAnswered, drip, raw_answer, reset, transport_of, until_gone
from subscribers.errors import NewsletterError

PATH = "/v3/mail/send"
# Read on after 30 MB, so that the client can finish writing and see the 413; never without end.
MAX_DRAINED_BYTES = 128 * 1024 * 1024


async def send_mail(request: Request) -> Response | NeverAnswered:
    state = state_of(request)
    options = state.options
    try:
        fault = state.faults.next(request.headers.get(faults.HEADER), options.misbehave, options.seed)
    except NewsletterError as error:
        return written(refuse(400, str(error), faults.HEADER))
    if fault and fault.kind is Kind.RESET_EARLY:
        return await _cut(request, state, fault)
    try:
        body = await _read(request)
    except ClientDisconnect:
        return NeverAnswered()
    if fault and not fault.is_after_accepting and fault.kind is not Kind.LATENCY:
        return await _misbehave_before(request, state, fault)
    try:
        message_id, personalizations = await run_in_threadpool(_accept, request, state, body)
    except Refused as refused:
        _note(state, refused.refusal.status, None)
        return written(refused.refusal)
    if fault:
        return await _misbehave_after(request, state, fault, message_id, personalizations)
    return _accepted(state, message_id, personalizations)


async def _read(request: Request) -> bytes | None:
    """The body; None when it is larger than SendGrid takes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= rules.MAX_BODY_BYTES:
            parts.append(part)
        elif size > MAX_DRAINED_BYTES:
            break
    return b"".join(parts) if size <= rules.MAX_BODY_BYTES else None


def _accept(request: Request, state: SandboxState, body: bytes | None) -> tuple[str | None, int]:
    """Check and store; the message id (None for sandbox_mode) and the number of personalizations."""
    options = state.options
    now = options.now()
    require(request, "mail.send", options)
    require_acceptable(request)
    content_type = request.headers.get("Content-Type", "").split(";")[0].strip().casefold()
    if (
        content_type != "application/json"
        or request.headers.get("Content-Encoding", "identity") != "identity"
    ):
        raise Refused(answers.WRONG_CONTENT_TYPE)
    if body is None:
        raise Refused(answers.TOO_LARGE)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(answers.BAD_REQUEST) from None
    message = rules.check(
        parsed, options, now=now, batch_exists=lambda batch_id: state.mailbox.batch(batch_id) is not None
    )
    _require_verified(message["from"]["email"], options.verified_senders)
    entries = message["personalizations"]
    if _is_dry_run(message):
        return None, len(entries)
    return _keep(state, message, len(body), now), len(entries)


def _keep(state: SandboxState, message: dict[str, Any], size_bytes: int, now: float) -> str:
    # What is in force now belongs to the request: a later setting changes no letter.
    order = state.options.substitution_order
    people = addressees(message, order)
    return state.mailbox.accept(message, people, message["personalizations"], size_bytes, now, order)


def _require_verified(sender: str, verified: tuple[str, ...]) -> None:
    address = sender.casefold()
    good = (entry.casefold() for entry in verified)
    if verified and not any(
        address.endswith(entry) if entry[:1] == "@" else address == entry for entry in good
    ):
        raise Refused(answers.UNVERIFIED_SENDER)


def _is_dry_run(message: dict[str, Any]) -> bool:
    mode = (message.get("mail_settings") or {}).get("sandbox_mode") or {}
    if "enable" in mode and not isinstance(mode["enable"], bool):
        raise Refused(
            refuse(400, "The sandbox_mode enable must be a boolean.", "mail_settings.sandbox_mode.enable")
        )
    return mode.get("enable") is True


def _accepted(state: SandboxState, message_id: str | None, personalizations: int) -> Response:
    if message_id is None:
        _note(state, 200, None, personalizations=personalizations)
        return Response(status_code=200)
    _note(state, 202, None, personalizations=personalizations, message_id=message_id)
    return Response(status_code=202, headers={"X-Message-Id": message_id})


def _note(state: SandboxState, status: int | None, fault: Fault | None, **more: Any) -> None:
    state.mailbox.note_call(PATH, status, now=time.time(), misbehaviour=fault.kind if fault else None, **more)


async def _misbehave_before(request: Request, state: SandboxState, fault: Fault) -> Response | NeverAnswered:
    match fault.kind:
        case Kind.RESET_BEFORE:
            return await _cut(request, state, fault)
        case Kind.CLOSE_BEFORE:
            return await _close(request, state, fault)
        case Kind.TIMEOUT_BEFORE:
            return await _hold(request, state, fault)
        case Kind.OUTAGE:
            state.refuse_connections(fault.seconds)
            return await _cut(request, state, fault)
        case Kind.REDIRECT:
            _note(state, fault.status, fault)
            return Response(status_code=fault.status, headers={"Location": fault.location})
        case Kind.BAD_GATEWAY:
            _note(state, 502, fault)
            return Response("<html><h1>502 Bad Gateway</h1></html>", status_code=502, media_type="text/html")
        case _:
            refusal = _refusal(fault)
            _note(state, refusal.status, fault)
            return written(refusal)


def _refusal(fault: Fault) -> Refusal:
    match fault.kind:
        case Kind.BAD_PERSONALIZATION:
            path = f"personalizations.{fault.index}.to.0.email"
            return Refusal(
                400, (ApiError("Does not contain a valid address.", path, f"{answers.HELP}#message"),)
            )
        case Kind.BAD_BODY:
            return refuse(
                400, "The content value must be a string at least one character in length.", "content.0.value"
            )
        case Kind.NO_CREDITS:
            return answers.NO_CREDITS
        case Kind.RATE_LIMITED:
            return answers.rate_limited(int(time.time() + fault.seconds + 0.999))
        case Kind.STATUS:
            return answers.of_status(fault.status)
    return answers.of_status(_STATUS_OF[fault.kind])


_STATUS_OF = {
    Kind.BAD_REQUEST: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.TOO_LARGE: 413,
    Kind.SERVER_ERROR: 500,
    Kind.UNAVAILABLE: 503,
}


async def _misbehave_after(
    request: Request, state: SandboxState, fault: Fault, message_id: str | None, personalizations: int
) -> Response | NeverAnswered:
    more = {"personalizations": personalizations, "message_id": message_id}
    match fault.kind:
        case Kind.RESET_AFTER:
            return await _cut(request, state, fault, **more)
        case Kind.TIMEOUT_AFTER:
            return await _hold(request, state, fault, **more)
        case Kind.SERVER_ERROR_AFTER:
            _note(state, 500, fault, **more)
            return written(answers.SERVER_ERROR)
        case Kind.NO_MESSAGE_ID:
            _note(state, 202, fault, **more)
            return Response(status_code=202)
        case Kind.SLOW_DRIP:
            _note(state, 202, fault, **more)
            answer = raw_answer("202 Accepted", {"X-Message-Id": str(message_id)})
            state.held.add(transport_of(request))
            await drip(request, answer, fault.seconds)
            return await _gone(request, state)
    await asyncio.sleep(fault.seconds)
    return _accepted(state, message_id, personalizations)


async def _cut(request: Request, state: SandboxState, fault: Fault, **more: Any) -> NeverAnswered:
    _note(state, None, fault, **more)
    reset(transport_of(request))
    return await _gone(request, state)


async def _close(request: Request, state: SandboxState, fault: Fault, **more: Any) -> NeverAnswered:
    _note(state, None, fault, **more)
    transport_of(request).close()
    return await _gone(request, state)


async def _hold(request: Request, state: SandboxState, fault: Fault, **more: Any) -> NeverAnswered:
    _note(state, None, fault, **more)
    state.held.add(transport_of(request))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(until_gone(request), fault.seconds)
    transport_of(request).close()
    return await _gone(request, state)


async def _gone(request: Request, state: SandboxState) -> NeverAnswered:
    await until_gone(request)
    state.held.discard(transport_of(request))
    return NeverAnswered()
