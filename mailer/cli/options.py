"""Options that many commands share, and how they open the site."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailer.cli import logs, output
from subscribers.errors import ConfirmationNeeded

if TYPE_CHECKING:
    from mailer.service import Mailer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The site's config.toml. Default: $MAILER_CONFIG, else ./config.toml.",
        metavar="FILE",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@contextmanager
def opened(config: Path | None, *, is_server: bool = False) -> Iterator["Mailer"]:
    """The site of this command line, closed at the end; `is_server`: it stays, and logs as it goes."""
    from mailer.config import load_settings

    # A wrong configuration is refused before the rooms are imported, which takes a second.
    settings = load_settings(config)
    logs.follow(settings.logs, is_server=is_server)
    from mailer.service import Mailer

    mailer = Mailer.open(config)
    try:
        yield mailer
    finally:
        mailer.close()


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `--yes`; without a terminal the answer is no (exit code 2)."""
    if yes:
        return
    if output.as_json or not output.console().is_terminal:
        raise ConfirmationNeeded(f"{question} Nothing was done.", cure="Say --yes to go on.")
    if not typer.confirm(question):
        output.note("Nothing was done.")
        raise typer.Exit(ConfirmationNeeded.exit_code)


def comma_list(text: str | None) -> list[str]:
    """`a,b` or `a;b` as a list; blanks fall out."""
    return [part.strip() for part in (text or "").replace(";", ",").split(",") if part.strip()]
