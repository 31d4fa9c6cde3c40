"""Settings: config.toml, then secrets.toml beside it, then `MAILER_…` variables; read at start only.

An unknown key, a wrong type or a missing file is refused with file, table, key and an example. A
secret never appears in an error, a log or a repr. Relative paths are relative to config.toml.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from mailer.config_errors import refusal
from mailer.urls import fault_of
from subscribers.errors import NewsletterError
from subscribers.nearest import did_you_mean

CONFIG_FILE = "config.toml"
SECRETS_FILE = "secrets.toml"
ENV_PREFIX = "MAILER_"
CONFIG_VARIABLE = "MAILER_CONFIG"
# How the API key of a new site begins: the sandbox takes it, SendGrid gave it to nobody.
SANDBOX_KEY_PREFIX = "SG.sandbox-"

# RFC 8058 links are cut by SendGrid when the header value has 78 bytes or more (design, decision 8).
LIST_UNSUBSCRIBE_MAX_BYTES = 77
# `<` + base + `/u/` + 24-character token + `>`
LIST_UNSUBSCRIBE_FIXED_BYTES = 1 + len("/u/") + 24 + 1

# What a cell of a CSV file or the front matter of an issue says instead of a topic.
RESERVED_TOPICS = frozenset({"all", "none", "everyone"})

# What Python's TOML reader says of a table or key that stands in a file more than once.
_TWICE = re.compile("twice|overwrite|redefine|mutate|immutable", re.IGNORECASE)
_TWICE_CURE = "A table or key stands once: put all its lines under one heading, for example [web]."

_SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_COLOUR = r"^#[0-9A-Fa-f]{6}$"

Colour = Annotated[str, Field(pattern=_COLOUR)]


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


TopicSlug = Annotated[str, Field(pattern=_SLUG), AfterValidator(_not_reserved)]
# Files name a topic by its slug or by this.
TopicName = Annotated[str, AfterValidator(_in_one_piece), AfterValidator(_not_reserved)]
WebAddress = Annotated[str, BeforeValidator(_url)]
# What readers can follow; the same rule as for the addresses of an issue.
LinkTarget = Annotated[str, AfterValidator(_linked)]
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

    @property
    def list_unsubscribe_base(self) -> str:
        return self.short_base_url or self.base_url


class DatabaseTable(Table):
    # May carry a password: never shown.
    url: str = Field(default="sqlite:///data/mailer.db", repr=False, pattern=r"^sqlite:///.+")
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
    # A staging copy mails nobody but these addresses and "@domains".
    only_to: tuple[str, ...] = ()


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


class _TomlFiles(PydanticBaseSettingsSource):
    """config.toml and secrets.toml, merged table by table."""

    def __init__(self, settings_cls: type[BaseSettings], tables: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tables = tables

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._tables.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tables


class Settings(BaseSettings):
    """Everything that config.toml, secrets.toml and the environment say."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    newsletter: NewsletterTable = NewsletterTable()
    web: WebTable = WebTable()
    database: DatabaseTable = DatabaseTable()
    sendgrid: SendgridTable = SendgridTable()
    topics: Mapping[TopicSlug, TopicTable] = Field(default_factory=dict)
    headings: HeadingsTable = HeadingsTable()
    editions: EditionsTable = EditionsTable()
    links: LinksTable = LinksTable()
    tracking: TrackingTable = TrackingTable()
    sending: SendingTable = SendingTable()
    sandbox: SandboxTable = SandboxTable()

    # Folder of config.toml: everything relative is relative to it. Not a key of the file.
    root: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _lease_outlives_a_call(self) -> "Settings":
        if self.sending.lease_seconds <= self.sendgrid.deadline_seconds:
            raise ValueError("[sending] lease_seconds must be longer than [sendgrid] deadline_seconds")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `init_settings` carries the files' tables: below the environment.
        return env_settings, init_settings

    def path(self, relative: str) -> Path:
        """A path of the site: relative ones start at the folder of config.toml."""
        return self.root / relative

    @property
    def database_url(self) -> str:
        """The address of the database, a relative SQLite file made absolute."""
        url = self.database.url
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str(self.path(url.removeprefix(prefix)).absolute())
        return url

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.newsletter.timezone)


