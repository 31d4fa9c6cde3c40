"""The rules of `POST /v3/mail/send`: which requests SendGrid takes, and what it says to the others.

One bad entry refuses the whole request. Nothing is stored or counted here. Limits: SendGrid's API
reference, "Mail Send: limitations, errors, personalizations" (2026).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any

import orjson

from mailer.sandbox.answers import BAD_REQUEST, HELP, ApiError, Refusal, Refused
from mailer.sandbox.options import SandboxOptions

MAX_BODY_BYTES = 30 * 1024 * 1024  # "the total message size must be less than 30MB"
MAX_PERSONALIZATIONS = 1000
MAX_RECIPIENTS = 1000  # to, cc and bcc together
MAX_SUBSTITUTION_BYTES = 10_000  # keys and values of one personalization
MAX_CUSTOM_ARGS_BYTES = 9_999  # "must not exceed or equal 10,000 bytes": one less
MAX_REPLY_TO = 1000
MAX_ASM_GROUPS = 25
IP_POOL_NAME_CHARACTERS = (2, 64)
MAX_CATEGORIES = 10
MAX_CATEGORY_CHARACTERS = 255
MAX_SCHEDULE_SECONDS = 72 * 3600
RESERVED_HEADERS = frozenset(
    {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
    | {"to", "from", "subject", "reply-to", "cc", "bcc"}
)
# RFC 5321, 4.5.3.1; internationalised local parts are not taken.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_LOCAL}@{_DOMAIN}\Z")

Message = dict[str, Any]


def is_address(value: object) -> bool:
    """Whether SendGrid would try to deliver to it."""
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def check(
    message: object, options: SandboxOptions, *, now: float, batch_exists: Callable[[str], bool]
) -> Message:
    """The message, when every rule holds. Raises Refused (400) with all faults of the first failing kind."""
    if not isinstance(message, dict):
        raise Refused(BAD_REQUEST)
    _require_types(message)
    for rule in (_required, _personalizations, _recipients, _texts, _sizes):
        errors = list(rule(message, options))
        if errors:
            raise Refused(Refusal(400, tuple(errors)))
    errors = list(_schedule(message, now, batch_exists))
    if errors:
        raise Refused(Refusal(400, tuple(errors)))
    return message


def recipients(personalization: Message) -> Iterator[tuple[str, int, Any]]:
    """(kind, position, object) of everybody in to, cc and bcc."""
    for kind in ("to", "cc", "bcc"):
        people = personalization.get(kind) or []
        if not isinstance(people, list):
            raise Refused(BAD_REQUEST)
        for position, person in enumerate(people):
            yield kind, position, person


# What a field must be, wherever it stands; a wrong type of any other is named by its own rule.
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("subject", "template_id", "name"), (str, NoneType)),
    **dict.fromkeys(("to", "cc", "bcc", "reply_to_list", "attachments"), (list, NoneType)),
    **dict.fromkeys(("mail_settings", "tracking_settings", "sandbox_mode"), (dict, NoneType)),
}


def _require_types(message: Message) -> None:
    """Refuse with the 400 that says nothing what another type than the API's makes unreadable."""
    entries = message.get("personalizations")
    settings = message.get("mail_settings")
    people = [message.get("from"), message.get("reply_to"), *_listed(message.get("reply_to_list"))]
    for entry in _listed(entries):
        people += [entry.get("from")] if isinstance(entry, dict) else []
        people += [person for _, _, person in recipients(entry)] if isinstance(entry, dict) else []
    for place in (message, settings, *_listed(entries), *people):
        if isinstance(place, dict) and not _has_types(place):
            raise Refused(BAD_REQUEST)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_types(place: Message) -> bool:
    return all(isinstance(value, _TYPES.get(name, object)) for name, value in place.items())


def _required(message: Message, _options: SandboxOptions) -> Iterator[ApiError]:
    entries = message.get("personalizations")
    if not isinstance(entries, list) or not entries:
        yield ApiError(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
            f"{HELP}#-Personalizations-Errors",
        )
    elif not all(isinstance(entry, dict) for entry in entries):
        raise Refused(BAD_REQUEST)
    elif len(entries) > MAX_PERSONALIZATIONS:
        yield ApiError(
            f"There are a maximum of {MAX_PERSONALIZATIONS} personalizations allowed per request. "
            f"Found {len(entries)}.",
            "personalizations",
            f"{HELP}#-Personalizations-Errors",
        )
    sender = message.get("from")
    if not isinstance(sender, dict) or not sender.get("email"):
        yield ApiError(
            "The from object must be provided for every email send. It is an object that requires the email "
            'parameter, but may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or '
            '{"email" : "example@example.com", "name" : "Example Recipient"}.',
            "from.email",
            f"{HELP}#message.from",
        )
    elif not is_address(sender["email"]):
        yield _bad_address("from.email", "from")
    if "reply_to" in message and "reply_to_list" in message:
        yield ApiError("Only one of reply_to and reply_to_list may be used.", "reply_to", None)
    if len(message.get("reply_to_list") or ()) > MAX_REPLY_TO:
        yield ApiError(f"The reply_to_list may have at most {MAX_REPLY_TO} addresses.", "reply_to_list", None)
    for path, person in _reply_addresses(message):
        if not isinstance(person, dict) or not is_address(person.get("email")):
            yield _bad_address(f"{path}.email", "reply_to")


