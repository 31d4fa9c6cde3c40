"""What a command says: text for people on a terminal, or one JSON document for scripts."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from subscribers.errors import NewsletterError

# Set once by `main` from the arguments, so that even a refusal before the command is JSON.
as_json = False

# Text from outside is text: ":100:" in a place of a file is no emoji.
_console = Console(highlight=False, soft_wrap=True, emoji=False)
_errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def console() -> Console:
    """The console for people; on stderr when stdout carries JSON."""
    return _errors if as_json else _console


def emit(document: Any) -> None:
    """The one JSON document of a `--json` run."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()


def say(markup: str = "") -> None:
    """A line for people; silent when a script listens."""
    if not as_json:
        _console.print(markup)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar while something is worked through, told as (done, of how many); nothing but on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn())
    at = console()
    with Progress(*columns, console=at, transient=True, disable=not at.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def note(text: str) -> None:
    """A plain remark on stderr."""
    _errors.print(escape(text))


def warn(text: str) -> None:
    """A warning: always seen, never on a script's stdout."""
    _errors.print(f"[yellow]warning:[/] {escape(text)}")


def warn_if(text: str | None) -> None:
    """A warning where there is one."""
    if text:
        warn(text)


def say_only_to(allowed: Sequence[str]) -> None:
    """That a staging copy mails nobody else, in red wherever somebody might believe otherwise."""
    if allowed:
        names = plain(", ".join(allowed))
        console().print(f"[bold red]\\[sending] only_to is set: nobody but {names} is mailed.[/]")


def warn_of_some(texts: Sequence[str], see: str) -> None:
    """The first of several warnings, and where the others are told."""
    if texts:
        more = f" ({len(texts) - 1} more: see '{see}')" if len(texts) > 1 else ""
        warn(f"{texts[0]}{more}")


def plain(text: object) -> str:
    """Text from outside: brackets in it are no markup, control characters never reach the terminal."""
    shown = "".join(c if c.isprintable() or c == "\n" else "�" for c in str(text))
    return escape(shown)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """A small table; `right` names the columns of figures."""
    if as_json:
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for position, column in enumerate(columns):
        shown.add_column(column, justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{len(row)} cells under {len(columns)} headings: {row}")
        shown.add_row(*(plain(cell) for cell in row))
    _console.print(shown)


def refuse(error: NewsletterError) -> None:
    """An error: one line for each fault, or the JSON document of a refusal."""
    if as_json:
        emit(
            {
                "error": {
                    "message": error.message,
                    "file": error.file,
                    "line": error.line,
                    "field": error.field,
                    "cure": error.cure,
                    "all": [
                        {
                            "line": problem.line,
                            "field": problem.field,
                            "message": problem.message,
                            "cure": problem.cure,
                        }
                        for problem in error.problems
                    ],
                }
            }
        )
        return
    for line in error.lines():
        _errors.print(f"[red]error:[/] {plain(line)}")


def refuse_usage(error: Any) -> None:
    """A command line that cannot be read."""
    message = error.format_message()
    hint = "See 'mailer --help'."
    context = getattr(error, "ctx", None)
    if context is not None:
        hint = f"See '{context.command_path} --help'."
    if as_json:
        problem = {"line": None, "field": None, "message": message, "cure": hint}
        emit({"error": {**problem, "file": None, "all": [problem]}})
        return
    _errors.print(f"[red]error:[/] {plain(message)} {hint}")
