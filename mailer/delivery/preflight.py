"""What must be right before a campaign may start, and what should be: the sender, the links, the host.

Pure checks of the settings. A refusal says the arithmetic; a warning never stops anybody.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mailer.config import SANDBOX_KEY_PREFIX, Settings
from mailer.config_tables import LIST_UNSUBSCRIBE_FIXED_BYTES, LIST_UNSUBSCRIBE_MAX_BYTES
from mailer.delivery.sendgrid import is_loopback, is_sendgrids_own, require_safe_host
from mailer.templates import language_tag
from subscribers.errors import NewsletterError, Problem

# Domains that are nobody's (RFC 2606, RFC 6761).
_NOBODYS = ("example.com", "example.org", "example.net", "example", "invalid", "test", "localhost")


@dataclass(frozen=True, slots=True)
class Report:
    """`refusals` stop a campaign; `warnings` should be mended before a real one."""

    refusals: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def look(settings: Settings) -> Report:
    """What stands against sending. Placeholders are refused only where letters would really leave."""
    refusals = [*_host(settings), *_sender(settings), *_addresses(settings), *_unsubscribe_link(settings)]
    placeholders = _placeholders(settings)
    if is_sendgrids_own(settings.sendgrid.host):
        return Report((*refusals, *placeholders), tuple(_advice(settings)))
    return Report(tuple(refusals), (*placeholders, *_advice(settings)))


def require_ready(settings: Settings) -> None:
    """Refuse to start what could not arrive or could not be left. Raises NewsletterError of all faults."""
    refusals = look(settings).refusals
    if refusals:
        raise NewsletterError.of(refusals)


def sender_of(settings: Settings) -> dict[str, Any]:
    """Who the letters of a campaign say they are from; frozen with it."""
    newsletter = settings.newsletter
    return {
        "from": {"email": newsletter.from_email, "name": newsletter.from_name},
        "reply_to": {"email": newsletter.reply_to} if newsletter.reply_to else None,
    }


def _host(settings: Settings) -> list[Problem]:
    try:
        require_safe_host(settings.sendgrid.host)
    except NewsletterError as error:
        return list(error.problems)
    return []


def _sender(settings: Settings) -> list[Problem]:
    problems = []
    for field, address in (
        ("from_email", settings.newsletter.from_email),
        ("reply_to", settings.newsletter.reply_to),
    ):
        if field == "reply_to" and not address:
            continue
        local, at, domain = address.rpartition("@")
        is_plain = address.isascii() and address.isprintable() and " " not in address
        if not (local and at and domain and is_plain):
            problems.append(
                Problem(
                    f"'{address}' is no address that SendGrid takes as a sender.",
                    field=f"[newsletter] {field}",
                    cure='Letters, digits and a domain in ASCII, for example "editor@example.com".',
                )
            )
    if any(not character.isprintable() for character in settings.newsletter.from_name):
        problems.append(
            Problem(
                "the sender's name has a line break or control character.",
                field="[newsletter] from_name",
                cure="Write it on one line.",
            )
        )
    return problems


def _addresses(settings: Settings) -> list[Problem]:
    """Both public addresses: every link and every unsubscribe of every letter begins with one of them."""
    problems = []
    for name, base in (("base_url", settings.web.base_url), ("short_base_url", settings.web.short_base_url)):
        if name == "base_url" or base:
            problems += _address(f"[web] {name}", base)
    return problems


def _address(field: str, base: str) -> list[Problem]:
    cure = "For example https://news.example.com."
    try:
        parts = urlsplit(base)
        hostname, _ = parts.hostname, parts.port
    except ValueError:
        return [Problem(f"'{base}' is no address of a web server.", field=field, cure=cure)]
    if not hostname or parts.scheme not in ("https", "http"):
        return [Problem(f"'{base}' is no address of a web server.", field=field, cure=cure)]
    if "?" in base or "#" in base or "@" in parts.netloc:
        return [Problem(f"'{base}' must be a host and at most a path.", field=field, cure=cure)]
    if parts.scheme == "http" and not is_loopback(hostname):
        return [
            Problem(
                f"one-click unsubscribe and every link need https; '{base}' is not (RFC 8058, 3.1).",
                field=field,
                cure=cure,
            )
        ]
    return []


def _unsubscribe_link(settings: Settings) -> list[Problem]:
    base = settings.web.list_unsubscribe_base
    field = "[web] short_base_url" if settings.web.short_base_url else "[web] base_url"
    size = len(base.encode()) + LIST_UNSUBSCRIBE_FIXED_BYTES
    if size <= LIST_UNSUBSCRIBE_MAX_BYTES:
        return []
    room = LIST_UNSUBSCRIBE_MAX_BYTES - LIST_UNSUBSCRIBE_FIXED_BYTES
    return [
        Problem(
            f"the List-Unsubscribe header would have {size} bytes: {len(base.encode())} of '{base}' and "
            f"{LIST_UNSUBSCRIBE_FIXED_BYTES} of its own; SendGrid breaks more than "
            f"{LIST_UNSUBSCRIBE_MAX_BYTES}.",
            field=field,
            cure=f"Use an address of {room} bytes at most, or add a shorter [web] short_base_url.",
        )
    ]


def _placeholders(settings: Settings) -> list[Problem]:
    newsletter = settings.newsletter
    problems = []
    for field, value, domain in (
        ("from_email", newsletter.from_email, newsletter.from_email.rpartition("@")[2]),
        ("reply_to", newsletter.reply_to, newsletter.reply_to.rpartition("@")[2]),
        ("imprint_url", newsletter.imprint_url, _host_of(newsletter.imprint_url)),
        ("privacy_url", newsletter.privacy_url, _host_of(newsletter.privacy_url)),
    ):
        if value and _is_nobodys(domain):
            problems.append(
                Problem(
                    f"{field} '{value}' is a placeholder.",
                    field=f"[newsletter] {field}",
                    cure="Write your own into config.toml.",
                )
            )
    if not newsletter.postal_address or "example" in newsletter.postal_address.casefold():
        problems.append(
            Problem(
                "the postal address is a placeholder; a newsletter must name a real one.",
                field="[newsletter] postal_address",
                cure="Write your own into config.toml.",
            )
        )
    if is_sendgrids_own(settings.sendgrid.host):
        problems += _of_this_desk(settings)
    return problems


def _of_this_desk(settings: Settings) -> list[Problem]:
    """What is good for the sandbox and for nobody else."""
    problems = []
    host = _host_of(settings.web.base_url)
    if is_loopback(host) or _is_nobodys(host):
        problems.append(
            Problem(
                f"readers cannot reach '{settings.web.base_url}'.",
                field="[web] base_url",
                cure="Write the public address, for example https://news.your-domain.org.",
            )
        )
    key = settings.sendgrid.api_key.get_secret_value()
    if not key or key.startswith(SANDBOX_KEY_PREFIX):
        problems.append(
            Problem(
                "the API key is the sandbox's own." if key else "there is no API key.",
                field="[sendgrid] api_key",
                cure="Make one at SendGrid (Settings, API Keys) and write it into secrets.toml.",
            )
        )
    return problems


def _advice(settings: Settings) -> list[Problem]:
    newsletter, problems = settings.newsletter, []
    if not newsletter.from_name.isascii():
        problems.append(
            Problem(
                f"some mail clients garble a sender's name like '{newsletter.from_name}'.",
                field="[newsletter] from_name",
                cure="ASCII letters arrive everywhere.",
            )
        )
    used = language_tag(newsletter.language)
    if used != newsletter.language.replace("_", "-"):
        problems.append(
            Problem(
                f"'{newsletter.language}' is no language that is known here; letters say '{used}'.",
                field="[newsletter] language",
                cure='Write its tag, for example language = "pt-BR".',
            )
        )
    return problems


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_nobodys(domain: str) -> bool:
    folded = domain.casefold().rstrip(".")
    return any(folded == name or folded.endswith("." + name) for name in _NOBODYS)
