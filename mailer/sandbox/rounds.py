"""One round of play: the HTTP client that all share, when it ends, how it is stopped early."""

import threading
import time
from dataclasses import dataclass, field

import urllib3


@dataclass(frozen=True, slots=True)
class Round:
    """Times by the monotonic clock."""

    client: urllib3.PoolManager
    until: float
    stop: threading.Event
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return self.stop.is_set() or time.monotonic() >= self.until

    def wait(self, seconds: float) -> bool:
        """Wait; False when the round is over by then."""
        left = self.until - time.monotonic()
        self.stop.wait(max(0.0, min(seconds, left)))
        return not self.is_over

    def wait_until(self, offset: float) -> bool:
        """Wait for a moment of the round; False when the round ends before it."""
        return self.wait(self.started + offset - time.monotonic())
