"""What a link that readers get may be: http or https, a host, and nothing that hides where it leads."""

import ipaddress
import re
import unicodedata
from urllib.parse import urlsplit

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_LABEL = re.compile(r"\w(?:[\w\-]*\w)?")
_JOINERS = "\u200c\u200d"
# RFC 1035, 2.3.4
HOST_MAX_CHARACTERS = 253
LABEL_MAX_CHARACTERS = 63


def fault_of(url: str) -> str | None:
    """What is wrong with a URL, as the end of a sentence; None when it is good."""
    for character in url:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs") or (category == "Cf" and character not in _JOINERS):
            return f"holds an invisible character (U+{ord(character):04X})"
        if character.isspace():
            return "holds a space"
    if "\\" in url:
        return "holds a backslash"
    if not _SCHEME.match(url):
        return "does not begin with https:// or http://"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "has no readable host and port"
    if "@" in parts.netloc:
        return "holds a user name before the host"
    if not host or (port is None and parts.netloc.endswith(":")):
        return "has no host"
    return None if _is_host(host) else "has no readable host"


def host_of(url: str) -> str:
    """The host that readers are shown, without "www."."""
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _is_host(host: str) -> bool:
    if ":" in host:  # urlsplit has taken the brackets off
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            return False
        return True
    labels = host.removesuffix(".").split(".")
    return len(host) <= HOST_MAX_CHARACTERS and all(
        len(label) <= LABEL_MAX_CHARACTERS and _LABEL.fullmatch(label) for label in labels
    )
