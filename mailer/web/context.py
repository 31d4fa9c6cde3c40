"""What every page needs: settings, database, tokens, addresses and the time. Made once a process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from mailer.config import Settings
from mailer.database import Database
from mailer.editions.links import TestTokens, doors_of
from mailer.links import Doors, Tokens


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class WebContext:
    """The composition that the doors share; `now` is a clock, so that tests can hold it."""

    settings: Settings
    database: Database
    tokens: Tokens
    doors: Doors
    now: Callable[[], datetime] = field(default=_utc_now)

    @classmethod
    def of(
        cls, settings: Settings, database: Database, now: Callable[[], datetime] = _utc_now
    ) -> "WebContext":
        """The context of a site."""
        secrets = [secret.get_secret_value() for secret in settings.web.secrets]
        return cls(settings, database, Tokens(secrets), doors_of(settings), now)

    @property
    def test_tokens(self) -> TestTokens:
        return TestTokens([secret.get_secret_value() for secret in self.settings.web.secrets])

    @property
    def root(self) -> str:
        """The path that all pages stand under: "" or, of `https://example.com/news`, "/news"."""
        return urlsplit(self.settings.web.base_url).path.rstrip("/")
