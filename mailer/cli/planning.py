"""Commands about time and approval: ready, approve, schedule."""

from typing import Any

from mailer.cli import output
from mailer.cli.issues import IssueArgument
from mailer.cli.options import ConfigOption, JsonOption, opened
from mailer.cli.sending import due_in_words, of_older_revision


def ready(issue: IssueArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Say that the newest revision of an issue is done; somebody else may approve it."""
    with opened(config) as mailer:
        said = mailer.ready(issue)
        if json:
            output.emit(said)
            return
        _show_mark(said)
        output.say(f"Next: [bold]mailer approve {output.plain(issue)}[/]")


def approve(issue: IssueArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let the newest revision of an issue go, with the templates as they are now."""
    with opened(config) as mailer:
        said = mailer.approve(issue)
        if json:
            output.emit(said)
            return
        _show_mark(said)
        if said["campaign"] is not None and said["due"] is not None:
            output.say(f"Campaign {said['campaign']} goes with it: {due_in_words(said['due'])}")
        output.say("Next: [bold]mailer schedule[/]")


def _show_mark(said: dict[str, Any]) -> None:
    output.say(
        f"[bold]{output.plain(said['issue'])}[/] · revision {said['revision']} is [bold]{said['mark']}[/], "
        f"said {output.plain(said['by'])}"
    )


def schedule(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show what goes next, and what waits for its turn."""
    with opened(config) as mailer:
        plan = mailer.upcoming()
        if json:
            output.emit(plan)
            return
        for remark in plan["remarks"]:
            output.warn(remark)
        if plan["weekly"] is not None:
            output.say(f"Every week: {plan['weekly']['rule']} ({plan['weekly']['zone']})")
        if not plan["next"]:
            output.say("Nothing is planned. Next: [bold]mailer send ISSUE --at WHEN[/]")
        output.table(
            ("Planned for", "Issue", "", "Status"),
            [
                (
                    due_in_words(line),
                    line["issue"] or "the next approved issue",
                    line["campaign"] or "",
                    line["status"] or "nothing approved yet",
                )
                for line in plan["next"]
            ],
            right=(2,),
        )
        for line in plan["next"]:
            if line["revision"] != line["newest_revision"]:
                output.say(f"Campaign {line['campaign']}: {of_older_revision(line)}")
            if line["remark"]:
                output.say(output.plain(line["remark"]))
        for each in plan["approved"]:
            said = f"{each['issue']} (revision {each['revision']}) is approved by {each['by']}"
            output.say(output.plain(f"{said}, and waits for its week."))
