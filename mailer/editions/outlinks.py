"""The issue's own links as a letter prints them: the host a reader sees, and tags for own domains.

Tags are the same for every reader: nothing here knows topics, people or campaigns. Other people's
addresses are never changed. URLs are good ones: the parser refused all others.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from mailer.config_tables import LinksTable
from mailer.urls import host_of

_PREFIX = "utm_"


def tagged(url: str, links: LinksTable) -> str:
    """The URL with the tags of `[links] utm` when its host is one of `utm_hosts` or below one.

    A tag that the URL already has stays as the editor wrote it. `source` and `utm_source` mean the same.
    """
    if not links.utm or not is_own(url, links.utm_hosts):
        return url
    parts = urlsplit(url)
    present = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}
    tags = [(_PREFIX + key.removeprefix(_PREFIX), value) for key, value in links.utm.items()]
    added = "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in tags if key not in present
    )
    query = "&".join(part for part in (parts.query, added) if part)
    return urlunsplit(parts._replace(query=query))


def is_own(url: str, hosts: Sequence[str]) -> bool:
    """Whether a URL's host is one of these or a subdomain of one."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    own = [known.lower().strip(".") for known in hosts]
    return any(known and (host == known or host.endswith(f".{known}")) for known in own)


def shown_host(url: str) -> str:
    """The host that is printed beside a link: "wugen.com"."""
    return host_of(url).removesuffix(".")
