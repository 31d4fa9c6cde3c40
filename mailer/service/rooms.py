"""What every room needs, opened once: settings, database, tokens, addresses, the time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from mailer.config import Settings, load_settings
from mailer.database import Database
from mailer.insight.leaves import registry
from mailer.links import Doors, Tokens, doors_of
from mailer.service import identity, keeping, leaving
from mailer.service.identity import Home
from mailer.trouble import is_locked
from subscribers.errors import NewsletterError
from subscribers.segment_rules import LeafRegistry

if TYPE_CHECKING:
    from mailer.delivery.jobs import Jobs

A_FILE = "sqlite:///data/mailer.db"
A_SERVER = "postgresql+psycopg://mailer:password@127.0.0.1/mailer"
SECRETS_CURE = "'mailer init DIR' writes a secrets.toml with new keys; copy it beside config.toml."


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Rooms:
    """One open site. `now` is a function, so that tests own the clock."""

    settings: Settings
    database: Database
    tokens: Tokens
    doors: Doors
    now: Callable[[], datetime]
    home: Home
    jobs: "Jobs | None" = None  # of other machines' workers; None: threads of this one find work themselves

    @classmethod
    def of(cls, settings: Settings, database: Database, now: Callable[[], datetime] = utc_now) -> "Rooms":
        """The rooms of settings over a database that is open and current."""
        secrets = [secret.get_secret_value() for secret in settings.web.secrets]
        jobs = _jobs_of(settings) if settings.sending.engine == "procrastinate" else None
        return cls(settings, database, Tokens(secrets), doors_of(settings), now, Home.of(settings), jobs)

    def close(self) -> None:
        if self.jobs is not None:
            self.jobs.close()
        self.database.close()

    def hand_out(self, connection: Connection, campaign_id: int | None = None) -> None:
        """Tell workers on other machines, with this transaction, what may go; of one campaign, or of all."""
        if self.jobs is not None:
            self.jobs.top_up(connection, self.now(), campaign_id)

    def bring_leavers(self) -> None:
        """Write into leavers.log who left or came back in what was committed just now."""
        leaving.bring_if_possible(self.database, self.home.leavers, self.home.keeper_of_leavers())

    def leaves(self, connection: Connection, *, is_new: bool = False) -> LeafRegistry:
        """Every condition a segment may use on this site: on people, and on what they received and did.

        A rule that `is_new` may name only attributes that somebody has.
        """
        return registry(connection, self.settings, is_new=is_new)

    @property
    def suppression_key(self) -> str:
        return self.settings.database.suppression_key.get_secret_value()


def _jobs_of(settings: Settings) -> "Jobs":
    try:
        from mailer.delivery.jobs import Jobs  # its library comes with an extra
    except ModuleNotFoundError:
        raise NewsletterError(
            '[sending] engine = "procrastinate" needs a package that is not installed.',
            field="[sending] engine",
            cure="Install it: pip install 'newsletter-mailer[postgres]'.",
        ) from None
    return Jobs(settings.database_url)


def open_rooms(
    config: Path | str | None = None,
    *,
    any_schema: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Rooms:
    """Open a site: an empty database gets its tables, an older one is refused (`any_schema` takes both).

    Raises NewsletterError for a missing key, a wrong setting, an older schema, no database.
    """
    settings = load_settings(Path(config) if config is not None else None)
    _require_keys(settings)
    with database_errors(settings.database_url):
        database = Database(settings.database_url)
        try:
            if not any_schema:
                _come_home(database, settings, now)
        except BaseException:
            database.close()
            raise
    rooms = Rooms.of(settings, database, now)
    if rooms.jobs is not None and not any_schema:
        rooms.jobs.lay_out(database)
    return rooms


def _come_home(database: Database, settings: Settings, now: Callable[[], datetime]) -> None:
    if database.schema_version() is None:
        database.upgrade()
    database.require_current_schema()
    home = Home.of(settings)
    identity.found(database, home, now)
    keeping.disown_if_older(database, home)


def _require_keys(settings: Settings) -> None:
    file = str(settings.root / "secrets.toml")
    if not any(secret.get_secret_value() for secret in settings.web.secrets):
        raise NewsletterError(
            "[web] secrets is missing: links in letters could not be signed.",
            file=file,
            field="[web] secrets",
            cure=SECRETS_CURE,
        )
    if not settings.database.suppression_key.get_secret_value():
        raise NewsletterError(
            "[database] suppression_key is missing: people who must never be mailed could not be known.",
            file=file,
            field="[database] suppression_key",
            cure=SECRETS_CURE,
        )


@contextmanager
def database_errors(url: str, field: str = "[database] url") -> Iterator[None]:
    """Say in words why a database cannot be opened. Raises NewsletterError."""
    try:
        yield
    except ModuleNotFoundError:
        raise NewsletterError(
            f"{field} names a PostgreSQL server, and its driver is not installed.",
            field=field,
            cure="Install it: pip install 'newsletter-mailer[postgres]'.",
        ) from None
    except (ArgumentError, NoSuchModuleError):
        raise NewsletterError(
            f"{field} names a database that this version does not speak.",
            field=field,
            cure=f'For example [database] url = "{A_FILE}" or "{A_SERVER}".',
        ) from None
    except (DatabaseError, OSError) as error:
        if is_locked(error):
            raise NewsletterError(
                "the database was locked by another process for a long time; nothing was changed.",
                field=field,
                cure="Try again; should it stay so, end the process that keeps it.",
            ) from None
        raise _no_database(error, url, field) from None


def _no_database(error: DatabaseError | OSError, url: str, field: str) -> NewsletterError:
    # The driver's own words, never the address: it may carry a password.
    if isinstance(error, DatabaseError) and error.orig is not None:
        said = str(error.orig).splitlines()[0]
    else:
        said = getattr(error, "strerror", None) or type(error).__name__
    is_file = url.startswith("sqlite:")
    return NewsletterError(
        f"cannot open the database: {said.rstrip('.')}.",
        field=field,
        cure=f'For example [database] url = "{A_FILE}", in a folder you may write to.'
        if is_file
        else f'See that the server runs and lets you in; for example [database] url = "{A_SERVER}".',
    )
