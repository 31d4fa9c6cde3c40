"""The tables of config.toml: every key with its type, its default and what it is refused for.

Read by `mailer.config` only; a value here is right by itself, what must fit others is checked there.
"""

import re
from collections.abc import Mapping
from datetime import date, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from mailer.urls import fault_of

# RFC 8058 links are cut by SendGrid when the header value has 78 bytes or more (design, decision 8).
LIST_UNSUBSCRIBE_MAX_BYTES = 77
# `<` + base + `/u/` + 24-character token + `>`
LIST_UNSUBSCRIBE_FIXED_BYTES = 1 + len("/u/") + 24 + 1

# What a cell of a CSV file or the front matter of an issue says instead of a topic.
RESERVED_TOPICS = frozenset({"all", "none", "everyone"})

_SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_COLOUR = r"^#[0-9A-Fa-f]{6}$"

_DURATION = re.compile(r"(\d{1,6})\s*([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CLOCK_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Colour = Annotated[str, Field(pattern=_COLOUR)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _url(value: object) -> object:
    if isinstance(value, str) and value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with https:// (or http:// on this machine)")
    return _linked(value).rstrip("/") if isinstance(value, str) and value else value


def _linked(value: str) -> str:
    if (fault := fault_of(value)) is not None:
        raise ValueError(f"the address {fault}")
    return value


def _linked_or_none(value: str) -> str:
    return value and _linked(value)


def _not_reserved(name: str) -> str:
    if name.strip().casefold() in RESERVED_TOPICS:
        raise ValueError(f"'{name}' has a meaning of its own in files of readers and issues")
    return name


def _in_one_piece(name: str) -> str:
    if "," in name or ";" in name:
        raise ValueError("',' and ';' stand between the topics of a reader, so no name may hold one")
    return name


def database_address(url: str) -> str:
    """The address of a database that this program speaks to. Raises ValueError."""
    if not re.match(r"(?:sqlite:///|postgresql\+psycopg://).", url):
        raise ValueError("must begin with sqlite:/// (a file) or postgresql+psycopg:// (a server)")
    return url


DatabaseURL = Annotated[str, AfterValidator(database_address)]


def duration_of(text: str) -> timedelta:
    """Read a length of time: "90s", "15m", "6h", "2d". Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be a number with s, m, h or d, for example 6h")
    return timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]])


def _duration(text: str) -> str:
    duration_of(text)
    return text


def _civil_date(text: str) -> str:
    if text:
        date.fromisoformat(text)
    return text


def _clock_time(text: str) -> time:
    if _CLOCK_TIME.fullmatch(text) is None:
        raise ValueError(f"'{text}' is no time of day, for example 07:30")
    return time.fromisoformat(text)


def weekly_of(text: str) -> tuple[int, time]:
    """Read a weekday (0 is Monday) and a time of day: "fri 07:30". Raises ValueError."""
    day, _, at = text.strip().casefold().partition(" ")
    if day not in WEEKDAYS:
        raise ValueError(f"'{text}' is no weekday and time, for example fri 07:30")
    return WEEKDAYS.index(day), _clock_time(at.strip())


def _weekly(text: str) -> str:
    if text:
        weekly_of(text)
    return text


def hours_of(text: str) -> tuple[time, time]:
    """Read the first and the last moment of a day's window: "07:00-20:00". Raises ValueError."""
    begin, _, end = (part.strip() for part in text.partition("-"))
    first, last = _clock_time(begin), _clock_time(end)
    if first >= last:
        raise ValueError("the hours must begin before they end, for example 07:00-20:00")
    return first, last


def _hours(text: str) -> str:
    if text:
        hours_of(text)
    return text


TopicSlug = Annotated[str, Field(pattern=_SLUG), AfterValidator(_not_reserved)]
# Files name a topic by its slug or by this.
TopicName = Annotated[str, AfterValidator(_in_one_piece), AfterValidator(_not_reserved)]
WebAddress = Annotated[str, BeforeValidator(_url)]
# What readers can follow; the same rule as for the addresses of an issue.
LinkTarget = Annotated[str, AfterValidator(_linked)]
Duration = Annotated[str, AfterValidator(_duration)]
CivilDate = Annotated[str, AfterValidator(_civil_date)]
OptionalLink = Annotated[str, AfterValidator(_linked_or_none)]


class Table(BaseModel):
    """One table of config.toml; a key nobody declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NewsletterTable(Table):
    name: str = "Hematology Weekly"
    tagline: str = ""
    from_name: str = "Hematology Weekly"
    from_email: str = "editor@example.com"
    reply_to: str = ""
    postal_address: str = ""
    imprint_url: OptionalLink = Field("", examples=["https://www.example.com/imprint"])
    privacy_url: OptionalLink = Field("", examples=["https://www.example.com/privacy"])
    logo_url: OptionalLink = Field("", examples=["https://www.example.com/logo.png"])
    brand_colour: Colour = "#1D4ED8"
    language: str = "en"
    timezone: str = "Europe/Paris"

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"'{value}' is no time zone; for example 'Europe/Paris'") from error
        return value


class WebTable(Table):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    # Results pages, until accounts exist: loopback only, whatever `host` says.
    admin_port: int = Field(default=8001, ge=1, le=65535)
    base_url: WebAddress = "http://127.0.0.1:8000"
    short_base_url: WebAddress = ""
    # The first signs, all verify: links of letters already sent keep working when a key is added.
    secrets: tuple[SecretStr, ...] = ()
    # Who carries it may read `/metrics` on the readers' port; without one, this machine alone.
    metrics_token: SecretStr = SecretStr("")

    @property
    def list_unsubscribe_base(self) -> str:
        return self.short_base_url or self.base_url


class DatabaseTable(Table):
    # May carry a password: never shown.
    url: DatabaseURL = Field(default="sqlite:///data/mailer.db", repr=False)
    # Hashes of people who must never be mailed; never rotated, kept apart from `web.secrets`.
    suppression_key: SecretStr = SecretStr("")


class SendgridTable(Table):
    host: WebAddress = "http://127.0.0.1:8025"
    api_key: SecretStr = SecretStr("")
    webhook_public_key: str = ""
    # One call, from the first byte to the last, by the monotonic clock; shorter than the lease.
    deadline_seconds: float = Field(default=60.0, gt=0, le=170)

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if not key.isascii() or " " in key or not (key.isprintable() or not key):
            raise ValueError("holds a space, a line break or a character that no key has")
        return value


class TopicTable(Table):
    name: TopicName = Field(examples=["CAR-T"])
    sentence: str = ""
    # Chip colours: text and ground, in light and in dark.
    chip: Colour = "#1E40AF"
    chip_ground: Colour = "#DBEAFE"
    chip_dark: Colour = "#DCE8FF"
    chip_ground_dark: Colour = "#1B357A"
    keywords: tuple[str, ...] = ()
    weak_keywords: tuple[str, ...] = ()
    # Names that hold a keyword and mean something else.
    passed_over: tuple[str, ...] = ()


class HeadingsTable(Table):
    """Headings and labels that the parser knows, beside its own; any letter case."""

    contents: tuple[str, ...] = ("In Today's Newsletter", "In This Issue", "In this week's newsletter")
    dive_deeper: tuple[str, ...] = ("Dive deeper",)
    why_it_matters: tuple[str, ...] = ("Why it matters",)
    faq: tuple[str, ...] = ("FAQ", "FAQs", "Q&A", "Frequently asked questions", "Questions and answers")
    keywords: tuple[str, ...] = (
        "Entities / Keywords",
        "Entities/Keywords",
        "Entities & Keywords",
        "Entities and Keywords",
        "Keywords",
        "Entities",
    )
    references: tuple[str, ...] = ("References", "Sources", "Reference", "Source")
    context: tuple[str, ...] = ("Context", "Background")
    key_point: tuple[str, ...] = ("Key point", "Key points")
    implication: tuple[str, ...] = ("Implication", "Implications")


class EditionsTable(Table):
    numbering: Literal["renumber", "original"] = "renumber"
    minimum_topic_stories: int = Field(default=1, ge=0)
    when_empty: Literal["skip", "full"] = "skip"
    maximum: int = Field(default=500, ge=1)


class LinksTable(Table):
    # Label of a line without its emoji, or one whole sentence of it -> where it leads.
    targets: Mapping[str, LinkTarget] = Field(default_factory=dict, examples=["https://www.example.com/page"])
    utm: Mapping[str, str] = Field(default_factory=dict)
    utm_hosts: tuple[str, ...] = ()


class TrackingTable(Table):
    individual: Literal["with-consent", "everyone", "nobody"] = "with-consent"


class SendingTable(Table):
    chunk_size: int = Field(default=1000, ge=1, le=1000)
    threads: int = Field(default=8, ge=1, le=64)
    lease_seconds: float = Field(default=180.0, gt=0)
    # Who calls `run_once`: threads of `serve` and `worker`, or Procrastinate's jobs on PostgreSQL.
    engine: Literal["embedded", "procrastinate"] = "embedded"
    # A staging copy mails nobody but these addresses and "@domains".
    only_to: tuple[str, ...] = ()
    # "Send now" claims nothing before this has passed, so that it can be undone.
    grace: Duration = "0s"
    # The name of a list whose people get every edition 15 minutes before all others; empty: nobody.
    seed_list: str = ""
    # What becomes of a call whose answer nobody saw, when no evidence has come.
    on_uncertain: Literal["hold", "resend-when-silent", "resend"] = "hold"
    # Live batch ids of a campaign; with those cancelled SendGrid takes ten at a time.
    fence_slots: int = Field(default=8, ge=1, le=9)
    # Calls in a row without an answer before the campaign is paused.
    max_failures: int = Field(default=10, ge=1)
    # Letters in any 60 seconds and any 60 minutes, all campaigns and workers together; 0: no limit.
    per_minute: int = Field(default=0, ge=0)
    per_hour: int = Field(default=0, ge=0)
    # Letters on the first day, the second, … of a new sender; later days have no cap.
    warm_up: tuple[Annotated[int, Field(ge=1)], ...] = ()
    warm_up_from: CivilDate = Field("", examples=["2026-04-10"])

    @model_validator(mode="after")
    def _a_plan_has_a_beginning(self) -> "SendingTable":
        if self.warm_up and not self.warm_up_from:
            raise ValueError("warm_up needs the day it begins: warm_up_from")
        return self


class ScheduleTable(Table):
    # Every week at this time the next approved issue goes; empty: nothing goes by itself.
    weekly: Annotated[str, AfterValidator(_weekly)] = Field("", examples=["fri 07:30"])
    # A campaign that is later than this does not go by itself any more.
    latest: Duration = "6h"
    # Letters are handed over only on these days, at these hours and on no holiday; empty: always.
    weekdays: tuple[Weekday, ...] = ()
    hours: Annotated[str, AfterValidator(_hours)] = Field("", examples=["07:00-20:00"])
    holidays: tuple[CivilDate, ...] = ()


class ApprovalTable(Table):
    # Whether every campaign needs an approved issue, or only the weekly ones.
    required: bool = False


class AlertsTable(Table):
    email: str = ""
    webhook: WebAddress = Field("", examples=["https://hooks.example.com/newsletter"])
    # Signs what is posted to `webhook`.
    webhook_secret: SecretStr = SecretStr("")
    # Complaints among delivered letters of a campaign (Gmail and Yahoo ask for less than 0.003).
    complaint_rate: float = Field(default=0.001, gt=0, lt=1)
    # Letters went, and no event has come back for so long.
    webhook_silent: Duration = "2h"
    disk_free_mb: int = Field(default=500, ge=0)


class LogsTable(Table):
    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SandboxTable(Table):
    host: str = "127.0.0.1"
    port: int = Field(default=8025, ge=1, le=65535)
    database: str = "data/sandbox.db"
    # Whether the 10,000 bytes of custom args are counted per message or per request.
    custom_args_limit: Literal["message", "request"] = "message"
    # Where its signed events go; empty: `[web] base_url` + /webhooks/sendgrid.
    webhook_url: str = ""
    # Whether readers act on their own: letters arrive, some people open, click, bounce and leave.
    play: bool = True
