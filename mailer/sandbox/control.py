"""The sandbox's own doors under /sandbox: what it accepted, how it shall behave, a fresh start."""

import dataclasses
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.sandbox import answers, letters
from mailer.sandbox.answers import Refused, json_answer, refuse, written
from mailer.sandbox.faults import Fault, fault
from mailer.sandbox.letters import Letter
from mailer.sandbox.mailbox import Mailbox, Row
from mailer.sandbox.state import SandboxState, state_of
from subscribers.errors import NewsletterError

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


def routes() -> list[Route]:
    return [
        Route("/sandbox/messages", _get_messages, methods=["GET"]),
        Route("/sandbox/summary", _get_summary, methods=["GET"]),
        Route("/sandbox/calls", _get_calls, methods=["GET"]),
        Route("/sandbox/public-key", _get_public_key, methods=["GET"]),
        Route("/sandbox/behaviour", _get_behaviour, methods=["GET"]),
        Route("/sandbox/behaviour", _change_behaviour, methods=["POST"]),
        Route("/sandbox/faults", _get_faults, methods=["GET"]),
        Route("/sandbox/faults", _add_faults, methods=["POST"]),
        Route("/sandbox/faults", _clear_faults, methods=["DELETE"]),
        Route("/sandbox/reset", _reset, methods=["POST"]),
    ]


async def _get_messages(request: Request) -> Response:
    try:
        return json_answer(await run_in_threadpool(_messages, state_of(request), dict(request.query_params)))
    except Refused as refused:
        return written(refused.refusal)


def _messages(state: SandboxState, query: dict[str, str]) -> Row:
    unknown = set(query) - {"to", "message_id", "attempt", "since", "limit", "html"}
    if unknown:
        raise Refused(refuse(400, f"unknown filter: {', '.join(sorted(unknown))}"))
    conditions, values = ["letter.id > ?"], [_number(query, "since", 0)]
    found: list[Any] = list(values)
    for name, column in (
        ("to", "letter.email_key"),
        ("message_id", "request.message_id"),
        ("attempt", "letter.attempt"),
    ):
        if name in query:
            conditions.append(f"{column} = ?")
            found.append(query[name].casefold() if name == "to" else query[name])
    limit = min(_number(query, "limit", DEFAULT_LIMIT), MAX_LIMIT)
    where = f"{' AND '.join(conditions)} ORDER BY letter.id LIMIT ?"
    rows = letters.find(state.mailbox, where, [*found, limit])
    with_html = query.get("html", "") in ("1", "true", "yes")
    return {"messages": [_shown(letter, with_html) for letter in rows]}


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused(refuse(400, f"{name} must be a number", name))
    return int(text)


def _shown(letter: Letter, with_html: bool) -> Row:
    shown = {field.name: getattr(letter, field.name) for field in dataclasses.fields(letter)}
    shown["to"] = shown.pop("email")
    shown["from"] = shown.pop("sender")
    if not with_html:
        del shown["html"]
    return shown


async def _get_summary(request: Request) -> Response:
    state = state_of(request)
    return json_answer({**summary(state.mailbox), "faults_waiting": len(state.faults.waiting())})


def summary(mailbox: Mailbox) -> Row:
    """Counts of the mailbox: requests, letters, fates, events, answers by status."""
    totals = mailbox.row(
        "SELECT count(*) AS letters, count(DISTINCT email_key) AS people, "
        "coalesce(sum(opened), 0) AS opened, coalesce(sum(clicked), 0) AS clicked, "
        "coalesce(sum(left_list), 0) AS left, coalesce(sum(played_at IS NULL), 0) AS unplayed FROM letter"
    )
    assert totals is not None
    return {
        **totals,
        "requests": mailbox.rows("SELECT count(*) AS n FROM request")[0]["n"],
        "fates": _counts(mailbox, "SELECT fate AS name, count(*) AS n FROM letter GROUP BY fate"),
        "events": _counts(mailbox, "SELECT kind AS name, count(*) AS n FROM event GROUP BY kind"),
        "answers": _counts(
            mailbox,
            "SELECT coalesce(CAST(status AS TEXT), 'none') AS name, count(*) AS n FROM call GROUP BY status",
        ),
        "suppressions": _counts(mailbox, "SELECT kind AS name, count(*) AS n FROM suppression GROUP BY kind"),
    }


def _counts(mailbox: Mailbox, statement: str) -> dict[str, int]:
    return {row["name"]: row["n"] for row in mailbox.rows(statement)}


async def _get_calls(request: Request) -> Response:
    rows = state_of(request).mailbox.rows("SELECT * FROM call ORDER BY id DESC LIMIT ?", (MAX_LIMIT,))
    return json_answer({"calls": rows[::-1]})


async def _get_public_key(request: Request) -> Response:
    return json_answer({"public_key": state_of(request).signer.public_key})


async def _get_behaviour(request: Request) -> Response:
    return json_answer(_behaviour(state_of(request)))


def _behaviour(state: SandboxState) -> Row:
    shown = state.options.model_dump(mode="json")
    shown["keys"] = {f"{key[:6]}…": scopes for key, scopes in shown["keys"].items()}
    return shown


async def _change_behaviour(request: Request) -> Response:
    state = state_of(request)
    try:
        changes = await _body(request)
        if not isinstance(changes, dict):
            raise Refused(refuse(400, "an object of settings is wanted"))
        state.change(changes)
    except Refused as refused:
        return written(refused.refusal)
    except ValidationError as error:
        first = error.errors()[0]
        return written(refuse(400, first["msg"], ".".join(str(part) for part in first["loc"])))
    return json_answer(_behaviour(state))


async def _body(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise Refused(answers.BAD_REQUEST) from None


async def _get_faults(request: Request) -> Response:
    return json_answer(
        {"faults": [dataclasses.asdict(fault) for fault in state_of(request).faults.waiting()]}
    )


async def _add_faults(request: Request) -> Response:
    state = state_of(request)
    try:
        wanted = await _body(request)
        state.faults.extend([_fault(entry) for entry in (wanted if isinstance(wanted, list) else [wanted])])
    except Refused as refused:
        return written(refused.refusal)
    except NewsletterError as error:
        return written(refuse(400, str(error), "kind"))
    return await _get_faults(request)


def _fault(entry: Any) -> Fault:
    if not isinstance(entry, dict):
        raise Refused(refuse(400, 'faults look like {"kind": "reset_after", "times": 1}'))
    return fault(str(entry.get("kind")), **{key: entry[key] for key in entry if key != "kind"})


async def _clear_faults(request: Request) -> Response:
    state_of(request).faults.clear()
    return Response(status_code=204)


async def _reset(request: Request) -> Response:
    await run_in_threadpool(state_of(request).reset)
    return Response(status_code=204)
