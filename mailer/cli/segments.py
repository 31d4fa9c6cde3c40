"""`mailer segments …`: saved rules that pick people."""

from pathlib import Path
from typing import Annotated

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, opened

app = typer.Typer(help="Saved rules that pick people.", no_args_is_help=True)

SegmentArgument = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("add")
def add(
    name: SegmentArgument,
    rule: Annotated[Path, typer.Option(help="The rule tree as JSON; see docs/segments.md.", metavar="FILE")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Save a rule under a name, or change it."""
    with opened(config) as mailer:
        counted = mailer.add_segment(name, rule)
        if json:
            output.emit(counted)
        else:
            output.say(f"[bold]{output.plain(counted['segment'])}[/]: {output.plain(counted['words'])}")
            output.say(f"  {counted['count']:,} people now")


@app.command("list")
def list_segments(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the segments in words."""
    with opened(config) as mailer:
        rows = mailer.segments()
        if json:
            output.emit({"segments": rows})
        else:
            output.table(("Segment", "In words"), [(row["segment"], row["words"]) for row in rows])


@app.command("count")
def count(name: SegmentArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Count the people that a segment picks now."""
    with opened(config) as mailer:
        counted = mailer.count_segment(name)
        if json:
            output.emit(counted)
        else:
            output.say(f"{counted['count']:,} people: {output.plain(counted['words'])}")
