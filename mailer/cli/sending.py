"""Commands of a campaign's life: send, worker, status, pause, resume, cancel, resolve."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mailer.cli import EXIT_STOPPED, notices, output
from mailer.cli.issues import IssueArgument
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened
from mailer.editions.check import needs_confirmation
from subscribers.errors import NewsletterError

if TYPE_CHECKING:
    from threading import Event


def _possible(campaign: int | None) -> int | None:
    """A number that no campaign can have is answered like one that none has."""
    from mailer.delivery.campaigns import require_possible

    if campaign is not None:
        require_possible(campaign)
    return campaign


CampaignArgument = Annotated[
    int,
    typer.Argument(
        help="Number of the campaign; see 'mailer campaigns'.", metavar="CAMPAIGN", callback=_possible
    ),
]
EXIT_PAUSED = 1
Decision = Literal["sent", "again", "drop"]


def send(
    issue: IssueArgument,
    lists: Annotated[list[str] | None, typer.Option("--list", help="To this list.", metavar="LIST")] = None,
    segments: Annotated[
        list[str] | None, typer.Option("--segment", help="To this segment.", metavar="SEGMENT")
    ] = None,
    exclude_lists: Annotated[
        list[str] | None, typer.Option("--exclude-list", help="Not to this list.", metavar="LIST")
    ] = None,
    exclude_segments: Annotated[
        list[str] | None, typer.Option("--exclude-segment", help="Not to this segment.", metavar="SEGMENT")
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send an issue now: every reader of the audience gets the edition of their topics."""
    from mailer.serving import stopped_by_signals

    with opened(config) as mailer:
        mailer.require_ready()
        output.warn_of_some(mailer.sender_warnings(), "mailer check")
        running = mailer.unfinished_campaign(issue)
        if running is not None:
            if lists or segments or exclude_lists or exclude_segments:
                mailer.require_same_audience(
                    running["campaign"],
                    lists=lists or [],
                    segments=segments or [],
                    exclude_lists=exclude_lists or [],
                    exclude_segments=exclude_segments or [],
                )
            output.say(
                f"Campaign {running['campaign']} of this issue is {running['status']}: "
                f"{running['accepted']:,} of {running['frozen']:,} handed to SendGrid."
            )
            output.say_only_to(mailer.settings.sending.only_to)
            confirm(f"Go on with campaign {running['campaign']}?", yes=yes)
            campaign = mailer.continue_campaign(running["campaign"])
        else:
            plan = mailer.plan(
                issue,
                lists=lists or [],
                segments=segments or [],
                exclude_lists=exclude_lists or [],
                exclude_segments=exclude_segments or [],
            )
            _show_plan(plan)
            output.say_only_to(mailer.settings.sending.only_to)
            if plan.readers == 0:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.skipped.items())
                raise NewsletterError(
                    f"nobody would get this issue{f': {reasons}' if reasons else ''}.",
                    field="audience",
                    cure="Choose another audience, or import readers with 'mailer subscribers import'.",
                )
            confirm(_question(plan), yes=yes)
            campaign = mailer.start(plan)
        with stopped_by_signals() as stopped:
            final = run_with_progress(mailer, campaign, stopped)
        if json:
            output.emit(final)
        else:
            show_ledger(final)
            if final["status"] == "finished":
                output.say(f"Next: [bold]mailer stats {campaign}[/]")
        if final["status"] == "paused":
            raise typer.Exit(EXIT_PAUSED)
        if stopped.is_set() and final["status"] == "sending":
            output.note(
                f"Stopped; calls in flight have ended. To go on: 'mailer send {issue}' or 'mailer worker'."
            )
            raise typer.Exit(EXIT_STOPPED)


def _question(plan: Any) -> str:
    """What to answer before letters leave; clipped ones are named (design, decision 16)."""
    clipped = sum(needs_confirmation(edition.html_bytes) for edition in plan.editions)
    cut = f", {clipped} of {len(plan.editions)} editions so long that Gmail cuts them off" if clipped else ""
    return f"Send to {plan.readers:,} readers{cut}?"


def _show_plan(plan: Any) -> None:
    output.table(
        ("Edition", "Stories", "Subject", "Readers"),
        [
            (
                edition.label,
                " ".join(str(n) for n in edition.stories),
                edition.subject,
                f"{edition.audience:,}",
            )
            for edition in plan.editions
        ],
        right=(3,),
    )
    for reason, count in plan.skipped.items():
        output.say(f"{count:,} get nothing: {output.plain(reason)}")
    for edition in plan.editions:
        for warning in edition.warnings:
            output.warn(f"{edition.label}: {warning}")


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
    output.say(
        f"  frozen {status['frozen']:,} = waiting {status['waiting']:,} + accepted {status['accepted']:,}"
        f" + rejected {status['rejected']:,} + withheld {status['withheld']:,} + held {status['held']:,}"
    )
    for reason, count in status["skipped"].items():
        output.say(f"  {count:,} got nothing: {output.plain(reason)}")
    if status["pause_reason"]:
        output.say(f"  [yellow]paused:[/] {output.plain(status['pause_reason'])}")
        output.say(f"Next: mend it, then [bold]mailer resume {number}[/] and [bold]mailer worker[/]")
    if status["held"]:
        output.say(
            f"  [yellow]{status['held']:,} are held:[/] the answer was not seen, nobody knows whether they "
            "went. An event of theirs settles it; otherwise you decide:"
        )
        output.say(f"  [bold]mailer resolve {number} --sent | --again | --drop[/]")


def worker(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with every campaign that is under way, until stopped."""
    from mailer.serving import work as until_stopped

    with opened(config) as mailer:
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
        ("", "Issue", "Status", "Frozen", "Waiting", "Accepted", "Rejected", "Withheld", "Held"),
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


def resume(campaign: CampaignArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let a paused campaign go on; `worker` or `serve` does the work."""
    with opened(config) as mailer:
        _changed(mailer.resume(campaign), json)
        output.say("Next: [bold]mailer worker[/] (or a running 'mailer serve' goes on by itself)")


def cancel(
    campaign: CampaignArgument, yes: YesOption = False, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """End a campaign: what has not left will not leave."""
    with opened(config) as mailer:
        row = mailer.status(campaign)
        confirm(f"Withhold {row['waiting']:,} letters of campaign {campaign} for good?", yes=yes)
        _changed(mailer.cancel(campaign), json)


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
        for line in mailer.evidence(campaign):
            output.say(output.plain(line))
        consequence = {
            "sent": "count as handed over; nothing is sent",
            "again": "are sent again; who has it already gets it twice",
            "drop": "are left; who has it not never gets it",
        }[chosen[0]]
        confirm(f"{row['held']:,} held letters {consequence}. Go on?", yes=yes)
        _changed(mailer.resolve(campaign, chosen[0]), json)
        if again:
            output.say("Next: [bold]mailer worker[/]")
