"""The sandbox as one application: SendGrid's doors, the control doors, the mailbox pages.

It answers loopback names only and takes changes from no foreign page, since a web page in the
user's browser can reach this port too.
"""

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mailer.config import Settings
from mailer.sandbox import answers, control, v3
from mailer.sandbox.pages import Pages
from mailer.sandbox.state import SandboxState

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def create_app(state: SandboxState, settings: Settings) -> Starlette:
    app = Starlette(
        routes=[*v3.routes(), *control.routes(), *Pages(settings).routes()],
        exception_handlers={404: _not_found, 405: _method_not_allowed},
    )
    app.state.sandbox = state
    app.add_middleware(OwnMachineOnly)
    return app


async def _not_found(_request: Request, _error: Exception) -> Response:
    return answers.written(answers.NOT_FOUND)


async def _method_not_allowed(_request: Request, _error: Exception) -> Response:
    return answers.written(answers.METHOD_NOT_ALLOWED)


class OwnMachineOnly:
    """Refuses other host names (DNS rebinding) and changes asked for by other origins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_welcome(Request(scope)):
            await self.app(scope, receive, send)
        else:
            await answers.written(answers.FORBIDDEN)(scope, receive, send)

    @staticmethod
    def _is_welcome(request: Request) -> bool:
        host = request.headers.get("Host", "")
        if urlsplit(f"//{host}").hostname not in LOOPBACK_NAMES:
            return False
        origin = request.headers.get("Origin")
        return request.method in _SAFE_METHODS or origin is None or urlsplit(origin).netloc == host
