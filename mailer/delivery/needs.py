"""What sending needs, in one hand: the ledger, the letters' tokens and doors, the way out, the time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery.body import FrozenEdition
from mailer.delivery.timing import CLOCK_SLACK
from mailer.delivery.transport import Transport
from mailer.links import Doors, Tokens


@dataclass(frozen=True)
class Sending:
    """One for a process, shared by its threads."""

    database: Database
    settings: Settings
    tokens: Tokens
    doors: Doors
    transport: Transport
    clock: Callable[[], datetime]
    # What the database must call itself for anything to be claimed or cancelled; None: anything.
    instance: Callable[[], str] | None = None
    editions: dict[int, FrozenEdition] = field(default_factory=dict)

    @property
    def deadline(self) -> timedelta:
        """How long a call may last."""
        return timedelta(seconds=self.settings.sendgrid.deadline_seconds)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.sending.lease_seconds)

    @property
    def longest_lease(self) -> timedelta:
        """A lease that ends later than this was set by a clock far ahead."""
        return self.lease + CLOCK_SLACK
