"""What a running sandbox knows beyond its file: its options, faults to come, connections it holds."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from mailer.sandbox.faults import FaultQueue
from mailer.sandbox.mailbox import Mailbox
from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.signing import Signer


class SandboxState:
    """Shared by all doors; `options` is replaced as a whole, never changed."""

    def __init__(self, mailbox: Mailbox, options: SandboxOptions) -> None:
        self.mailbox = mailbox
        self.signer = Signer(mailbox)
        self.playing = threading.Lock()  # readers act, and events leave, one round at a time
        self.faults = FaultQueue()
        self.held: set[asyncio.Transport] = set()  # connections kept silent on purpose
        self.refuse_connections: Callable[[float], None] = _nothing_to_refuse
        self._options = options
        self._initial = options
        self._lock = threading.Lock()

    @property
    def options(self) -> SandboxOptions:
        return self._options

    def change(self, changes: dict[str, Any]) -> SandboxOptions:
        """Apply some settings. Raises pydantic.ValidationError and changes nothing when one is wrong."""
        with self._lock:
            merged = {**self._options.model_dump(), **changes}
            for table in ("rates", "event_webhook"):
                if isinstance(changes.get(table), dict):
                    merged[table] = {**getattr(self._options, table).model_dump(), **changes[table]}
            self._options = SandboxOptions.model_validate(merged)
            return self._options

    def reset(self) -> None:
        """Back to the first options, an empty mailbox, no faults."""
        with self._lock:
            self._options = self._initial
        self.faults.clear()
        self.mailbox.empty()


def state_of(request: Request) -> SandboxState:
    state = request.app.state.sandbox
    assert isinstance(state, SandboxState)
    return state


def _nothing_to_refuse(_seconds: float) -> None:
    return
