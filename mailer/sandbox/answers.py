"""Answers in SendGrid's shape: a status, `{"errors": [{"message", "field", "help"}]}`, its headers.

Texts and fields follow what the API is known to say, since programs read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"


@dataclass(frozen=True, slots=True)
class ApiError:
    """One entry of `errors`; `field` is a path such as `personalizations.3.to.0.email`."""

    message: str
    field: str | None = None
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than the wished one."""

    status: int
    errors: tuple[ApiError, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A rule does not hold; the door writes the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


def refuse(status: int, message: str, field: str | None = None, help: str | None = None) -> Refusal:
    return Refusal(status, (ApiError(message, field, help),))


# The 400 that says nothing, for values of a wrong type.
BAD_REQUEST = refuse(400, "Bad Request")
UNAUTHORIZED = refuse(401, "The provided authorization grant is invalid, expired, or revoked")
NO_AUTHORIZATION = refuse(401, "authorization required")
NO_CREDITS = refuse(401, "Maximum credits exceeded")
FORBIDDEN = refuse(403, "access forbidden")
UNVERIFIED_SENDER = refuse(
    403,
    "The from address does not match a verified Sender Identity. "
    "Mail cannot be sent until this error is resolved.",
    "from",
)
NOT_FOUND = refuse(404, "not found")
METHOD_NOT_ALLOWED = refuse(405, "method not allowed")
NOT_ACCEPTABLE = refuse(406, "not acceptable")
TOO_LARGE = refuse(413, "Payload too large. The total message size must be less than 30MB.")
WRONG_CONTENT_TYPE = refuse(415, "Content-Type should be application/json.")
RESIDENCY = refuse(451, "unavailable because of data residency")
SERVER_ERROR = refuse(500, "internal error")
UNAVAILABLE = refuse(503, "service unavailable")

_BY_STATUS = {
    400: BAD_REQUEST,
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    406: NOT_ACCEPTABLE,
    413: TOO_LARGE,
    415: WRONG_CONTENT_TYPE,
    451: RESIDENCY,
    500: SERVER_ERROR,
    503: UNAVAILABLE,
}


def of_status(status: int) -> Refusal:
    """The usual refusal with this status."""
    return _BY_STATUS.get(status) or refuse(status, f"status {status}")


def rate_limited(reset_at: int, limit: int = 600) -> Refusal:
    """429 with the three headers; `reset_at` in Unix seconds."""
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset_at),
    }
    return Refusal(429, (ApiError("too many requests"),), headers)


def error_body(errors: Sequence[ApiError]) -> bytes:
    rows = [{"message": error.message, "field": error.field, "help": error.help} for error in errors]
    return orjson.dumps({"errors": rows})


def written(refusal: Refusal) -> Response:
    return Response(
        # Two statuses have no body in HTTP, whatever they are to say.
        b"" if refusal.status in (204, 304) else error_body(refusal.errors),
        status_code=refusal.status,
        headers=dict(refusal.headers),
        media_type="application/json",
    )


def json_answer(value: Any, status: int = 200) -> Response:
    return Response(
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status_code=status, media_type="application/json"
    )
