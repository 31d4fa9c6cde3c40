"""What each reader does with a letter, decided by seed and address alone.

Pure: no clock, no network. The same seed gives the same people on every machine; a reader who
bounces today bounces next week too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from mailer.sandbox.options import Rates

MAX_LINKS = 3  # that one person asks for

_T = TypeVar("_T")


class Fate(StrEnum):
    """What becomes of a letter on its way."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"  # then delivered
    BOUNCED = "bounced"
    BOUNCED_LATE = "bounced_late"  # after "delivered"
    BLOCKED = "blocked"
    INVALID = "invalid"  # dropped by the provider
    COMPLAINED = "complained"  # delivered, then reported as spam


REACHED = frozenset({Fate.DELIVERED, Fate.DEFERRED, Fate.COMPLAINED})


class Opens(StrEnum):
    NOT = "not"
    PERSON = "human"
    APPLE = "machine"
    PROXY = "unknown"


@dataclass(frozen=True, slots=True)
class Reader:
    """One person's plan for one letter: `links` is how many are asked for, `draw` (0 to 1) picks the rest."""

    fate: Fate
    opens: Opens = Opens.NOT
    links: int = 0
    leaves: bool = False
    leaves_at_provider: bool = False
    draw: float = 0.0


def reader(seed: int, email: str, rates: Rates) -> Reader:
    """The plan of the person behind an address."""

    def draw(what: str) -> float:
        digest = hashlib.blake2b(f"{seed}:{what}:{email.casefold()}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    fate = _pick(
        draw("fate"),
        (
            (rates.invalid, Fate.INVALID),
            (rates.bounced, Fate.BOUNCED),
            (rates.bounced_late, Fate.BOUNCED_LATE),
            (rates.blocked, Fate.BLOCKED),
            (rates.deferred, Fate.DEFERRED),
        ),
        Fate.DELIVERED,
    )
    if fate not in REACHED:
        return Reader(fate, draw=draw("which"))
    if draw("complains") < rates.complained:
        fate = Fate.COMPLAINED
    opens = _pick(
        draw("opens"),
        (
            (rates.opened, Opens.PERSON),
            (rates.opened_by_apple, Opens.APPLE),
            (rates.opened_by_proxy, Opens.PROXY),
        ),
        Opens.NOT,
    )
    links = 1 + int(draw("links") ** 2 * MAX_LINKS) if draw("clicks") < rates.clicked else 0
    return Reader(
        fate,
        opens,
        links,
        leaves=draw("leaves") < rates.left,
        leaves_at_provider=draw("leaves at provider") < rates.left_at_provider,
        draw=draw("which"),
    )


def rank(seed: int, email: str) -> bytes:
    """An order of people that a seed gives: the first ones sit behind a mail gateway."""
    return hashlib.blake2b(f"{seed}:gateway:{email.casefold()}".encode(), digest_size=8).digest()


def _pick(draw: float, shares: Sequence[tuple[float, _T]], rest: _T) -> _T:
    for share, value in shares:
        if draw < share:
            return value
        draw -= share
    return rest
