"""Who may ask what: the API key of a call, the scope that its path needs, and the answer it takes."""

from starlette.requests import Request

from mailer.sandbox.answers import FORBIDDEN, NO_AUTHORIZATION, NOT_ACCEPTABLE, UNAUTHORIZED, Refused
from mailer.sandbox.options import SandboxOptions

KEY_PREFIX = "SG."
SCHEME = "Bearer "

# What a key without limits may do; also the answer of GET /v3/scopes.
ALL_SCOPES = (
    "mail.send",
    "mail.batch.create",
    "mail.batch.read",
    "user.scheduled_sends.create",
    "user.scheduled_sends.read",
    "user.scheduled_sends.update",
    "user.scheduled_sends.delete",
    "suppression.create",
    "suppression.read",
    "suppression.delete",
    "asm.suppressions.global.create",
    "asm.suppressions.global.read",
    "asm.suppressions.global.delete",
    "user.webhooks.event.settings.read",
    "user.webhooks.event.test.create",
    "tracking_settings.read",
    "whitelabel.read",
)


# What an `Accept` header must name: answers are JSON.
ACCEPTED = frozenset({"*/*", "application/*", "application/json"})


def require_acceptable(request: Request) -> None:
    """Raises Refused (406) unless the call takes JSON for an answer."""
    wanted = ",".join(request.headers.getlist("Accept")).casefold().split(",")
    if not any(kind.split(";")[0].strip() in ACCEPTED for kind in wanted):
        raise Refused(NOT_ACCEPTABLE)


def require(request: Request, scope: str, options: SandboxOptions) -> None:
    """Raises Refused (401, 403) unless the call's key has the scope."""
    if scope not in scopes_of(request, options):
        raise Refused(FORBIDDEN)


def scopes_of(request: Request, options: SandboxOptions) -> tuple[str, ...]:
    """What the call's key may do. Raises Refused (401) without a good key."""
    header = request.headers.get("Authorization", "")
    if not header:
        raise Refused(NO_AUTHORIZATION)
    key = header.removeprefix(SCHEME)
    if not header.startswith(SCHEME):
        raise Refused(UNAUTHORIZED)
    if options.keys:
        if key not in options.keys:
            raise Refused(UNAUTHORIZED)
        return tuple(options.keys[key])
    if not key.startswith(KEY_PREFIX) or key == KEY_PREFIX:
        raise Refused(UNAUTHORIZED)
    return ALL_SCOPES
