"""Commands of a campaign under way: worker, campaigns, status, pause, resume, cancel, resolve."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mailer.cli import notices, output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened
from subscribers.errors import NewsletterError

if TYPE_CHECKING:
    from threading import Event


def _possible(campaign: int | None) -> int | None:
    """A number that no campaign can have is answered like one that none has."""
    from mailer.delivery.standing import require_possible

    if campaign is not None:
        require_possible(campaign)
    return campaign


CampaignArgument = Annotated[
    int,
    typer.Argument(
        help="Number of the campaign; see 'mailer campaigns'.", metavar="CAMPAIGN", callback=_possible
    ),
]
Decision = Literal["sent", "again", "drop"]


def run_with_progress(mailer: Any, campaign: int, stopped: "Event | None" = None) -> dict[str, Any]:
    """Work on a campaign until nothing is left to do, or `stopped`, with a bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = output.console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("Handing over", total=None)
        is_told = False

        def on_progress(status: dict[str, Any]) -> None:
            progress.update(task, total=status["frozen"], completed=status["frozen"] - status["waiting"])
            nonlocal is_told
            if stopped is not None and stopped.is_set() and not is_told:
                is_told = True
                console.print("Stopping; calls in flight end first.")

        return dict(mailer.run_campaign(campaign, on_progress=on_progress, stopped=stopped))


def show_ledger(status: dict[str, Any]) -> None:
    """The equation that always holds, and what needs a person."""
    number = status["campaign"]
    output.say(f"Campaign {number} · {output.plain(status['issue'])} · [bold]{status['status']}[/]")
    _show_plan(status)
    output.say(
        f"  frozen {status['frozen']:,} = waiting {status['waiting']:,} + accepted {status['accepted']:,}"
        f" + rejected {status['rejected']:,} + withheld {status['withheld']:,} + held {status['held']:,}"
    )
    for reason, count in status["skipped"].items():
        output.say(f"  {count:,} got nothing: {output.plain(reason)}")
    if status["pause_reason"]:
        output.say(f"  [yellow]paused:[/] {output.plain(status['pause_reason'])}")
        output.say(f"Next: mend it, then [bold]mailer resume {number}[/] and [bold]mailer worker[/]")
    if status.get("revocable"):
        output.say(
            f"  {status['revocable']:,} are with SendGrid and wait there for their time: "
            f"[bold]mailer cancel {number}[/] takes them back until 12 minutes before it"
        )
    if status["status"] in ("paused", "cancelled") and status.get("beyond_reach"):
        output.say(f"  {status['beyond_reach']:,} were handed over before and cannot be taken back")
    if status.get("went_although_cancelled"):
        output.say(
            f"  [red]{status['went_although_cancelled']:,} letters stood in calls that SendGrid had "
            "cancelled, and an event shows that they went all the same[/]"
        )
    if status["held"]:
        output.say(
            f"  [yellow]{status['held']:,} are held:[/] the answer was not seen, nobody knows whether they "
            "went. An event of theirs settles it; otherwise you decide:"
        )
        output.say(f"  [bold]mailer resolve {number} --sent | --again | --drop[/]")


def _show_plan(status: dict[str, Any]) -> None:
    """When a campaign goes, and whether a newer draft stays out of it."""
    if status["due"] is not None:
        at = f"{datetime.fromisoformat(status['due']['at']):%Y-%m-%d %H:%M} UTC"
        first = "the first readers: " if status["due"]["is_local"] else ""
        output.say(f"  planned for {due_in_words(status['due'])}, {first}{at}")
    if status["newest_revision"] != status["revision"]:
        output.say(f"  [yellow]{of_older_revision(status)}[/]")
    if status["status"] == "missed":
        output.say("  [yellow]it missed its time[/] (\\[schedule] latest) and does not go by itself any more")
        number = status["campaign"]
        output.say(f"Next: [bold]mailer resume {number} --yes[/] or [bold]mailer cancel {number}[/]")


def due_in_words(due: dict[str, Any]) -> str:
    """ "2026-04-10 07:30 (Europe/Paris)"."""
    where = "each reader's own zone" if due["is_local"] else due["zone"]
    return f"{due['civil']} ({where})"


