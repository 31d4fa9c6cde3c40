"""Addresses: what a person typed, made into what is mailed and what is compared.

Syntax is email-validator's, without a look at DNS. An address that SendGrid cannot mail is refused at
this door: one bad recipient rejects the whole call of a thousand.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES, EMAIL_MAX_LENGTH

from subscribers.errors import NewsletterError

# Nothing longer is looked at closely: validating text is slower than linear in its length.
MAX_CHARACTERS = 1_000
LOCAL_MAX_CHARACTERS = 64  # RFC 5321, 4.5.3.1.1
# Distinct domains of a large list; an entry takes about half a kilobyte.
DOMAIN_CACHE = 16_384
# Pasted along with an address, seen by nobody.
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"

# The dot-atom of RFC 5322, 3.2.3. email-validator takes such a local part as it is.
_PLAIN = re.compile(
    r"([a-zA-Z0-9_!#$%&'*+\-/=?^`{|}~]+(?:\.[a-zA-Z0-9_!#$%&'*+\-/=?^`{|}~]+)*)@([a-zA-Z0-9.\-]+)", re.ASCII
)
# RFC 2142: these mailboxes ignore case, so email-validator writes them in small letters.
_ROLES = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)


class AddressRefused(NewsletterError):
    """A text that is no address we can write to; the message never repeats the address."""


class Address(NamedTuple):
    """`email` is mailed (an international domain as punycode), `key` is compared."""

    email: str
    key: str


class _Domain(NamedTuple):
    ascii: str
    longest_bytes: int  # of the forms that email-validator measures


def parse_address(text: str) -> Address:
    """The address in a text. Raises AddressRefused with the reason."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        local, domain = plain[1], _domain(plain[2])
        if (
            domain is not None
            and len(local) <= LOCAL_MAX_CHARACTERS
            and len(local) + 1 + domain.longest_bytes <= EMAIL_MAX_LENGTH
        ):
            folded = local.lower()
            return Address(
                (folded if folded in _ROLES else local) + "@" + domain.ascii, f"{folded}@{domain.ascii}"
            )
    return parse_slowly(text)


def parse_slowly(text: str) -> Address:
    """The same answer by email-validator alone: the measure that the fast path is held to."""
    text = unicodedata.normalize("NFC", text.strip().strip(INVISIBLE).strip())
    if not text:
        raise AddressRefused("there is no address.")
    if len(text) > MAX_CHARACTERS:
        raise AddressRefused(f"an address of {len(text):,} characters is too long.")
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise AddressRefused(_reason(text, str(error))) from None
    email = found.ascii_email
    assert email is not None  # without SMTPUTF8 there is an ASCII form
    return Address(email, email.casefold())


def spellings(email: str) -> tuple[str, ...]:
    """How people write an address that we mail: its international domain as punycode or in letters."""
    found = validate_email(email, check_deliverability=False, allow_smtputf8=False, strict=True)
    return tuple(dict.fromkeys((email, f"{email.rpartition('@')[0]}@{found.domain}")))


def mask(email: str) -> str:
    """`jane@example.org` -> `j•••@e•••.org`: enough for its owner, for a page or a log."""
    local, at, domain = email.rpartition("@")
    if not at or not local:
        return "•••"
    name, dot, top = domain.rpartition(".")
    return f"{local[0]}•••@{name[:1]}•••{dot}{top}"


@lru_cache(maxsize=DOMAIN_CACHE)
def _domain(domain: str) -> _Domain | None:
    """The mailed form of a domain, or None when email-validator must say what is wrong with it."""
    try:
        found = validate_email("a@" + domain, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        return None
    assert found.ascii_domain is not None
    forms = (domain, found.domain, found.ascii_domain)
    return _Domain(found.ascii_domain, max(len(form.encode()) for form in forms))


def _reason(text: str, said: str) -> str:
    local = text.rpartition("@")[0]
    strange = sorted({character for character in local if not character.isascii()})
    if strange and "Internationalized characters" in said:
        shown = ", ".join(repr(character) for character in strange[:5])
        return (
            f"the part before the @ has letters that SendGrid cannot mail ({shown}): "
            "it delivers plain ASCII names only, not SMTPUTF8."
        )
    return said[:1].lower() + said[1:]
