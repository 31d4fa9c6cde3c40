"""What needs a person, on top of a status."""

from collections.abc import Sequence
from typing import Any

from mailer.cli import output


def show(notices: Sequence[dict[str, Any]], campaign: int | None = None) -> None:
    """Open notices with what to do, then those that are over since a day; of one campaign, or all."""
    for notice in notices:
        if campaign is not None and notice["campaign"] not in (None, campaign):
            continue
        said, cure = output.plain(notice["said"]), output.plain(notice["cure"])
        since = f"since {notice['raised_at'][:16].replace('T', ' ')} UTC"
        if notice["ended_at"] is None:
            output.say(f"[bold yellow]needs you[/] {said} [dim]({since})[/]\n          {cure}")
        else:
            until = f"until {notice['ended_at'][:16].replace('T', ' ')} UTC"
            output.say(f"[dim]over      {said} ({since}, {until})[/]")
