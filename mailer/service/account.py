"""The look at SendGrid's side: key, sender, event webhook, tracking, and a round trip.

It asks and changes nothing, but for one made-up event that SendGrid posts to our webhook and one letter
that it checks and does not send. What the key may not look at is said to be unknown, never to be right.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from mailer.config import Settings
from mailer.delivery import preflight
from mailer.delivery.body import TRACKING_OFF
from mailer.delivery.masking import masked
from mailer.delivery.sendgrid import SendGrid, is_sendgrids_own
from mailer.delivery.transport import Told
from mailer.links import doors_of
from mailer.service.rooms import Rooms
from mailer.service.site import Finding
from mailer.tracking import heartbeats

# What sending needs of a key, and what taking back a planned campaign needs beside it.
SENDING = ("mail.send",)
FENCING = (
    "mail.batch.create",
    "user.scheduled_sends.create",
    "user.scheduled_sends.read",
)
# Scopes that this product can have a use for, and two that SendGrid shows for every key.
OF_USE = (
    "mail.",
    "user.scheduled_sends.",
    "suppression.",
    "asm.",
    "user.webhooks.event.",
    "tracking_settings.",
    "whitelabel.read",
    "sender_verification_",
    "2fa_",
)
# The kinds of events that our numbers are made of, in SendGrid's words. Opens and clicks are counted by us.
KINDS = ("processed", "deferred", "delivered", "bounce", "dropped", "spam_report")
# What the account's own tracking would do to our letters.
HARM = {
    "click": "rewrites every link",
    "google_analytics": "adds words to every link",
    "open": "adds a picture of its own",
    "subscription": "puts its own unsubscribe in place of ours",
}
NAMED_AT_MOST = 4
SAID_MAX_CHARACTERS = 200

# The webhook writes its heartbeat every ten seconds at most, so that an older one may stand for ours.
BEAT_AGE = timedelta(seconds=15)
ARRIVES_WITHIN_SECONDS = 20.0
LOOK_SECONDS = 0.2


def look(rooms: Rooms) -> list[Finding]:
    """What SendGrid says of the account, each finding with its cure. Raises NewsletterError without a key."""
    transport = SendGrid.of(rooms.settings)
    try:
        return list(_findings(_Asking(transport), rooms))
    finally:
        transport.close()


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks one door after another; what is no answer becomes a finding."""

    transport: SendGrid

    def ask(self, what: str, path: str, scope: str) -> Any | Finding:
        """The JSON behind a door, or why `what` is unknown."""
        told = self.transport.ask("GET", path)
        if isinstance(told, Told) and told.status == 200 and told.document is not None:
            return told.document
        if isinstance(told, Told) and told.status in (401, 403):
            return Finding(
                "warning",
                f"{what}: unknown, since the key may not look ({told.status})",
                f"Give the key the scope {scope}, or look in SendGrid's console.",
            )
        said = f"it answered {told.status}" if isinstance(told, Told) else told.detail
        return Finding("warning", f"{what}: unknown, {said}", "Try again later.")


def _findings(asking: _Asking, rooms: Rooms) -> Iterator[Finding]:
    settings = rooms.settings
    scopes = _scopes(asking.transport, settings)
    if isinstance(scopes, Finding):
        yield scopes
        return
    yield Finding("ok", f"SendGrid knows the key at {settings.sendgrid.host} ({_region(settings)})")
    yield from _of_scopes(scopes)
    yield _sender(asking, settings)
    webhook = _our_webhook(asking, settings)
    if isinstance(webhook, Finding):
        yield webhook
    else:
        yield from _of_webhook(webhook, settings)
    yield from _tracking(asking)
    yield _letter(asking.transport, settings)
    if not isinstance(webhook, Finding):
        yield _round_trip(asking.transport, webhook, rooms)


# -- key and region -------------------------------------------------------------------------------


def _region(settings: Settings) -> str:
    host = urlsplit(settings.sendgrid.host).hostname or ""
    if not is_sendgrids_own(settings.sendgrid.host):
        return "a stand-in: no letter leaves"
    return "EU" if host.startswith("api.eu.") else "global"


def _scopes(transport: SendGrid, settings: Settings) -> tuple[str, ...] | Finding:
    """What the key may do, or why nothing else need be asked."""
    host = settings.sendgrid.host
    told = transport.ask("GET", "scopes")
    if not isinstance(told, Told):
        return Finding(
            "error",
            f"SendGrid cannot be reached at {host}: {told.detail}",
            "Check [sendgrid] host and the network; 'mailer sandbox' starts one on this machine.",
        )
    listed = told.document.get("scopes") if isinstance(told.document, dict) else None
    if told.status == 200 and isinstance(listed, list):
        return tuple(scope for scope in listed if isinstance(scope, str))
    other = "https://api.sendgrid.com" if "api.eu." in host else "https://api.eu.sendgrid.com"
    if told.status in (401, 403, 451):
        return Finding(
            "error",
            f"SendGrid does not take the key at {host} ({told.status})",
            f"Copy the key again into secrets.toml ([sendgrid] api_key). A key works in its own region only: "
            f"is it one of {other}? Does the account allow this machine's address (IP Access Management)?",
        )
    return Finding(
        "error",
        f"{host} answers {told.status} where SendGrid lists the key's scopes",
        "Check [sendgrid] host, for example https://api.sendgrid.com.",
    )