def find_config(explicit: Path | None = None) -> Path:
    """`--config`, else `MAILER_CONFIG`, else `./config.toml`; a missing file is refused."""
    variable = os.environ.get(CONFIG_VARIABLE)
    path = explicit or (Path(variable) if variable else Path(CONFIG_FILE))
    if path.is_dir():
        path = path / CONFIG_FILE
    if not path.is_file():
        raise NewsletterError(
            f"there is no config file at '{path}'.",
            file=str(path),
            cure="Lay out a site with 'mailer init my-newsletter', or name a file with --config.",
        )
    return path


def load_settings(config: Path | None = None) -> Settings:
    """The settings of a site. Raises NewsletterError naming file, table, key and an example."""
    path = find_config(config)
    tables = _read_toml(path)
    secrets = path.with_name(SECRETS_FILE)
    if secrets.is_file():
        tables = _merge(tables, _read_toml(secrets))
    _refuse_unknown_variables(path)
    try:
        # A file has types of its own: "8000" is no port there. A variable is always text.
        _file_tables().model_validate_json(orjson.dumps(tables), strict=True)
        return Settings(**{**tables, "root": path.parent.absolute()})
    except ValidationError as error:
        raise refusal(error, [path, secrets], Settings, ENV_PREFIX) from None
    except SettingsError as error:
        raise _no_json(str(error), path) from None


@lru_cache
def _file_tables() -> type[BaseModel]:
    """The tables of `Settings` as a plain model, which reads no variables."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in Settings.model_fields.items() if not field.exclude
    }
    return create_model("FileTables", __base__=Table, **fields)


def _no_json(said: str, path: Path) -> NewsletterError:
    """A variable that stands for a list or a table must be JSON."""
    named = [name for name in os.environ if name.startswith(ENV_PREFIX) and "__" in name]
    table = next((name for name in Settings.model_fields if f'"{name}"' in said), "web")
    variable = next((name for name in named if name.startswith(f"{ENV_PREFIX}{table}__".upper())), ENV_PREFIX)
    return NewsletterError(
        f"the environment variable {variable} holds no JSON.",
        file=str(path),
        field=variable,
        cure="""A list is written like MAILER_SENDING__ONLY_TO='["@example.com"]'.""",
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        line = getattr(error, "lineno", None)
        raise NewsletterError(
            f"this is no valid TOML: {str(error).split(' (at')[0]}.",
            file=str(path),
            line=line if isinstance(line, int) else _line_in_message(str(error)),
            cure=_TWICE_CURE
            if _TWICE.search(str(error))
            else 'Text needs quotes, for example name = "Hematology Weekly".',
        ) from None
    except UnicodeDecodeError as error:
        raise NewsletterError(
            f"this file is not UTF-8 (byte {error.start}).", file=str(path), cure="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise NewsletterError(
            f"cannot read this file: {error.strerror}.", file=str(path), cure="Check its permissions."
        ) from None


def _line_in_message(message: str) -> int | None:
    words = message.replace(",", " ").split()
    if "line" in words:
        after = words[words.index("line") + 1 :]
        if after and after[0].isdigit():
            return int(after[0])
    return None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _refuse_unknown_variables(path: Path) -> None:
    """pydantic-settings passes over variables it does not know; a typo in one must not."""
    known = {name.upper() for name in Settings.model_fields if name != "root"}
    for variable in os.environ:
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        table, _, key = variable.removeprefix(ENV_PREFIX).partition("__")
        if table in known and not key:
            raise NewsletterError(
                f"the environment variable {variable} names a table, but no key of it.",
                file=str(path),
                field=variable,
                cure="For example MAILER_SENDGRID__HOST.",
            )
        if table not in known:
            raise NewsletterError(
                f"the environment variable {variable} names no table of the configuration.",
                file=str(path),
                field=variable,
                cure=did_you_mean(table, known) + "For example MAILER_SENDGRID__HOST.",
            )
