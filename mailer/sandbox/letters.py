"""One letter as its recipient sees it: substitutions done, headers in place, as MIME.

Substitution is SendGrid's: plain replacing, one key after the other, in subject, reply-to and
content; no escaping, no word edges, and a value may be replaced again by a later key.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any, Literal, cast

import orjson

from mailer.links import ATTEMPT_ARG
from mailer.sandbox.mailbox import Mailbox, Recipient, Row
from mailer.sandbox.rules import is_address, recipients

Order = Literal["given", "reversed"]


@dataclass(frozen=True, slots=True)
class Letter:
    """What one recipient gets."""

    id: int
    message_id: str
    received_at: float
    email: str
    name: str
    role: str
    sender: Mapping[str, str]
    reply_to: Mapping[str, str] | None
    subject: str
    text: str | None
    html: str | None
    headers: Mapping[str, str]
    custom_args: Mapping[str, str]
    substitutions: Mapping[str, str]
    categories: Sequence[str]
    send_at: int | None
    batch_id: str | None
    attempt: str | None
    position: int
    fate: str
    dropped: str | None


_COLUMNS = (
    "letter.id, letter.position, letter.email, letter.name, letter.role, letter.subject, letter.attempt, "
    "letter.personalization, letter.send_at, letter.dropped, letter.fate, letter.request_id, letter.played_at"
)


def addressees(message: Row, order: Order) -> list[Recipient]:
    """Everybody a checked message goes to, with the subject that each will see."""
    subject = message.get("subject") or ""
    found = []
    for position, entry in enumerate(message["personalizations"]):
        own_subject = substitute(entry.get("subject") or subject, entry.get("substitutions") or {}, order)
        attempt = {**(message.get("custom_args") or {}), **(entry.get("custom_args") or {})}.get(ATTEMPT_ARG)
        send_at = entry.get("send_at", message.get("send_at"))
        found += [
            Recipient(
                position, person["email"], str(person.get("name") or ""), role, own_subject, attempt, send_at
            )
            for role, _, person in recipients(entry)
        ]
    return found


def substitute(text: str, substitutions: Mapping[str, str], order: Order) -> str:
    pairs = substitutions.items() if order == "given" else reversed(list(substitutions.items()))
    for key, value in pairs:
        if key:
            text = text.replace(key, value)
    return text


def find(mailbox: Mailbox, where: str, values: Sequence[Any]) -> list[Letter]:
    """Letters of the rows that a condition on `letter` (and `request`) names, in its order."""
    rows = mailbox.rows(
        f"SELECT {_COLUMNS} FROM letter JOIN request ON request.id = letter.request_id WHERE {where}",  # noqa: S608
        values,
    )
    requests = _requests(mailbox, {row["request_id"] for row in rows})
    return [_drawn(row, *requests[row["request_id"]]) for row in rows]


def find_one(mailbox: Mailbox, letter_id: int) -> Letter | None:
    found = find(mailbox, "letter.id = ?", (letter_id,))
    return found[0] if found else None


def _requests(mailbox: Mailbox, ids: set[int]) -> dict[int, tuple[Row, Row]]:
    rows = mailbox.rows(
        "SELECT * FROM request WHERE id IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(ids)).decode(),),
    )
    return {row["id"]: (row, orjson.loads(row["message"])) for row in rows}


def _drawn(row: Row, request: Row, message: Row) -> Letter:
    entry = orjson.loads(row["personalization"])
    substitutions = entry.get("substitutions") or {}

    def filled(text: str) -> str:
        return substitute(text, substitutions, request["substitution_order"])

    parts = {part["type"]: filled(part["value"]) for part in message.get("content") or ()}
    reply_to = message.get("reply_to") or next(iter(message.get("reply_to_list") or ()), None)
    categories = message.get("categories") or []
    return Letter(
        id=row["id"],
        message_id=request["message_id"],
        received_at=request["received_at"],
        email=row["email"],
        name=row["name"],
        role=row["role"],
        sender=entry.get("from") or message["from"],
        reply_to={key: filled(str(value)) for key, value in reply_to.items()} if reply_to else None,
        subject=row["subject"],
        text=parts.get("text/plain"),
        html=parts.get("text/html"),
        headers={**(message.get("headers") or {}), **(entry.get("headers") or {})},
        custom_args={**(message.get("custom_args") or {}), **(entry.get("custom_args") or {})},
        substitutions=substitutions,
        categories=[categories] if isinstance(categories, str) else categories,
        send_at=row["send_at"],
        batch_id=request["batch_id"],
        attempt=row["attempt"],
        position=row["position"],
        fate=row["fate"],
        dropped=row["dropped"],
    )


def source(letter: Letter) -> bytes:
    """The bytes that would travel to this recipient."""
    return message(letter).as_bytes()


def message(letter: Letter) -> EmailMessage:
    """The letter as a MIME message."""
    # Substitution reaches the reply address too, and may leave none.
    replies = letter.reply_to if letter.reply_to and is_address(letter.reply_to.get("email")) else None
    own = {name: value for name, value in letter.headers.items() if not _is_ours(name)}
    if letter.reply_to and not replies:
        own["Reply-To"] = str(letter.reply_to.get("email"))
    mail = EmailMessage(policy=_policy(own))
    mail["From"] = _address(letter.sender)
    mail["To"] = _address({"email": letter.email, "name": letter.name})
    if replies:
        mail["Reply-To"] = _address(replies)
    mail["Subject"] = _one_line(letter.subject)
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter.received_at, UTC))
    mail["Message-ID"] = f"<{letter.message_id}@sandbox.invalid>"
    for name, value in own.items():
        mail[name] = _one_line(value)
    if letter.text is not None:
        mail.set_content(letter.text, cte="quoted-printable")
        if letter.html is not None:
            mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    elif letter.html is not None:
        mail.set_content(letter.html, subtype="html", cte="quoted-printable")
    return mail


def _policy(headers: Mapping[str, str]) -> EmailPolicy:
    # A sender's own headers are text to us, whatever their names promise to a parser.
    registry = HeaderRegistry()
    for name in headers:
        registry.map_to_type(name, cast(Any, UnstructuredHeader))
    return cast("EmailPolicy", SMTP.clone(header_factory=registry))


def _is_ours(name: str) -> bool:
    return name.casefold() in ("message-id", "date", "mime-version") or name.casefold().startswith("content-")


def _address(person: Mapping[str, str]) -> Address:
    # Hostile names reach this page too: control characters would break the header.
    return Address(_one_line(str(person.get("name") or "")), addr_spec=str(person["email"]))


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text)
