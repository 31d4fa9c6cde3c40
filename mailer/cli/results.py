"""The numbers of a campaign on a terminal."""

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, opened
from mailer.cli.sending import CampaignArgument
from mailer.insight.stats import ByVerdict, CampaignStats


def stats(campaign: CampaignArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show what came back: people first, machines beside them, every rate with its base."""
    with opened(config) as mailer:
        numbers = mailer.stats(campaign)
        if json:
            output.emit(numbers.as_json())
            return
        show(numbers)


def show(numbers: CampaignStats) -> None:
    """The numbers as tables."""
    output.say(
        f"[bold]{numbers.sent:,} sent[/], {numbers.measurable:,} of them measurable "
        "(they agreed to be measured)"
    )
    output.say(
        f"  {numbers.delivered:,} delivered · {numbers.bounced:,} bounced · "
        f"{numbers.complained:,} complained · {numbers.unsubscribed:,} unsubscribed"
    )
    output.say(f"  opened by {_by_people(numbers.opened, numbers.measurable)}")
    output.say(f"  clicked by {_by_people(numbers.clicked, numbers.measurable)}")
    output.say(
        f"  from everybody else, without names: {numbers.anonymous.opens:,} opens, "
        f"{numbers.anonymous.clicks:,} clicks"
    )
    output.table(
        ("", "Story", "Topics", "Reached", "Clicked by"),
        [
            (
                story.number,
                story.title,
                ", ".join(story.topics) or "everyone",
                f"{story.reached:,}",
                f"{story.clicked:,}",
            )
            for story in numbers.stories
        ],
        right=(0, 3, 4),
    )


def _by_people(verdicts: ByVerdict, measurable: int) -> str:
    return (
        f"{verdicts.human:,} people of {measurable:,} measurable"
        f" (machines only: {verdicts.machine:,}, unclear: {verdicts.unknown:,})"
    )
