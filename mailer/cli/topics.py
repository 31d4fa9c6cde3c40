"""`mailer topics …`: what readers choose."""

from typing import Annotated

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened

app = typer.Typer(help="What readers choose.", no_args_is_help=True)


@app.command("list")
def list_topics(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show readers and stories of each topic."""
    with opened(config) as mailer:
        rows = mailer.topics()
        if json:
            output.emit({"topics": rows})
            return
        output.table(
            ("Topic", "Name", "Readers", "Stories"),
            [
                (row["topic"], row["name"] or "(not declared)", f"{row['readers']:,}", row["stories"])
                for row in rows
            ],
            right=(2, 3),
        )


@app.command("rename")
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A topic declared in config.toml.")],
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Move the choices of one topic to another, after its slug changed in config.toml."""
    with opened(config) as mailer:
        if joined := mailer.topics_to_join(old, new):
            sizes = " and ".join(f"'{slug}' ({count:,} chose it)" for slug, count in joined.items())
            confirm(f"Join {sizes}? Nobody can tell them apart again.", yes=yes)
        moved = mailer.rename_topic(old, new)
        if json:
            output.emit({"old": old, "new": new, "moved": moved})
        else:
            output.say(f"{moved:,} choices moved from '{output.plain(old)}' to '{output.plain(new)}'")
