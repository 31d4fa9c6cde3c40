"""Every address and every token of the system.

A token is derived, never stored: key number, id and 96 bits of an HMAC that are the purpose's own.
One purpose opens no other door. `web.secrets` is a list: the first signs, all verify, so links work for
ever.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from mailer.config import Settings

ID_BYTES = 5  # about 10**12 letters
MAC_BYTES = 12  # 96 bits: guessing one at 10,000 tries a second takes 10**17 years
TOKEN_CHARACTERS = 24  # base64url of 1 + ID_BYTES + MAC_BYTES = 18 bytes, without padding


# Custom args of a letter: SendGrid gives them back in each of its events.
DELIVERY_ARG = "nl_d"  # the token of the delivery
ATTEMPT_ARG = "nl_a"  # the id of the call


class Purpose(StrEnum):
    """The door that a token opens; no value may ever change.

    Those of a letter choose a place in its HMAC by the name of a field; any other enters an HMAC of its own.
    """

    READ = "read"  # /v, id of a delivery
    LEAVE = "leave"  # /u, id of a delivery: its campaign is what the reader left from
    PREFS = "prefs"  # /p, id of a delivery
    TRACK = "track"  # /o and /c, id of a delivery
    # /o and /c of everybody without consent, id of a campaign: one token for all of them
    TRACK_CAMPAIGN = "track-campaign"
    EVENT = "event"  # the custom arg nl_d, id of a delivery


class LetterTokens(NamedTuple):
    """The tokens of one letter, by purpose; their places in its HMAC must never change."""

    read: str
    leave: str
    prefs: str
    track: str
    event: str


# A call carries five tokens for each of 1,000 letters: one HMAC-SHA-512 of the letter's id has room
# for all five, and a part of it says nothing about the others.
LETTER = b"letter"
LETTER_MAC_BYTES = MAC_BYTES * len(LetterTokens._fields)
# A field that is no purpose's value fails here, at import: its tokens would open no door.
_PLACES = {Purpose(name): MAC_BYTES * place for place, name in enumerate(LetterTokens._fields)}
assert set(Purpose) - set(_PLACES) == {Purpose.TRACK_CAMPAIGN}
LETTER_CHARACTERS = (1 + ID_BYTES + LETTER_MAC_BYTES) * 4 // 3


class Tokens:
    """Signs and opens tokens with the keys of `web.secrets`."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("web.secrets is empty")
        self._keys = [hashlib.sha256(secret.encode()).digest() for secret in secrets]
        # A key is known by its own fingerprint, so that adding one in front renames no other.
        self._numbers = [hashlib.sha256(b"number" + key).digest()[0] for key in self._keys]

    def sign(self, purpose: Purpose, number: int) -> str:
        """The 24-character token of an id; ASCII letters, digits, `-` and `_`."""
        body = number.to_bytes(ID_BYTES, "big")
        mac = self._mac(self._keys[0], purpose, body)
        return base64.urlsafe_b64encode(bytes([self._numbers[0]]) + body + mac).decode("ascii")

    def sign_letters(self, numbers: Sequence[int]) -> list[LetterTokens]:
        """All tokens of these letters, as `sign` makes them; the pads of the HMAC are hashed ahead."""
        pad = self._keys[0].ljust(hashlib.sha512().block_size, b"\0")
        inner = hashlib.sha512(bytes(byte ^ 0x36 for byte in pad) + LETTER + b"\0").copy
        outer = hashlib.sha512(bytes(byte ^ 0x5C for byte in pad)).copy
        key_number = bytes([self._numbers[0]])
        parts: list[bytes] = []
        for number in numbers:
            body = number.to_bytes(ID_BYTES, "big")
            within, mac = inner(), outer()
            within.update(body)
            mac.update(within.digest())
            parts += (key_number, body, mac.digest()[:LETTER_MAC_BYTES])
        # Every part is a multiple of three bytes, so that one encoding serves for all of them.
        text = base64.urlsafe_b64encode(b"".join(parts)).decode("ascii")
        return [_cut(text[at : at + LETTER_CHARACTERS]) for at in range(0, len(text), LETTER_CHARACTERS)]

    def open(self, purpose: Purpose, token: str) -> int | None:
        """The id, or None when the token is none of ours for this purpose."""
        if len(token) != TOKEN_CHARACTERS or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        number, body, mac = raw[0], raw[1 : 1 + ID_BYTES], raw[1 + ID_BYTES :]
        for key, key_number in zip(self._keys, self._numbers, strict=True):
            if key_number == number and hmac.compare_digest(mac, self._mac(key, purpose, body)):
                return int.from_bytes(body, "big")
        return None

    @staticmethod
    def _mac(key: bytes, purpose: Purpose, body: bytes) -> bytes:
        at = _PLACES.get(purpose)
        if at is None:
            return hmac.digest(key, purpose.value.encode() + b"\0" + body, "sha512")[:MAC_BYTES]
        return hmac.digest(key, LETTER + b"\0" + body, "sha512")[at : at + MAC_BYTES]


