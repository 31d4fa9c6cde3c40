"""`mailer lists …`: named, hand-kept groups."""

from typing import Annotated

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened

app = typer.Typer(help="Named groups, kept by hand.", no_args_is_help=True)

ListArgument = Annotated[str, typer.Argument(metavar="LIST")]
AddressesArgument = Annotated[list[str] | None, typer.Argument(metavar="[ADDRESS]...")]


@app.command("add")
def add(
    name: ListArgument,
    addresses: AddressesArgument = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a list, or put people on it."""
    with opened(config) as mailer:
        outcome = mailer.add_to_list(name, addresses or [])
        if json:
            output.emit(outcome)
        else:
            output.say(f"[bold]{output.plain(outcome['list'])}[/] has {outcome['members']:,} people")


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(metavar="[LIST]", help="Default: all of them.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the lists, or the people of one."""
    with opened(config) as mailer:
        if name is None:
            rows = mailer.lists()
            if json:
                output.emit({"lists": rows})
            else:
                output.table(
                    ("List", "Name", "People"),
                    [(row["list"], row["name"], f"{row['members']:,}") for row in rows],
                    right=(2,),
                )
            return
        members = mailer.list_members(name)
        if json:
            output.emit({"list": name, "members": members})
        else:
            for address in members:
                output.say(output.plain(address))


@app.command("remove")
def remove(
    name: ListArgument,
    addresses: AddressesArgument = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Take people off a list, or remove the list; the people stay."""
    with opened(config) as mailer:
        if not addresses:
            people = mailer.list_members(name)  # an unknown list is said before anything is asked
            confirm(f"Remove the list '{name}'? Its {len(people):,} people stay.", yes=yes)
        outcome = mailer.remove_from_list(name, addresses or [])
        if json:
            output.emit(outcome)
        else:
            output.say(f"{outcome['removed']:,} removed")