def _reply_addresses(message: Message) -> Iterator[tuple[str, Any]]:
    if "reply_to" in message:
        yield "reply_to", message["reply_to"]
    for position, person in enumerate(message.get("reply_to_list") or ()):
        yield f"reply_to_list.{position}", person


def _personalizations(message: Message, options: SandboxOptions) -> Iterator[ApiError]:
    has_subject = _is_text(message.get("subject")) or bool(message.get("template_id"))
    for number, entry in enumerate(message["personalizations"]):
        path = f"personalizations.{number}"
        if not isinstance(entry.get("to"), list) or not entry["to"]:
            yield ApiError(
                "The to array is required for all personalization objects, and must have at least one email "
                "object with a valid email address.",
                f"{path}.to",
                f"{HELP}#message.personalizations.to",
            )
            continue
        for kind, position, person in recipients(entry):
            if not isinstance(person, dict):
                raise Refused(BAD_REQUEST)
            if not is_address(person.get("email")) or _is_refused(person, options, "named"):
                yield _bad_address(f"{path}.{kind}.{position}.email", f"personalizations.{kind}")
            elif _is_refused(person, options, "silent"):
                raise Refused(BAD_REQUEST)
        if "from" in entry and not (
            isinstance(entry["from"], dict) and is_address(entry["from"].get("email"))
        ):
            yield _bad_address(f"{path}.from.email", "personalizations.from")
        if not has_subject and not _is_text(entry.get("subject")):
            has_subject = True  # said once
            yield ApiError(
                "The subject is required. You can get around this requirement if you use a template with a "
                "subject defined or if every personalization has a subject defined.",
                "subject",
                f"{HELP}#message.subject",
            )
        yield from _headers(entry.get("headers"), path + ".")


def _is_refused(person: Message, options: SandboxOptions, how: str) -> bool:
    return bool(options.refuse_addresses) and options.refuse_addresses.get(person["email"].casefold()) == how


def _bad_address(path: str, anchor: str) -> ApiError:
    return ApiError("Does not contain a valid address.", path, f"{HELP}#message.{anchor}")


def _recipients(message: Message, _options: SandboxOptions) -> Iterator[ApiError]:
    seen: set[str] = set()
    total = 0
    for number, entry in enumerate(message["personalizations"]):
        for kind, _, person in recipients(entry):
            total += 1
            key = person["email"].casefold()
            if key in seen:
                yield ApiError(
                    "Each email address in the personalization block should be unique between to, cc, "
                    f"and bcc. We found the first duplicate instance of [{person['email']}] in the "
                    f"personalizations.{number}.{kind} field.",
                    "personalizations",
                    f"{HELP}#message.recipient-errors",
                )
                return
            seen.add(key)
    if total > MAX_RECIPIENTS:
        yield ApiError(
            f"The total number of recipients must be at most {MAX_RECIPIENTS} per request. Found {total}.",
            "personalizations",
            f"{HELP}#message.recipient-errors",
        )


def _texts(message: Message, _options: SandboxOptions) -> Iterator[ApiError]:
    yield from _content(message)
    yield from _headers(message.get("headers"), "")
    yield from _account_names(message)
    categories = message.get("categories", [])
    if isinstance(categories, str):
        categories = [categories]
    if not isinstance(categories, list) or not all(isinstance(name, str) for name in categories):
        raise Refused(BAD_REQUEST)
    if len(categories) > MAX_CATEGORIES:
        yield ApiError(f"You can define up to {MAX_CATEGORIES} categories per message.", "categories")
    if len(set(categories)) != len(categories):
        yield ApiError("Each category must be unique.", "categories")
    for number, name in enumerate(categories):
        if not name or len(name) > MAX_CATEGORY_CHARACTERS or not name.isascii():
            yield ApiError(
                f"A category must have 1 to {MAX_CATEGORY_CHARACTERS} characters of 7-bit ASCII.",
                f"categories.{number}",
            )


