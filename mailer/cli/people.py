"""`mailer subscribers …`: people in, out, one by one, and never again."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, comma_list, confirm, opened

app = typer.Typer(help="Add, import, export, show, suppress and erase people.", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]


@app.command("import")
def import_people(
    file: Annotated[Path, typer.Argument(help="CSV with a header line.", metavar="FILE.csv")],
    basis: Annotated[str, typer.Option(help="Why you may write to them; kept as proof.", metavar="TEXT")],
    status: Annotated[
        Literal["subscribed", "unsubscribed", "cleaned"],
        typer.Option(help="What the people of this file are (Mailchimp's three exports)."),
    ] = "subscribed",
    replace_topics: Annotated[
        bool, typer.Option("--replace-topics", help="The file's topics replace; otherwise they are added.")
    ] = False,
    overwrite_choices: Annotated[
        bool, typer.Option("--overwrite-choices", help="Also change topics that readers chose in person.")
    ] = False,
    unknown_topics: Annotated[
        Literal["refuse", "ignore"], typer.Option(help="What to do with a row of an undeclared topic.")
    ] = "refuse",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Import people from a CSV file; the same file again changes nothing."""
    from rich.progress import BarColumn, Progress, TextColumn

    console = output.console()
    with (
        opened(config) as mailer,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress,
    ):
        task = progress.add_task("Reading", total=None)

        def on_progress(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total, description=f"{done:,} rows")

        report = mailer.import_people(
            file,
            basis=basis,
            status=status,
            replace_topics=replace_topics,
            overwrite_choices=overwrite_choices,
            unknown_topics=unknown_topics,
            on_progress=on_progress,
        )
    document = report.as_json()
    if json:
        output.emit(document)
        return
    output.say(
        f"{document['read']:,} read: {document['added']:,} added, {document['updated']:,} updated, "
        f"{document['unchanged']:,} unchanged, {document['suppressed']:,} suppressed, "
        f"{len(document['refused']):,} refused"
    )
    for refused in document["refused"]:
        output.warn(f"{file}:{refused['line']}: {refused['reason']}")
    output.say("Next: [bold]mailer topics list[/]")


@app.command("export")
def export_people(
    file: Annotated[Path, typer.Argument(help="CSV to write.", metavar="FILE.csv")],
    in_list: Annotated[str | None, typer.Option("--list", help="Only this list.", metavar="LIST")] = None,
    status: Annotated[
        Literal["pending", "active", "unsubscribed", "all"] | None,
        typer.Option(help="Only people of this status, or all. Default: active."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only readers of this topic.", metavar="TOPIC")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Export people to a CSV file that imports to the same; formulas are disarmed."""
    with opened(config) as mailer:
        count = mailer.export_people(file, in_list=in_list, status=status, topic=topic)
        if json:
            output.emit({"file": str(file), "exported": count})
            return
        output.say(f"{count:,} people written to {output.plain(file)}. It holds addresses: keep it safe.")


@app.command("add")
def add(
    address: AddressArgument,
    basis: Annotated[str, typer.Option(help="Why you may write to them; kept as proof.", metavar="TEXT")],
    name: Annotated[str, typer.Option(help="Name.", metavar="TEXT")] = "",
    topics: Annotated[str, typer.Option(help="Topics, as a,b; or all, or none.", metavar="A,B")] = "all",
    lists: Annotated[str, typer.Option("--lists", help="Lists, as a,b.", metavar="A,B")] = "",
    timezone: Annotated[str, typer.Option(help="Zone of the reader.", metavar="ZONE")] = "",
    track_consent: Annotated[
        bool, typer.Option("--track-consent", help="They agreed that opens and clicks are kept.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add one person."""
    with opened(config) as mailer:
        shown = mailer.add_person(
            address,
            basis=basis,
            name=name,
            topics=comma_list(topics),
            lists=comma_list(lists),
            timezone=timezone,
            track_consent=track_consent,
        )
        if json:
            output.emit(shown)
        else:
            _show(shown)


@app.command("show")
def show(address: AddressArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one person: choices, consents, every letter and what became of it."""
    with opened(config) as mailer:
        shown = mailer.show_person(address)
        if json:
            output.emit(shown)
        else:
            _show(shown)


def _show(shown: dict[str, Any]) -> None:
    name = f" · {output.plain(shown['name'])}" if shown.get("name") else ""
    output.say(f"[bold]{output.plain(shown['email'])}[/]{name} · {shown['status']}")
    if shown.get("suppressed"):
        output.say(f"  [red]never mailed:[/] {output.plain(shown['suppressed'])}")
    topics = shown["topics"]
    output.say(f"  topics: {output.plain(topics if isinstance(topics, str) else ', '.join(topics))}")
    output.say(f"  lists: {output.plain(', '.join(shown['lists']) or '–')}")
    output.say(f"  opens and clicks may be kept: {'yes' if shown['track_consent'] else 'no'}")
    if shown["consents"]:
        output.table(
            ("When", "What", "For", "Basis", "Source"),
            [
                (str(row["at"])[:16], row["action"], row["purpose"], row["basis"], row["source"])
                for row in shown["consents"]
            ],
        )
    if shown["letters"]:
        output.table(
            ("Issue", "Edition", "Handover", "Fate", "Opened", "Clicked"),
            [
                (
                    row["issue"],
                    row["edition"],
                    row["handover"] + (f" ({row['reason']})" if row.get("reason") else ""),
                    row["fate"],
                    str(row["opened_at"] or "–")[:16],
                    str(row["clicked_at"] or "–")[:16],
                )
                for row in shown["letters"]
            ],
        )


@app.command("suppress")
def suppress(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]")] = None,
    file: Annotated[Path | None, typer.Option(help="One address a line, or a CSV.", metavar="FILE")] = None,
    reason: Annotated[str, typer.Option(help="Why, in a few words.", metavar="TEXT")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Never mail an address again, or all addresses of a file."""
    if (address is None) == (file is None):
        raise typer.BadParameter("name an address, or a file with --file.")
    with opened(config) as mailer:
        outcome = mailer.suppress(address=address, file=file, detail=reason)
        if json:
            output.emit(outcome)
            return
        output.say(f"{outcome['suppressed']:,} addresses will never be mailed.")
        for refused in outcome["refused"]:
            output.warn(f"{file}:{refused['line']}: {refused['reason']}")


@app.command("erase")
def erase(
    address: AddressArgument, yes: YesOption = False, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Erase a person: nothing readable stays, and the address is never mailed again."""
    with opened(config) as mailer:
        mailer.finish_erasures()  # an earlier one, perhaps of this very address
        mailer.show_person(address)
        confirm(f"Erase {address} for good? This cannot be undone.", yes=yes)
        outcome = mailer.erase_person(address)
        if json:
            output.emit(outcome)
            return
        output.say("Erased. A keyed hash stays, so that no import brings them back.")
        if elsewhere := sum(outcome["mentions"].values()):
            output.say(f"The address was also taken out of {elsewhere:,} texts and attributes of others.")
        if outcome["trace_in_log"]:
            output.warn(
                "the address is still in the database's log, because another process is reading it. "
                "'serve' and 'worker' empty the log when that has ended, and so does 'mailer check'."
            )
