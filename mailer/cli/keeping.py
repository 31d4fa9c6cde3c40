"""Commands that keep a site: backup, restore, adopt."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened


def backup(
    file: Annotated[Path, typer.Argument(help="The new file to write.", metavar="FILE")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write everything into one new file, while the site works; it is looked over before it counts."""
    with opened(config) as mailer:
        made = mailer.backup(file)
    if json:
        output.emit(made.as_json())
        return
    output.say(
        f"[bold]{output.plain(made.file)}[/]: {made.bytes:,} bytes, schema {made.schema}, "
        f"{sum(made.rows.values()):,} rows in {len(made.rows)} tables; whole."
    )
    output.say("Keep secrets.toml with it: without its keys no link and no suppression is known.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'mailer backup' wrote.", metavar="FILE")],
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put a backup in the database's place; who left since stays away, and nothing is sent yet."""
    from mailer.service import Mailer
    from mailer.service.restore import look_over

    mailer = Mailer.open(config, any_schema=True)
    try:
        contents = look_over(file)
        output.say(
            f"{output.plain(file)}: schema {contents.schema}, "
            f"{contents.rows.get('subscriber', 0):,} readers, "
            f"{contents.rows.get('campaign', 0):,} campaigns; whole."
        )
        confirm("Put it in the database's place? The database of now is kept beside it.", yes=yes)
        restored = mailer.restore(file)
    finally:
        mailer.close()
    if json:
        output.emit(restored.as_json())
        return
    if restored.kept:
        output.say(f"The database before is kept: {output.plain(restored.kept)}")
    _show_replayed(restored.replayed)
    output.say("Nothing is sent from it yet. Next: [bold]mailer adopt[/] shows what would go, and asks.")


def copy_to(
    url: Annotated[str, typer.Argument(help="An empty database: postgresql+psycopg://… or sqlite:///…")],
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Copy the whole database into another one: from a file to a server, or back."""
    with opened(config) as mailer:
        output.note("Stop 'serve' and 'worker' first: what they write during the copy stays behind.")
        confirm("Copy everything there? The database of now stays as it is.", yes=yes)
        copied = mailer.copy_to(url)
    if json:
        output.emit(copied.as_json())
        return
    output.say(
        f"{sum(copied.rows.values()):,} rows in {len(copied.rows)} tables were copied and counted: "
        f"{copied.rows['subscriber']:,} readers, {copied.rows['campaign']:,} campaigns."
    )
    output.say("Now write it into secrets.toml (or without a password into config.toml):")
    output.say(f'  [bold]\\[database][/]\n  [bold]url = "{output.plain(copied.url)}"[/]')
    output.say("Nothing is sent from it yet. Next: [bold]mailer adopt[/] shows what would go, and asks.")


def adopt(
    join: Annotated[
        bool,
        typer.Option("--join", help="Send beside the folder that has it (several machines, PostgreSQL)."),
    ] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let this folder send from its database: after a restore, a copy or a move."""
    with opened(config) as mailer:
        adoption = mailer.prepare_adoption()
        if adoption.problem is None:
            output.say("This database is at home here already; nothing was changed.")
        else:
            output.warn(adoption.problem)
            _show_replayed(adoption.replayed)
            _show_under_way(adoption.campaigns)
            shared = "also from this folder" if join else "from this folder and no other"
            confirm(f"Send from this database, {shared}?", yes=yes)
            mailer.adopt(join=join)
            output.say("Done: what is under way goes on as soon as 'serve' or 'worker' runs.")
        if json:
            output.emit({"adopted": adoption.problem is not None, **adoption.as_json()})


def _show_replayed(replayed: Any) -> None:
    if replayed.lines:
        output.say(
            f"leavers.log: {replayed.left:,} unsubscribed, {replayed.suppressed:,} suppressed and "
            f"{replayed.erased:,} erased anew, from {replayed.lines:,} lines."
        )


def _show_under_way(campaigns: tuple[dict[str, Any], ...]) -> None:
    if not campaigns:
        output.say("No campaign is under way or planned: nothing goes by itself.")
    for each in campaigns:
        output.say(
            f"Campaign {each['campaign']} · {output.plain(each['issue'])} · {each['status']}: "
            f"{each['waiting']:,} of {each['frozen']:,} letters would still go."
        )
