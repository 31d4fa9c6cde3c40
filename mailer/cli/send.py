"""The command that sends an issue, at once or at a time."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli import EXIT_STOPPED, output
from mailer.cli.issues import IssueArgument
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened
from mailer.cli.sending import run_with_progress, show_ledger
from mailer.editions.check import needs_confirmation
from subscribers.errors import NewsletterError

if TYPE_CHECKING:
    from mailer.service import Mailer

EXIT_PAUSED = 1

# Names of lists and segments, as `Mailer.plan` takes them.
Chosen = Mapping[str, list[str]]
# What a person agreed to; the number of its campaign.
Begin = Callable[[], int]


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
    at: Annotated[
        str | None, typer.Option("--at", help='At this time: "2026-04-10 07:30".', metavar="WHEN")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Zone of --at. Default: the newsletter's.", metavar="ZONE")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="At that time in each reader's own zone.")] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send an issue, now or at a time: every reader of the audience gets the edition of their topics."""
    if at is None and (zone is not None or local):
        raise typer.BadParameter("--zone and --local need a time: --at WHEN.")
    chosen: Chosen = {
        "lists": lists or [],
        "segments": segments or [],
        "exclude_lists": exclude_lists or [],
        "exclude_segments": exclude_segments or [],
    }
    with opened(config) as mailer:
        mailer.require_ready()
        output.warn_of_some(mailer.sender_warnings(), "mailer check")
        if at is not None:
            _plan(mailer, issue, chosen, at, zone, local=local, yes=yes, json=json)
            return
        output.warn_if(mailer.closed_now())
        running = mailer.unfinished_campaign(issue)
        begin = (
            _go_on(mailer, running, chosen, yes=yes)
            if running is not None
            else _start(mailer, issue, chosen, yes=yes)
        )
        _run(mailer, issue, begin, json=json)


def _go_on(mailer: "Mailer", running: dict[str, Any], chosen: Chosen, *, yes: bool) -> Begin:
    """Go on with the campaign that the issue has already."""
    number: int = running["campaign"]
    if any(chosen.values()):
        mailer.require_same_audience(number, **chosen)
    mailer.require_under_way(number)
    output.say(
        f"Campaign {number} of this issue is {running['status']}: "
        f"{running['accepted']:,} of {running['frozen']:,} handed to SendGrid."
    )
    output.say_only_to(mailer.settings.sending.only_to)
    confirm(f"Go on with campaign {number}?", yes=yes)
    return lambda: mailer.continue_campaign(number)


def _start(mailer: "Mailer", issue: str, chosen: Chosen, *, yes: bool) -> Begin:
    plan = _looked_at(mailer, issue, chosen)
    confirm(f"Send to {_whom(plan)}?", yes=yes)
    return lambda: mailer.start(plan)


def _plan(
    mailer: "Mailer",
    issue: str,
    chosen: Chosen,
    at: str,
    zone: str | None,
    *,
    local: bool,
    yes: bool,
    json: bool,
) -> None:
    """Plan a campaign for a time; a clock that ticks sends it."""
    mailer.require_no_campaign(issue)
    plan = _looked_at(mailer, issue, chosen)
    when = mailer.when(plan, at, zone, local=local)
    for remark in when.remarks:
        output.warn(remark)
    confirm(f"Send to {_whom(plan)} on {when.in_words()}, {when.at:%Y-%m-%d %H:%M} UTC?", yes=yes)
    campaign = mailer.schedule_planned(plan, when)
    status = mailer.status(campaign)
    if json:
        output.emit({**status, "remarks": list(when.remarks)})
        return
    show_ledger(status)
    output.say("Next: [bold]mailer schedule[/]; 'mailer serve' or 'mailer worker' must run at that time.")


def _looked_at(mailer: "Mailer", issue: str, chosen: Chosen) -> Any:
    """The plan, shown. Raises when nobody would get it, or an approval is missing."""
    mailer.require_approved(issue)
    plan = mailer.plan(issue, **chosen)
    _show_plan(plan)
    output.say_only_to(mailer.settings.sending.only_to)
    if plan.readers == 0:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.skipped.items())
        raise NewsletterError(
            f"nobody would get this issue{f': {reasons}' if reasons else ''}.",
            field="audience",
            cure="Choose another audience, or import readers with 'mailer subscribers import'.",
        )
    return plan


def _whom(plan: Any) -> str:
    """How many get it; clipped editions are named (design, decision 16)."""
    clipped = sum(needs_confirmation(edition.html_bytes) for edition in plan.editions)
    cut = f", {clipped} of {len(plan.editions)} editions so long that Gmail cuts them off" if clipped else ""
    return f"{plan.readers:,} readers{cut}"


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


def _run(mailer: "Mailer", issue: str, begin: Begin, *, json: bool) -> None:
    """Begin, hand over until nothing is left to do, or until stopped; end with the ledger."""
    from mailer.serving import stopped_by_signals

    with stopped_by_signals() as stopped:
        campaign = begin()
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
