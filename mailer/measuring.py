"""The one rule of whose opens and clicks are counted in person; everybody else's are anonymous totals.

Asked when a letter is frozen (its token), when it is sent (its links), when a hit or an event comes
back (whether it names the reader) and when a segment asks what somebody did.
"""

from typing import Literal

from sqlalchemy import ColumnElement, false, true

# `[tracking] individual`
Individual = Literal["with-consent", "everyone", "nobody"]


def is_measured(individual: Individual, has_consent: bool) -> bool:
    """Whether a reader with or without consent is measured."""
    return has_consent if individual == "with-consent" else individual == "everyone"


def are_measured(individual: Individual, consents: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same of many, as a condition on their consent."""
    if individual == "with-consent":
        return consents
    return true() if individual == "everyone" else false()
