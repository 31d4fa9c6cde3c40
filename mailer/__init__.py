"""One weekly issue, one edition per reader, every letter accounted for.

from mailer import Mailer

with Mailer.open("config.toml") as mailer:
    mailer.import_issue("examples/week-04.md")
    for edition in mailer.compose("week-04").editions:
        print(edition.label, edition.audience, edition.subject)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailer.service import Mailer

__all__ = ["Mailer"]


def __getattr__(name: str) -> Any:
    # Late, so that `import mailer.config` alone stays quick.
    if name == "Mailer":
        from mailer.service import Mailer

        return Mailer
    raise AttributeError(name)
