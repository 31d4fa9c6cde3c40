"""A worker to be killed: sends on the site of argv[1] and dies by SIGKILL at the point of argv[2]."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.config import load_settings
from mailer.database import Database
from mailer.delivery import body, campaigns, outcomes, send
from mailer.delivery.engine import run_campaign
from mailer.delivery.send import Sending
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.transport import Answer, Call
from mailer.links import Tokens, doors_of

# The call in whose course it dies: the first ones must have ended well.
FATAL_CALL = 3


def die(*_arguments: Any, **_named: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


class Transport:
    """SendGrid, with death before or after the third call."""

    def __init__(self, inner: SendGrid, point: str) -> None:
        self._inner = inner
        self._point = point
        self._calls = 0

    def submit(self, call: Call) -> Answer:
        self._calls += 1
        if self._calls == FATAL_CALL and self._point == "before the call":
            die()
        answer = self._inner.submit(call)
        if self._calls == FATAL_CALL and self._point == "after the call":
            die()
        return answer

    def close(self) -> None:
        self._inner.close()


def after(calls: int, function: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and from that call on what comes instead."""
    seen = []

    def counted(*arguments: Any, **named: Any) -> Any:
        seen.append(1)
        return (then if len(seen) >= calls else function)(*arguments, **named)

    return counted


def main(folder: str, point: str, host: str) -> None:
    settings = load_settings(Path(folder) / "config.toml")
    transport = Transport(SendGrid(host, "SG.test", deadline_seconds=20), point)
    tokens = Tokens([secret.get_secret_value() for secret in settings.web.secrets])
    if point == "after the claim":
        vars(send)["build"] = after(FATAL_CALL, body.build, die)
    if point == "in the record":
        vars(outcomes)["finish_if_done"] = after(FATAL_CALL, campaigns.finish_if_done, die)
    sending = Sending(
        Database(settings.database_url),
        settings,
        tokens,
        doors_of(settings),
        transport,
        lambda: datetime.now(UTC),
    )
    run_campaign(sending, 1, threads=1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
