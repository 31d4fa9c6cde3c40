"""What the sandbox may be told: SendGrid's unclear limits, its keys, its readers and its bad days.

Values only. `POST /sandbox/behaviour` changes them while it runs; nothing here is kept in its file.
"""

import time
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mailer.config import Settings
from mailer.sandbox.faults import Kind

Share = Annotated[float, Field(ge=0, le=1)]
_Refused = Literal["named", "silent"]


class Rates(BaseModel):
    """Shares of readers, each between 0 and 1; first what becomes of a letter, then who acts on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What becomes of a letter; the rest is delivered at once.
    deferred: Share = 0.04  # delivered at the second try
    bounced: Share = 0.02  # no such mailbox
    bounced_late: Share = 0.005  # after "delivered", and without custom args
    blocked: Share = 0.015  # refused for now: content, reputation, full
    invalid: Share = 0.005  # dropped, never tried
    # Of the delivered ones.
    complained: Share = 0.01
    opened: Share = 0.45  # by a person, in a mail client or browser
    opened_by_apple: Share = 0.2  # fetched ahead by Apple's privacy proxy
    opened_by_proxy: Share = 0.15  # Gmail's image proxy: nobody can say
    clicked: Share = 0.25  # by a person, one to three links
    left: Share = 0.02  # one-click unsubscribe
    left_at_provider: Share = 0.0  # SendGrid's own `unsubscribe` event
    # Letters that a mail gateway reads first: every link within a second. A number, not a share.
    scan_bursts: int = Field(default=1, ge=0)


QUIET = Rates(
    deferred=0,
    bounced=0,
    bounced_late=0,
    blocked=0,
    invalid=0,
    complained=0,
    opened=0,
    opened_by_apple=0,
    opened_by_proxy=0,
    clicked=0,
    left=0,
    scan_bursts=0,
)
"""Everything is delivered and nobody does anything."""


class EventWebhook(BaseModel):
    """What the account tells of its event webhook; a good day unless told otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    signed: bool = True
    kinds_off: tuple[str, ...] = ()  # kinds of events that are not ticked
    url: str = ""  # empty: where events really go
    public_key: str = ""  # empty: the sandbox's own
    tests: Literal["posted", "lost"] = "posted"


class SandboxOptions(BaseModel):
    """Settings of a sandbox; the defaults are a good day at SendGrid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Sources differ on what the 10,000 bytes of custom args are counted over.
    custom_args_limit: Literal["message", "request"] = "message"
    # Substitutions run one after another; SendGrid promises no order.
    substitution_order: Literal["given", "reversed"] = "given"
    # API key -> its scopes. Empty: every key that begins with "SG." may do everything.
    keys: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    # Addresses and "@domains" that may stand in `from`; empty: all.
    verified_senders: tuple[str, ...] = ()
    # Of those "@domains": which still wait for their DNS records.
    pending_domains: tuple[str, ...] = ()
    # What the account tells of itself: its event webhook, and which tracking of its own is on.
    event_webhook: EventWebhook = EventWebhook()
    account_tracking: tuple[Literal["click", "google_analytics", "open", "subscription"], ...] = ()
    # Path of another door than mail/send -> the status it answers with, like {"/v3/scopes": 451}.
    door_status: Mapping[str, Annotated[int, Field(ge=300, le=599)]] = Field(default_factory=dict)
    # Address -> how a request with it is refused: with its place ("named") or a bare 400 ("silent").
    refuse_addresses: Mapping[str, _Refused] = Field(default_factory=dict)
    # Kind of misbehaviour -> share of mail/send calls, drawn by `seed` and the call's number.
    misbehave: Mapping[Kind, Share] = Field(default_factory=dict)
    seed: int = 1
    # Where signed events go, and whether readers of new letters act on their own.
    webhook_url: str = ""
    play: Literal["off", "on"] = "off"
    rates: Rates = Rates()
    # Readers act within this time; a person asks for a second link only when there is room for a pause.
    spread_seconds: float = Field(default=0.0, ge=0)
    # So far ahead of this machine's clock it lives: letters with a time of their own go the sooner.
    clock_ahead_seconds: float = Field(default=0.0, ge=0)
    # How events arrive: in batches, some twice, out of order.
    batch_size: int = Field(default=100, ge=1, le=5000)
    duplicates: Share = 0.1
    shuffled: bool = True

    def now(self) -> float:
        """The time by the sandbox's clock, in Unix seconds."""
        return time.time() + self.clock_ahead_seconds

    @field_validator("refuse_addresses")
    @classmethod
    def _in_any_case(cls, addresses: Mapping[str, _Refused]) -> Mapping[str, _Refused]:
        return {address.casefold(): how for address, how in addresses.items()}


def options_of(settings: Settings) -> SandboxOptions:
    """The options that `[sandbox]` and `[web] base_url` of a site stand for; readers wait to be played."""
    table = settings.sandbox
    return SandboxOptions(
        custom_args_limit=table.custom_args_limit,
        webhook_url=table.webhook_url or f"{settings.web.base_url}/webhooks/sendgrid",
    )
