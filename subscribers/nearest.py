"""What somebody may have meant who typed a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches

# How alike two names are that are taken for one: difflib's own usual.
CUTOFF = 0.6
# Of a long text the beginning says enough, and comparing takes the square of its length.
COMPARED_CHARACTERS = 60


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word; None when none is like it."""
    close = get_close_matches(word[:COMPARED_CHARACTERS], list(known), n=1, cutoff=CUTOFF)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The first half of a cure, with a space after it: "Did you mean 'car-t'? ", or nothing."""
    name = nearest(word, known)
    return f"Did you mean '{name}'? " if name else ""
