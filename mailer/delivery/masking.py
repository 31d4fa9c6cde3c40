"""A provider's or a mail server's words, made fit to be kept: they quote addresses and IPs as they like.

Everything that SendGrid says, in an answer or in an event, passes here before it is stored or shown.
"""

import re

MASKED_ADDRESS = "[address]"
MASKED_IP = "[ip]"
# Beyond this, words are not even looked at: masking is linear, a megabyte of it is still too much.
READ_CHARACTERS = 2000
# Shorter local parts are words that a reason may hold by chance.
LOCAL_PART_MIN_CHARACTERS = 3

# A piece between spaces and brackets; searching `.*@.*` itself would be quadratic.
_PIECE = re.compile(r"[^\s<>\"'()\[\],;]+")
_AT = re.compile(r"@|%40|=40", re.IGNORECASE)
_IPV4 = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)


def masked(words: str, address: str = "", *, most_characters: int) -> str:
    """One line without addresses, IPs and control characters; `address` is one that they may name in part."""
    if not words:
        return ""
    text = " ".join(words[:READ_CHARACTERS].split())
    text = _PIECE.sub(lambda piece: MASKED_ADDRESS if _AT.search(piece[0]) else piece[0], text)
    text = _IPV6.sub(MASKED_IP, _IPV4.sub(MASKED_IP, text))
    local = address.partition("@")[0]
    # Most reasons do not name the mailbox; a pattern for each address costs 0.1 ms.
    if len(local) >= LOCAL_PART_MIN_CHARACTERS and local.casefold() in text.casefold():
        whole_word = rf"(?<!\w){re.escape(local)}(?!\w)"
        text = re.sub(whole_word, MASKED_ADDRESS, text, flags=re.IGNORECASE)
    printable = "".join(character for character in text if character.isprintable())
    return printable[:most_characters].strip()
