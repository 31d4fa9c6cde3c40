"""The addresses in a letter as rendered: what its reader's programs may fetch.

Sorted by the doors that they lead to (design, section 8: `/o`, `/c`), wherever those stand.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_TAG = re.compile(
    r"""<(a|area|img)\b[^>]*?\s(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE | re.DOTALL
)
_PIXEL = re.compile(r"/o/([^/]+)\.gif\Z")
_CLICK = re.compile(r"/c/([^/]+)/[^/]+\Z")
ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058, 3.2


@dataclass(frozen=True, slots=True)
class LetterLinks:
    """Each address once, in order of appearance."""

    pixel: str | None
    counted: tuple[str, ...]  # through the click door
    others: tuple[str, ...]
    leave: str | None  # one click, only with its POST header
    token: str | None  # whose hits they are


def links_of(letter_html: str, headers: Mapping[str, str]) -> LetterLinks:
    pixel: str | None = None
    token: str | None = None
    counted: dict[str, None] = {}
    others: dict[str, None] = {}
    for tag, double, single in _TAG.findall(letter_html):
        url = html.unescape(double or single).strip()
        path = _path(url)
        if path is None:
            continue
        door = (_PIXEL if tag.casefold() == "img" else _CLICK).search(path)
        if door:
            token = token or door[1]
        if tag.casefold() == "img":
            pixel = pixel or (url if door else None)
        elif door:
            counted[url] = None
        else:
            others[url] = None
    return LetterLinks(pixel, tuple(counted), tuple(others), _leave(headers), token)


def is_on_this_machine(url: str) -> bool:
    """Whether fetching it stays on loopback: play must never reach anybody else."""
    parts = _split(url)
    if parts is None or parts.hostname is None:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def _path(url: str) -> str | None:
    parts = _split(url)
    return parts.path if parts else None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _leave(headers: Mapping[str, str]) -> str | None:
    named = {name.casefold(): value for name, value in headers.items()}
    if named.get("list-unsubscribe-post", "").strip() != ONE_CLICK:
        return None
    found = re.search(r"<(https?://[^>]+)>", named.get("list-unsubscribe", ""))
    return found[1] if found else None
