"""Commands that keep a site: adopt."""

from typing import Annotated, Any

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened


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
