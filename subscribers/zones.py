"""Names of time zones that mean a place: one list for readers, rules and schedules."""

from functools import cache
from zoneinfo import available_timezones

# Whatever the machine is set to, and nothing: neither goes with a reader to another machine.
_NO_PLACES = {"localtime", "Factory"}


@cache
def every_zone() -> dict[str, str]:
    """The IANA names, by their casefolded form."""
    return {name.casefold(): name for name in sorted(available_timezones() - _NO_PLACES)}


def find_zone(text: str) -> str | None:
    """The IANA name of a zone, whatever its letter case; None when there is none."""
    return every_zone().get(text.strip().casefold())
