"""The narrow seam to a provider: one call in, one of eight known outcomes out.

Nothing here knows HTTP, SendGrid or our tables. A transport never retries: whether a call is made
again is decided by the ledger alone. Every outcome but `Uncertain` is proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its body as a dict and as the bytes that leave, and how many readers it is for.

    Large parts of `body` may be encoded already (`orjson.Fragment`); `encoded` is all of it.
    """

    body: Mapping[str, Any]
    encoded: bytes
    recipients: int
    # By time.monotonic(): when its time is over, however late it is begun (a process may be stopped).
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took all of it and gave it a name."""

    message_id: str
    status: int = 202


@dataclass(frozen=True, slots=True)
class BadRecipients:
    """Nothing was taken; the readers at these places (from 0) are the reason."""

    places: tuple[int, ...]
    detail: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class BadBody:
    """Nothing was taken; the letter itself is wrong, so that every other call would fail too."""

    detail: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class BadSomewhere:
    """Nothing was taken, and the answer does not say why: look for the reader by halves."""

    detail: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was taken; half of it may pass."""

    detail: str
    status: int = 413


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing was taken, nor will anything be until a person has mended `reason`."""

    reason: str
    cure: str
    status: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Nothing was taken; not before `wait_seconds` from now."""

    wait_seconds: float
    detail: str
    status: int = 429


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proof that no byte of the request left this machine."""

    detail: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Uncertain:
    """It may have been taken: nobody knows until evidence comes."""

    detail: str
    status: int | None = None
    message_id: str | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Told:
    """What another door than mail/send answered; `document` is its JSON, None where there is none."""

    status: int
    document: Any
    at: datetime | None = None  # by the provider's clock


@dataclass(frozen=True, slots=True)
class Batch:
    """An id under which calls can be cancelled together before their time. `at`: the provider's clock."""

    batch_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoBatch:
    """There is no id now; `is_final`: nor will there be one, since the account or the key may not."""

    detail: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class BatchCancelled:
    """Nothing handed over under the id goes, said at this moment of the provider's clock (None: unknown)."""

    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchUnknown:
    """Whether the id is cancelled is not known."""

    detail: str


Answer = Accepted | BadRecipients | BadBody | BadSomewhere | TooLarge | Stopped | Busy | NotSent | Uncertain


class Transport(Protocol):
    """A way out. Safe to call from several threads at once."""

    def submit(self, call: Call) -> Answer:
        """Make the call once; never raises for what the network or the provider does."""

    def new_batch(self) -> Batch | NoBatch:
        """An id for calls with a time of their own."""

    def cancel_batch(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        """Have everything under this id thrown away at its time; may be asked again."""

    def batch_status(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        """Whether this id is cancelled."""

    def close(self) -> None:
        """End every connection."""
