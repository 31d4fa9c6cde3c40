"""Bad days on demand: what may go wrong with a call, in a queue, by a header or by chance.

Says which fault a call meets; `send_door.py` carries it out.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from subscribers.errors import NewsletterError

HEADER = "X-Sandbox-Misbehave"
MAX_CALLS = 1_000_000
MAX_SECONDS = 24 * 3600
MAX_INDEX = 999

_Number = TypeVar("_Number", int, float)


class Kind(StrEnum):
    """One kind of misbehaviour. Those named `…_after` have accepted the letters before."""

    BAD_PERSONALIZATION = "bad_personalization"  # 400 naming personalizations.{index}
    BAD_BODY = "bad_body"  # 400 naming content.0.value
    BAD_REQUEST = "bad_request"  # 400 naming nothing
    UNAUTHORIZED = "unauthorized"  # 401
    NO_CREDITS = "no_credits"  # 401, quota used up
    FORBIDDEN = "forbidden"  # 403
    TOO_LARGE = "too_large"  # 413
    RATE_LIMITED = "rate_limited"  # 429, reset in {seconds}
    SERVER_ERROR = "server_error"  # 500
    SERVER_ERROR_AFTER = "server_error_after"  # 500 though the letters were accepted
    BAD_GATEWAY = "bad_gateway"  # 502 with an HTML page
    UNAVAILABLE = "unavailable"  # 503
    STATUS = "status"  # any {status}
    REDIRECT = "redirect"  # {status} to {location}, another origin
    RESET_BEFORE = "reset_before"  # RST after the request was read, nothing accepted
    RESET_EARLY = "reset_early"  # RST after the headers, the body unread
    RESET_AFTER = "reset_after"
    CLOSE_BEFORE = "close_before"  # an orderly end without an answer
    TIMEOUT_BEFORE = "timeout_before"  # silence for {seconds}, then the connection ends
    TIMEOUT_AFTER = "timeout_after"
    SLOW_DRIP = "slow_drip"  # accepted; the answer comes a byte every {seconds}
    NO_MESSAGE_ID = "no_message_id"  # 202 without X-Message-Id
    LATENCY = "latency"  # all is well, {seconds} later
    OUTAGE = "outage"  # the port refuses connections for {seconds}


AFTER = frozenset(
    {Kind.SERVER_ERROR_AFTER, Kind.RESET_AFTER, Kind.TIMEOUT_AFTER, Kind.SLOW_DRIP, Kind.NO_MESSAGE_ID}
)

_DEFAULT_SECONDS = {
    Kind.RATE_LIMITED: 2.0,
    Kind.TIMEOUT_BEFORE: 600.0,
    Kind.TIMEOUT_AFTER: 600.0,
    Kind.SLOW_DRIP: 0.2,
    Kind.LATENCY: 0.15,
    Kind.OUTAGE: 1.0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `after` calls go well first, then `times` calls meet it."""

    kind: Kind
    times: int = 1
    after: int = 0
    seconds: float = 0.0
    index: int = 0
    status: int = 302
    location: str = "http://localhost:9/elsewhere"

    @property
    def is_after_accepting(self) -> bool:
        return self.kind in AFTER


def fault(kind: str, **parameters: Any) -> Fault:
    """A fault by its words. Raises NewsletterError for an unknown kind or parameter."""
    try:
        known = Kind(kind)
        made = Fault(known, **{"seconds": _DEFAULT_SECONDS.get(known, 0.0), **parameters})
        return replace(
            made,
            times=_within(1, int(made.times), MAX_CALLS),
            after=_within(0, int(made.after), MAX_CALLS),
            seconds=_within(0, float(made.seconds), MAX_SECONDS),
            index=_within(0, int(made.index), MAX_INDEX),
            status=_within(200, int(made.status), 599),
            location=_header_value(made.location),
        )
    except (ValueError, TypeError, OverflowError):
        raise NewsletterError(
            f"'{kind}' with {sorted(parameters)} is no misbehaviour.",
            cure=f"Kinds: {', '.join(Kind)}. Parameters: times (from 1), after, seconds (up to "
            f"{MAX_SECONDS:,}), index (below 1,000), status (200 to 599), location.",
        ) from None


def _within(least: _Number, value: _Number, most: _Number) -> _Number:
    if not least <= value <= most:
        raise ValueError
    return value


def _header_value(value: object) -> str:
    if not (isinstance(value, str) and value.isascii() and value.isprintable()):
        raise ValueError
    return value


def parse_header(value: str) -> Fault:
    """`rate_limited; seconds=3` -> its fault."""
    kind, *parts = (part.strip() for part in value.split(";"))
    pairs = (part.partition("=") for part in parts if part)
    return fault(kind, **{name.strip(): text.strip() for name, _, text in pairs})


class FaultQueue:
    """Faults to come, first in, first out; any thread may add, the door takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Fault] = deque()
        self._calls = 0

    def add(self, kind: str, **parameters: Any) -> None:
        self.extend([fault(kind, **parameters)])

    def extend(self, more: Iterable[Fault]) -> None:
        with self._lock:
            self._queue.extend(more)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def waiting(self) -> list[Fault]:
        with self._lock:
            return list(self._queue)

    def next(self, header: str | None, shares: Mapping[Kind, float], seed: int) -> Fault | None:
        """What this call meets: its own header, else the queue's turn, else chance."""
        with self._lock:
            self._calls += 1
            if header:
                return parse_header(header)
            if self._queue:
                return self._turn()
            return _by_chance(shares, seed, self._calls)

    def _turn(self) -> Fault | None:
        first = self._queue[0]
        if first.after > 0:
            self._queue[0] = replace(first, after=first.after - 1)
            return None
        if first.times <= 1:
            self._queue.popleft()
        else:
            self._queue[0] = replace(first, times=first.times - 1)
        return first


def _by_chance(shares: Mapping[Kind, float], seed: int, call: int) -> Fault | None:
    for kind, share in shares.items():
        digest = hashlib.blake2b(f"{seed}:{call}:{kind}".encode(), digest_size=8).digest()
        if int.from_bytes(digest, "big") < share * 2**64:
            return fault(kind)
    return None