def _of_scopes(scopes: Sequence[str]) -> Iterator[Finding]:
    missing = [scope for scope in SENDING if scope not in scopes]
    if missing:
        yield Finding(
            "error",
            f"the key may not send: it lacks {', '.join(missing)}",
            "Settings, API Keys at SendGrid: give it Mail Send.",
        )
    else:
        yield Finding("ok", "the key may send")
    missing = [scope for scope in FENCING if scope not in scopes]
    if missing:
        yield Finding(
            "warning",
            f"planned campaigns cannot be taken back: the key lacks {', '.join(missing)}",
            "Settings, API Keys at SendGrid: give it Mail Send (Batch) and Scheduled Sends.",
        )
    else:
        yield Finding("ok", "the key may take back planned campaigns")
    spare = sorted(scope for scope in scopes if not scope.startswith(OF_USE))
    if spare:
        more = ", …" if len(spare) > NAMED_AT_MOST else ""
        yield Finding(
            "warning",
            f"the key may do {len(spare):,} things that nothing here asks for: "
            f"{', '.join(spare[:NAMED_AT_MOST])}{more}. Whoever finds it may do them too",
            "Make a restricted key: Mail Send, Scheduled Sends, and reading of suppressions and settings.",
        )


# -- sender ---------------------------------------------------------------------------------------


def _sender(asking: _Asking, settings: Settings) -> Finding:
    address = settings.newsletter.from_email.casefold()
    domain = address.rpartition("@")[2]
    scope = "whitelabel.read (Sender Authentication)"
    for name in _with_parents(domain):
        listed = asking.ask(f"sender {address}", f"whitelabel/domains?domain={quote(name)}", scope)
        if isinstance(listed, Finding):
            return listed
        for entry in _dicts(listed):
            if str(entry.get("domain", "")).casefold() != name:
                continue
            if entry.get("valid") is True:
                return Finding("ok", f"{name} is authenticated: letters are signed by it")
            return Finding(
                "error",
                f"{name} waits for its DNS records: letters would not be signed by it",
                "Settings, Sender Authentication at SendGrid: add the records, then Verify.",
            )
    document = asking.ask(f"sender {address}", "verified_senders", scope)
    if isinstance(document, Finding):
        return document
    senders = _dicts(document.get("results") if isinstance(document, dict) else None)
    if any(
        str(each.get("from_email", "")).casefold() == address and each.get("verified") is True
        for each in senders
    ):
        return Finding(
            "warning",
            f"{address} is verified as a single sender: letters are signed by sendgrid.net, not by {domain}, "
            "and fail DMARC",
            "Authenticate the domain: Settings, Sender Authentication at SendGrid.",
        )
    return Finding(
        "error",
        f"neither {domain} nor {address} is verified at SendGrid: every call would be refused (403)",
        "Settings, Sender Authentication at SendGrid: authenticate the domain.",
    )