def _cut(text: str) -> LetterTokens:
    """The tokens of one letter: their common beginning (8 characters), then 16 of each."""
    head = text[:8]
    return LetterTokens(
        head + text[8:24], head + text[24:40], head + text[40:56], head + text[56:72], head + text[72:88]
    )


class Slot(StrEnum):
    """The parts of a letter that are each reader's own, filled by SendGrid's substitutions."""

    TRACK = "t"
    VIEW = "v"
    LEAVE = "u"
    PREFS = "p"
    NAME_HTML = "n"
    NAME_TEXT = "m"


@dataclass(frozen=True, slots=True)
class Slots:
    """The keys of one edition, `[[abcdefgh:t]]`; the nonce occurs nowhere in its texts or values."""

    nonce: str

    def key(self, slot: Slot) -> str:
        return f"[[{self.nonce}:{slot.value}]]"


class Links(Protocol):
    """Where the links of a rendered edition lead: a campaign's, a preview's or a test letter's."""

    def target(self, place: str, url: str, *, story_number: int | None = None) -> str:
        """The href of one of the issue's own links."""

    @property
    def view(self) -> str: ...

    @property
    def leave(self) -> str: ...

    @property
    def prefs(self) -> str: ...

    @property
    def pixel(self) -> str | None: ...

    @property
    def subscribe(self) -> str: ...

    @property
    def archive(self) -> str:
        """The whole issue for everyone; no topics in it."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Absolute addresses under `[web] base_url`."""

    base_url: str
    short_base_url: str = ""

    def click(self, token: str, link_id: int) -> str:
        return f"{self.base_url}/c/{token}/{link_id}"

    def pixel(self, token: str) -> str:
        return f"{self.base_url}/o/{token}.gif"

    def view(self, token: str) -> str:
        return f"{self.base_url}/v/{token}"

    def prefs(self, token: str) -> str:
        return f"{self.base_url}/p/{token}"

    def leave(self, token: str) -> str:
        return f"{self.short_base_url or self.base_url}/u/{token}"

    def test(self, token: str) -> str:
        return f"{self.base_url}/t/{token}"

    def subscribe(self) -> str:
        return f"{self.base_url}/subscribe"

    def archive(self, slug: str = "") -> str:
        return f"{self.base_url}/archive/{slug}" if slug else f"{self.base_url}/archive"

    def webhook(self) -> str:
        return f"{self.base_url}/webhooks/sendgrid"

    def list_unsubscribe(self, token: str) -> str:
        """The value of the List-Unsubscribe header (RFC 8058, 3.1)."""
        return f"<{self.leave(token)}>"


def doors_of(settings: Settings) -> Doors:
    return Doors(settings.web.base_url, settings.web.short_base_url)
