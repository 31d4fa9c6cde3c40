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
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, Field, ValidationError, create_model, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from mailer.config_errors import refusal
from mailer.config_tables import (
    AlertsTable,
    ApprovalTable,
    DatabaseTable,
    EditionsTable,
    HeadingsTable,
    LinksTable,
    LogsTable,
    NewsletterTable,
    SandboxTable,
    ScheduleTable,
    SendgridTable,
    SendingTable,
    Table,
    TopicSlug,
    TopicTable,
    TrackingTable,
    WebTable,
)
from subscribers.errors import NewsletterError
from subscribers.nearest import did_you_mean

CONFIG_FILE = "config.toml"
SECRETS_FILE = "secrets.toml"
ENV_PREFIX = "MAILER_"
CONFIG_VARIABLE = "MAILER_CONFIG"
# How the API key of a new site begins: the sandbox takes it, SendGrid gave it to nobody.
SANDBOX_KEY_PREFIX = "SG.sandbox-"

# What Python's TOML reader says of a table or key that stands in a file more than once.
_TWICE = re.compile("twice|overwrite|redefine|mutate|immutable", re.IGNORECASE)
_TWICE_CURE = "A table or key stands once: put all its lines under one heading, for example [web]."


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
    schedule: ScheduleTable = ScheduleTable()
    approval: ApprovalTable = ApprovalTable()
    alerts: AlertsTable = AlertsTable()
    logs: LogsTable = LogsTable()
    sandbox: SandboxTable = SandboxTable()

    # Folder of config.toml: everything relative is relative to it. Not a key of the file.
    root: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _lease_outlives_a_call(self) -> "Settings":
        if self.sending.lease_seconds <= self.sendgrid.deadline_seconds:
            raise ValueError("[sending] lease_seconds must be longer than [sendgrid] deadline_seconds")
        return self

    @model_validator(mode="after")
    def _jobs_need_a_server(self) -> "Settings":
        if self.sending.engine == "procrastinate" and self.database.url.startswith("sqlite:"):
            raise ValueError(
                '[sending] engine = "procrastinate" needs PostgreSQL: [database] url = '
                '"postgresql+psycopg://…"; with SQLite it is "embedded"'
            )
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
        return self.absolute(self.database.url)

    def absolute(self, url: str) -> str:
        """The address of a database as this site means it."""
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