def _content(message: Message) -> Iterator[ApiError]:
    parts = message.get("content")
    if not parts:
        if not message.get("template_id"):
            yield ApiError(
                "Unless a valid template_id is provided, the content parameter is required. There must be at "
                "least one defined content block.",
                "content",
                f"{HELP}#message.content",
            )
        return
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Refused(BAD_REQUEST)
    for number, part in enumerate(parts):
        for name in ("type", "value"):
            if not _is_text(part.get(name)):
                yield ApiError(
                    f"The content {name} must be a string at least one character in length.",
                    f"content.{number}.{name}",
                    f"{HELP}#message.content.{name}",
                )
    kinds = [part["type"] for part in parts if _is_text(part.get("type"))]
    if any(kinds.count(kind) > 1 for kind in ("text/plain", "text/html")):
        yield ApiError("If present, text/plain and text/html may only be provided once.", "content")
    rank = {"text/plain": 0, "text/html": 1}
    order = [rank.get(kind, 2) for kind in kinds]
    if order != sorted(order):
        yield ApiError(
            "If present, text/plain must be first, followed by text/html, followed by any other content.",
            "content",
        )


def _account_names(message: Message) -> Iterator[ApiError]:
    asm = message.get("asm")
    if asm is not None:
        shown = asm.get("groups_to_display", []) if isinstance(asm, dict) else None
        if not isinstance(shown, list):
            raise Refused(BAD_REQUEST)
        if len(shown) > MAX_ASM_GROUPS:
            yield ApiError(
                f"The groups_to_display may name at most {MAX_ASM_GROUPS} groups. Found {len(shown)}.",
                "asm.groups_to_display",
            )
    pool = message.get("ip_pool_name")
    if pool is not None:
        least, most = IP_POOL_NAME_CHARACTERS
        if not isinstance(pool, str):
            raise Refused(BAD_REQUEST)
        if not least <= len(pool) <= most:
            yield ApiError(f"The ip_pool_name must have {least} to {most} characters.", "ip_pool_name")


def _headers(headers: Any, path: str) -> Iterator[ApiError]:
    if headers is None:
        return
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise Refused(BAD_REQUEST)
    for name, value in headers.items():
        if name.casefold() in RESERVED_HEADERS:
            yield ApiError(f"The header '{name}' is reserved and cannot be set.", f"{path}headers.{name}")
        elif not re.fullmatch(r"[!-9;-~]+", name) or "\r" in value or "\n" in value:
            yield ApiError("Headers must be valid.", f"{path}headers.{name}")


def _sizes(message: Message, options: SandboxOptions) -> Iterator[ApiError]:
    shared = _strings(message.get("custom_args"))
    total = _json_bytes(shared) if shared else 0
    if total > MAX_CUSTOM_ARGS_BYTES:
        yield _too_many_bytes("custom_args", total, MAX_CUSTOM_ARGS_BYTES)
    for number, entry in enumerate(message["personalizations"]):
        path = f"personalizations.{number}"
        substitutions = _strings(entry.get("substitutions"))
        size = sum(len(key.encode()) + len(value.encode()) for key, value in substitutions.items())
        if size > MAX_SUBSTITUTION_BYTES:
            yield _too_many_bytes(f"{path}.substitutions", size, MAX_SUBSTITUTION_BYTES)
        own = _strings(entry.get("custom_args"))
        if not own:
            continue
        size = _json_bytes({**shared, **own})
        total += size
        if options.custom_args_limit == "message" and size > MAX_CUSTOM_ARGS_BYTES:
            yield _too_many_bytes(f"{path}.custom_args", size, MAX_CUSTOM_ARGS_BYTES)
    if options.custom_args_limit == "request" and total > MAX_CUSTOM_ARGS_BYTES:
        yield _too_many_bytes("custom_args", total, MAX_CUSTOM_ARGS_BYTES)


def _strings(value: Any) -> dict[str, str]:
    """An object of strings; SendGrid answers anything else with a 400 that says nothing."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Refused(BAD_REQUEST)
    return value


def _json_bytes(value: dict[str, str]) -> int:
    return len(orjson.dumps(value))


def _too_many_bytes(path: str, size: int, most: int) -> ApiError:
    name = path.rsplit(".", 1)[-1]
    return ApiError(f"The {name} may have at most {most} bytes in total. Found {size}.", path)


def _schedule(message: Message, now: float, batch_exists: Callable[[str], bool]) -> Iterator[ApiError]:
    places = [("send_at", message)]
    places += [
        (f"personalizations.{n}.send_at", entry) for n, entry in enumerate(message["personalizations"])
    ]
    for path, place in places:
        send_at = place.get("send_at")
        if send_at is None:
            continue
        if isinstance(send_at, bool) or not isinstance(send_at, int):
            yield ApiError("The send_at parameter must be an integer Unix timestamp.", path)
        elif send_at > now + MAX_SCHEDULE_SECONDS:
            yield ApiError("Scheduling more than 72 hours in advance is forbidden.", path)
    batch_id = message.get("batch_id")
    if batch_id is not None and not (isinstance(batch_id, str) and batch_exists(batch_id)):
        yield ApiError("The batch_id is not valid.", "batch_id")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
