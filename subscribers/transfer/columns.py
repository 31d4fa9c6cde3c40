"""Which column of a file means what: our own names, Mailchimp's, and everything else as attributes.

Columns of IP addresses are read past: no IP address is kept.
"""

import re
from dataclasses import dataclass

from subscribers.errors import NewsletterError
from subscribers.transfer.guard import unguard
from subscribers.transfer.reading import fold

# A person with more attributes than this is a table of its own.
COLUMNS_MAX = 500
ATTRIBUTE_NAME_MAX_CHARACTERS = 100

# Folded name -> what it means. Mailchimp's names stand beside ours.
_MEANINGS = {
    "email": "email",
    "emailaddress": "email",
    "mail": "email",
    "name": "name",
    "firstname": "first_name",
    "fname": "first_name",
    "lastname": "last_name",
    "lname": "last_name",
    "topics": "topics",
    "lists": "lists",
    "tags": "tags",
    "timezone": "timezone",
    "trackconsent": "track_consent",
    "consentat": "consent_at",
    "consentsource": "consent_source",
    "consentwording": "consent_wording",
    "optintime": "optin_at",
    "confirmtime": "confirm_at",
    "unsubtime": "left_at",
    # What an export writes besides, so that another site keeps who left and what was said in person. No
    # other system has such names: its own "status" or "subscription" is an attribute.
    "newsletterstatus": "status",
    "newsletterleftat": "left_at",
    "newslettertopicschosenat": "chosen_at",
    "newslettertrackwithdrawnat": "withdrawn_at",
    "cleantime": "cleaned_at",
}
EMAIL_NAMES = frozenset(name for name, meaning in _MEANINGS.items() if meaning == "email")

_IP_WORDS = frozenset({"ip", "ips", "ip4", "ip6", "ipv4", "ipv6", "ipaddress", "ipaddr", "remoteaddr"})
# Written in one word; "zip" and "membership" end alike and stay.
_IP_ENDINGS = tuple(
    f"{whose}ip" for whose in ("optin", "confirm", "signup", "user", "client", "remote", "real")
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions: `meaning` of the columns we know, `attributes` of all others, `skipped` for the rest."""

    meaning: dict[str, int]
    attributes: tuple[tuple[int, str], ...]
    skipped: tuple[str, ...]
    width: int


def read_header(header: list[str], *, file: str, line: int) -> Columns:
    """What the columns mean. Raises NewsletterError when two mean the same, or there are too many."""
    if len(header) > COLUMNS_MAX:
        raise NewsletterError(
            f"the file has {len(header):,} columns; more than {COLUMNS_MAX} are not read.",
            file=file,
            line=line,
            cure="Keep the columns you need.",
        )
    names = [unguard(cell.strip()).strip() for cell in header]
    meaning: dict[str, int] = {}
    attributes: dict[str, int] = {}
    skipped: list[str] = []
    has_name = any(_MEANINGS.get(fold(name)) == "name" for name in names)
    for position, name in enumerate(names):
        known = _MEANINGS.get(fold(name))
        if has_name and known in ("first_name", "last_name"):
            known = None  # the whole name is there; its parts are attributes like any other
        if _is_ip(name):
            skipped.append(name)
        elif known is not None:
            _take_once(meaning, known, position, names, file=file, line=line)
        else:
            _take_once(attributes, _attribute_name(name, position), position, names, file=file, line=line)
    ordered = tuple((position, name) for name, position in attributes.items())
    return Columns(meaning, ordered, tuple(skipped), len(header))


def is_own_name(name: str) -> bool:
    """Whether an import would read a column of this name as something else than an attribute."""
    return fold(name) in _MEANINGS or _is_ip(name)


def _take_once(
    taken: dict[str, int], key: str, position: int, names: list[str], *, file: str, line: int
) -> None:
    if key in taken:
        raise NewsletterError(
            f"two columns mean the same: '{names[taken[key]]}' ({taken[key] + 1}) "
            f"and '{names[position]}' ({position + 1}).",
            file=file,
            line=line,
            cure="Rename or remove one of them.",
        )
    taken[key] = position


def _attribute_name(name: str, position: int) -> str:
    printable = "".join(character for character in name if character.isprintable())
    return printable[:ATTRIBUTE_NAME_MAX_CHARACTERS].strip() or f"column {position + 1}"


def _is_ip(name: str) -> bool:
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    return not _IP_WORDS.isdisjoint(word.casefold() for word in words) or fold(name).endswith(
        ("ipaddress", "ipaddr", "remoteaddr", "forwardedfor", *_IP_ENDINGS)
    )
