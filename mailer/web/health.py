"""`/health` for whoever watches, on both ports, and `/metrics` for Prometheus.

Metrics are for this machine, or for who knows `[web] metrics_token`. Both are looked up once a second at
most, so that asking often costs nothing.
"""

import hmac
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Generic, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from mailer.service import health, metrics
from mailer.service.rooms import Rooms
from mailer.web.pages import HEADERS, PRIVATE, READ_METHODS

GOOD_FOR_SECONDS = 1.0
Kept = TypeVar("Kept")


class Once(Generic[Kept]):
    """Asks at most once a second, whoever wants to know; one asks, the others wait for it."""

    def __init__(self, ask: Callable[[], Kept]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._kept: tuple[float, Kept] | None = None

    def __call__(self) -> Kept:
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] >= GOOD_FOR_SECONDS:
                kept = self._ask()
                self._kept = (time.monotonic(), kept)
            return self._kept[1]


def add_health(app: FastAPI, rooms: Rooms, *, tells_all: bool) -> None:
    """`/health`: 200 when sending works or nothing is to be sent, else 503; with what was found.

    Strangers are told what is wrong; `tells_all`: what is well too, versions and ages among it.
    """
    look = Once(lambda: health.health(rooms))

    def answer() -> Response:
        found = look()
        status = HTTPStatus.OK if found.is_well else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(found.as_json(tells_all=tells_all), status, headers=HEADERS | PRIVATE)

    app.add_api_route("/health", answer, methods=READ_METHODS)


def add_metrics(app: FastAPI, rooms: Rooms, *, token: str | None) -> None:
    """`/metrics`; with a `token` only for a request that carries it, as `Authorization: Bearer …`."""
    collect = Once(lambda: metrics.exposition(rooms))
    expected = None if token is None else f"Bearer {token}".encode()

    def answer(request: Request) -> Response:
        said = request.headers.get("authorization", "").encode("utf-8", "replace")
        if expected is not None and not hmac.compare_digest(said, expected):
            refused = HEADERS | PRIVATE | {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("Not for everybody.\n", HTTPStatus.UNAUTHORIZED, headers=refused)
        return Response(collect(), headers=HEADERS | PRIVATE, media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/metrics", answer, methods=READ_METHODS)
