"""The numbers of a campaign on a terminal."""

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, opened
from mailer.cli.sending import CampaignArgument


def stats(campaign: CampaignArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show what came back: people first, machines beside them, every rate with its base."""
    with opened(config) as mailer:
        numbers = mailer.stats(campaign).as_json()
        if json:
            output.emit(numbers)
            return
        show(numbers)


def show(numbers: dict[str, object]) -> None:
    """The numbers as tables."""
    sent, measurable = int(str(numbers["sent"])), int(str(numbers["measurable"]))
    opened_by, clicked_by = _verdicts(numbers["opened"]), _verdicts(numbers["clicked"])
    output.say(f"[bold]{sent:,} sent[/], {measurable:,} of them measurable (they agreed to be measured)")
    output.say(
        f"  {numbers['delivered']:,} delivered · {numbers['bounced']:,} bounced · "
        f"{numbers['complained']:,} complained · {numbers['unsubscribed']:,} unsubscribed"
    )
    output.say(
        f"  opened by {opened_by['human']:,} people of {measurable:,} measurable"
        f" (machines only: {opened_by['machine']:,}, unclear: {opened_by['unknown']:,})"
    )
    output.say(
        f"  clicked by {clicked_by['human']:,} people of {measurable:,} measurable"
        f" (machines only: {clicked_by['machine']:,}, unclear: {clicked_by['unknown']:,})"
    )
    anonymous = numbers["anonymous"]
    if isinstance(anonymous, dict):
        output.say(
            f"  from everybody else, without names: {anonymous['opens']:,} opens, "
            f"{anonymous['clicks']:,} clicks"
        )
    stories = numbers["stories"]
    if isinstance(stories, list):
        output.table(
            ("", "Story", "Topics", "Reached", "Clicked by"),
            [
                (
                    story["number"],
                    story["title"],
                    ", ".join(story["topics"]) or "everyone",
                    f"{story['reached']:,}",
                    f"{story['clicked']:,}",
                )
                for story in stories
            ],
            right=(0, 3, 4),
        )


def _verdicts(value: object) -> dict[str, int]:
    return {str(name): int(count) for name, count in value.items()} if isinstance(value, dict) else {}