def _with_parents(domain: str) -> list[str]:
    """A domain and those above it that have a dot: news.example.org, example.org."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]


# -- event webhook --------------------------------------------------------------------------------


def _expected(settings: Settings) -> str:
    if not is_sendgrids_own(settings.sendgrid.host) and settings.sandbox.webhook_url:
        return settings.sandbox.webhook_url
    return doors_of(settings).webhook()


def _our_webhook(asking: _Asking, settings: Settings) -> Mapping[str, Any] | Finding:
    document = asking.ask(
        "event webhook", "user/webhooks/event/settings/all", "user.webhooks.event.settings.read"
    )
    if isinstance(document, Finding):
        return document
    listed = _dicts(document.get("webhooks") if isinstance(document, dict) else None)
    urls = [str(each["url"]) for each in listed if each.get("url")]
    expected = _expected(settings)
    for each in listed:
        if _plain(str(each.get("url", ""))) == _plain(expected):
            return each
    hosts = sorted({urlsplit(url).hostname or "?" for url in urls})
    return Finding(
        "error",
        f"no event webhook posts to {expected}"
        + (f"; those of the account post to {', '.join(hosts)}" if hosts else "; the account has none"),
        f"Settings, Mail Settings, Event Webhooks at SendGrid: add {expected}.",
    )


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".casefold() + parts.path.rstrip("/")


def _of_webhook(webhook: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    where = "Settings, Mail Settings, Event Webhooks at SendGrid"
    if webhook.get("enabled") is not True:
        yield Finding("error", "the event webhook is switched off", f"{where}: enable it.")
    missing = [kind for kind in KINDS if webhook.get(kind) is not True]
    if missing:
        yield Finding(
            "error",
            f"the event webhook does not tell of {', '.join(missing)}",
            f"{where}: tick {', '.join(kind.replace('_', ' ') for kind in missing)}.",
        )
    if webhook.get("enabled") is True and not missing:
        yield Finding("ok", "the event webhook posts to this site all that is counted")
    theirs, ours = webhook.get("public_key"), settings.sendgrid.webhook_public_key
    if not theirs:
        yield Finding(
            "error",
            "events are not signed: this site refuses them",
            f"{where}: enable signature verification, and copy the key into secrets.toml.",
        )
    elif theirs != ours:
        yield Finding(
            "error",
            f"events are signed with another key than the configured one{'' if ours else ' (there is none)'}",
            "Copy the verification key into secrets.toml: [sendgrid] webhook_public_key.",
        )
    else:
        yield Finding("ok", "events are signed with the configured key")


# -- tracking and round trip ----------------------------------------------------------------------


def _tracking(asking: _Asking) -> Iterator[Finding]:
    document = asking.ask("the account's own tracking", "tracking_settings", "tracking_settings.read")
    if isinstance(document, Finding):
        yield document
        return
    settings = _dicts(document.get("result") if isinstance(document, dict) else None)
    on = [str(each["name"]) for each in settings if each.get("enabled") is True and each.get("name") in HARM]
    for name in on:
        yield Finding(
            "warning",
            f"{name.replace('_', ' ')} tracking is on for the account, which {HARM[name]}; "
            "each of our letters asks for it to be off",
            "To be sure, switch it off: Settings, Tracking at SendGrid.",
        )
    if not on:
        yield Finding("ok", "the account's own tracking is off")


def _letter(transport: SendGrid, settings: Settings) -> Finding:
    """A letter of our shape that SendGrid checks and does not send (sandbox mode answers 200)."""
    sender = preflight.sender_of(settings)
    body = {
        "from": sender["from"],
        **({"reply_to": sender["reply_to"]} if sender["reply_to"] else {}),
        "subject": "A letter that is checked and not sent",
        "content": [
            {"type": "text/plain", "value": "[[check]]"},
            {"type": "text/html", "value": "<p>[[check]]</p>"},
        ],
        "tracking_settings": TRACKING_OFF,
        "mail_settings": {"sandbox_mode": {"enable": True}},
        "personalizations": [
            {"to": [{"email": settings.newsletter.from_email}], "substitutions": {"[[check]]": "Hello"}}
        ],
    }
    told = transport.ask("POST", "mail/send", body)
    if isinstance(told, Told) and told.status == 200:
        return Finding("ok", "a letter of this site is taken (checked only, not sent)")
    said = f"{told.status}: {_errors(told.document)}" if isinstance(told, Told) else told.detail
    return Finding(
        "error",
        f"a letter of this site is not taken: {said}",
        "Mend what it says; 'mailer check' looks at the sender and the links.",
    )


def _errors(document: Any) -> str:
    listed = _dicts(document.get("errors") if isinstance(document, dict) else None)
    words = "; ".join(str(each.get("message", "")) for each in listed[:3])
    return masked(words, most_characters=SAID_MAX_CHARACTERS) or "no reason was given"


def _round_trip(transport: SendGrid, webhook: Mapping[str, Any], rooms: Rooms) -> Finding:
    """Have SendGrid post a test event, and see it come in."""
    before, begun = _heard(rooms), rooms.now()
    told = transport.ask(
        "POST", "user/webhooks/event/test", {"id": str(webhook.get("id", "")), "url": str(webhook["url"])}
    )
    if not isinstance(told, Told) or not 200 <= told.status < 300:
        said = f"it answered {told.status}" if isinstance(told, Told) else told.detail
        return Finding(
            "warning",
            f"no test event: {said}",
            "Give the key the scope user.webhooks.event.test.create, or press Test Integration there.",
        )

    def has_come() -> bool:
        heard = _heard(rooms)
        return heard is not None and (heard != before or heard > begun - BEAT_AGE)

    if _within(ARRIVES_WITHIN_SECONDS, has_come):
        return Finding("ok", "a signed test event went from SendGrid to this site")
    return Finding(
        "warning",
        f"the test event has not reached this site within {ARRIVES_WITHIN_SECONDS:.0f} seconds",
        f"'mailer serve' must run, and {webhook['url']} must lead to it from outside, with the key above.",
    )


def _heard(rooms: Rooms) -> datetime | None:
    with rooms.database.reader() as connection:
        return heartbeats.last(connection, heartbeats.WEBHOOK)


def _within(seconds: float, is_so: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _dicts(listed: Any) -> list[Mapping[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