def worker(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with every campaign that is under way, until stopped."""
    from mailer.serving import work as until_stopped

    with opened(config, is_server=True) as mailer:
        output.warn_if(mailer.homeless())
        output.say_only_to(mailer.settings.sending.only_to)
        output.say("Working. Ctrl-C stops after the calls in flight." if not once else "Working.")
        worked = mailer.work() if once else until_stopped(mailer)
        if json:
            output.emit({"campaigns": worked})
            return
        for status in worked:
            show_ledger(status)


def campaigns(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the campaigns, newest first."""
    with opened(config) as mailer:
        output.warn_if(mailer.homeless())
        rows = mailer.campaigns()
        if json:
            output.emit({"campaigns": rows})
            return
        output.say_only_to(mailer.settings.sending.only_to)
        _table(rows)


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        output.say("No campaign yet. Next: [bold]mailer send ISSUE[/]")
        return
    output.table(
        (
            "",
            "Issue",
            "Status",
            "Frozen",
            "Waiting",
            "Accepted",
            "Rejected",
            "Withheld",
            "Held",
        ),
        [
            (
                row["campaign"],
                row["issue"],
                row["status"],
                *(
                    f"{row[part]:,}"
                    for part in ("frozen", "waiting", "accepted", "rejected", "withheld", "held")
                ),
            )
            for row in rows
        ],
        right=(0, 3, 4, 5, 6, 7, 8),
    )
    for row in rows:
        if row["due"] is not None and row["status"] in ("scheduled", "paused", "missed", "preparing"):
            output.say(f"Campaign {row['campaign']} is planned for {due_in_words(row['due'])}")
        if row["newest_revision"] != row["revision"]:
            output.say(f"Campaign {row['campaign']}: {of_older_revision(row)}")


def of_older_revision(row: dict[str, Any]) -> str:
    """ "it goes with revision 1; revision 2 is newer and no part of it"."""
    return (
        f"it goes with revision {row['revision']}; "
        f"revision {row['newest_revision']} is newer and no part of it"
    )


def status(
    campaign: Annotated[
        int | None,
        typer.Argument(metavar="[CAMPAIGN]", help="Default: all of them.", callback=_possible),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show where a campaign stands: the ledger of its letters."""
    with opened(config) as mailer:
        output.warn_if(mailer.homeless())
        if campaign is None:
            rows = mailer.campaigns()
            if json:
                output.emit({"campaigns": rows, "notices": mailer.notices()})
                return
            notices.show(mailer.notices())
            output.warn_of_some(mailer.sender_warnings(), "mailer check")
            output.say_only_to(mailer.settings.sending.only_to)
            _table(rows)
            return
        row = mailer.status(campaign)
        if json:
            output.emit(row)
        else:
            notices.show(mailer.notices(), campaign)
            output.say_only_to(mailer.settings.sending.only_to)
            show_ledger(row)


def _changed(row: dict[str, Any], json: bool) -> None:
    if json:
        output.emit(row)
    else:
        show_ledger(row)


def pause(campaign: CampaignArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Stop handing over; calls in flight end."""
    with opened(config) as mailer:
        _changed(mailer.pause(campaign), json)


def resume(
    campaign: CampaignArgument, yes: YesOption = False, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Let a paused campaign go on, or a missed one go now; `worker` or `serve` does the work."""
    with opened(config) as mailer:
        row = mailer.status(campaign)
        is_late = mailer.is_late(campaign)
        if is_late:
            confirm(f"Campaign {campaign} missed {due_in_words(row['due'])}. Send it now?", yes=yes)
        _changed(mailer.resume(campaign, even_late=is_late), json)
        output.say("Next: [bold]mailer worker[/] (or a running 'mailer serve' goes on by itself)")


def cancel(
    campaign: CampaignArgument, yes: YesOption = False, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """End a campaign: what can be taken back from SendGrid is, and the rest stops."""
    with opened(config) as mailer:
        row = mailer.status(campaign)
        back = f" and take {row['revocable']:,} back from SendGrid" if row["revocable"] else ""
        beyond = f" {row['beyond_reach']:,} are beyond reach." if row["beyond_reach"] else ""
        confirm(
            f"Withhold {row['waiting']:,} letters of campaign {campaign}{back} for good?{beyond}", yes=yes
        )
        last = -1

        def told(status: dict[str, Any]) -> None:
            nonlocal last
            if status["revocable"] != last:
                last = status["revocable"]
                output.note(f"Taking back: {last:,} letters wait for SendGrid's word.")

        _changed(mailer.cancel(campaign, told), json)


def resolve(
    campaign: CampaignArgument,
    sent: Annotated[bool, typer.Option("--sent", help="They went: count them as handed over.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send them again: some may get it twice.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Leave them: some may never get it.")] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Decide what becomes of held letters, whose answer was never seen."""
    decisions: list[tuple[Decision, bool]] = [("sent", sent), ("again", again), ("drop", drop)]
    chosen = [decision for decision, is_chosen in decisions if is_chosen]
    if len(chosen) != 1:
        raise typer.BadParameter("say one of --sent, --again, --drop.")
    with opened(config) as mailer:
        row = mailer.status(campaign)
        if not row["held"]:
            raise NewsletterError(
                f"campaign {campaign} holds no letter.", cure=f"See 'mailer status {campaign}'."
            )
        evidence = mailer.evidence(campaign)
        for call in evidence:
            output.say(output.plain(call["line"]))
        consequence = {
            "sent": "count as handed over; nothing is sent, and who has it not never gets it",
            "again": "are sent again; who has it already gets it twice",
            "drop": "are left; who has it not never gets it, and no other campaign of this issue sends it",
        }[chosen[0]]
        confirm(f"{row['held']:,} held letters {consequence}. Go on?", yes=yes)
        resolved = mailer.resolve(campaign, chosen[0])
        _changed(resolved | ({"evidence": evidence} if json else {}), json)
        if again:
            output.say("Next: [bold]mailer worker[/]")
