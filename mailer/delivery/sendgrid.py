"""SendGrid as a way out: the `sendgrid` SDK, speaking through a client of ours.

The stock client follows redirects with the key in hand, knows no total time, opens a connection a
call and hides whether a byte had left; `_Client` overrides `_make_request` and `_build_client` and
nothing else. The key is added at the last moment: it stands in no object that the SDK logs.
"""

import ipaddress
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import python_http_client
from sendgrid import SendGridAPIClient

from mailer.config import Settings
from mailer.delivery import answers
from mailer.delivery.transport import (
    Answer,
    Batch,
    BatchCancelled,
    BatchUnknown,
    Call,
    NoBatch,
    NotSent,
    Told,
    Uncertain,
)
from mailer.delivery.wire import Cut, Reply, Wire
from subscribers.errors import NewsletterError

# The SDK encodes a body itself unless this header says that it is no plain "application/json".
JSON_TYPE = "application/json; charset=utf-8"
SENDGRID_HOSTS = frozenset({"api.sendgrid.com", "api.eu.sendgrid.com"})


class SendGrid:
    """A transport. One for a process: its connections are shared by the sending threads."""

    def __init__(
        self,
        host: str,
        api_key: str,
        *,
        deadline_seconds: float,
        connections: int = 8,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        require_safe_host(host)
        self._clock = clock
        self._wire = Wire(connections)
        # The SDK would put "Bearer None" for an absent key and read one from the environment.
        self._sdk = SendGridAPIClient(api_key="-", host=host)
        self._sdk.client = _Client(
            host,
            {
                name: value
                for name, value in self._sdk.client.request_headers.items()
                if name != "Authorization"
            }
            | {"Content-Type": JSON_TYPE},
            wire=self._wire,
            secret=_Secret(api_key),
            timeout=deadline_seconds,
        )

    @classmethod
    def of(cls, settings: Settings) -> "SendGrid":
        """The way out that the settings name. Raises NewsletterError for an unsafe host or no key."""
        key = settings.sendgrid.api_key.get_secret_value()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise NewsletterError(
                "there is no usable API key for SendGrid.",
                field="[sendgrid] api_key",
                cure='Write it into secrets.toml: [sendgrid] api_key = "SG.…". The sandbox takes any.',
            )
        return cls(
            settings.sendgrid.host,
            key,
            deadline_seconds=settings.sendgrid.deadline_seconds,
            connections=settings.sending.threads,
        )

    def submit(self, call: Call) -> Answer:
        """Hand one request over through the SDK."""
        try:
            response = self._sdk.send(_Outgoing(call))
        except Cut as cut:
            if cut.written == 0:
                return NotSent(cut.detail)
            return Uncertain(f"{cut.detail}, after {cut.written:,} bytes had left")
        headers = {name.lower(): value for name, value in response.headers.items()}
        # Plain bytes again: orjson reads no subclass of them.
        body = bytes(response.body)
        return answers.read(
            response.status_code, headers, body, recipients=call.recipients, now=self._clock()
        )

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Told | NotSent | Uncertain:
        """Call another door than mail/send, like ("GET", "scopes"); whatever status comes is an answer."""
        door = getattr(self._sdk.client._(path), method.lower())
        try:
            response = door() if body is None else door(request_body=_Small(body))
        except Cut as cut:
            return NotSent(cut.detail) if cut.written == 0 else Uncertain(cut.detail)
        try:
            document = orjson.loads(bytes(response.body))
        except orjson.JSONDecodeError:
            document = None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Told(response.status_code, document, _date(headers.get("date", "")))

    def new_batch(self) -> Batch | NoBatch:
        """POST mail/batch."""
        told = self.ask("POST", "mail/batch")
        if not isinstance(told, Told):
            return NoBatch(told.detail)
        batch_id = _text(told.document, "batch_id")
        if told.status == 201 and batch_id:
            return Batch(batch_id, told.at)
        is_final = 400 <= told.status < 500 and told.status not in (408, 429)
        return NoBatch(f"SendGrid gave no batch id ({told.status})", is_final)

    def cancel_batch(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        """POST user/scheduled_sends."""
        told = self.ask("POST", "user/scheduled_sends", {"batch_id": batch_id, "status": "cancel"})
        if not isinstance(told, Told):
            return BatchUnknown(told.detail)
        if told.status == 201:
            return BatchCancelled(told.at)
        return BatchUnknown(f"SendGrid did not cancel ({told.status})")

    def batch_status(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        """GET user/scheduled_sends/{batch_id}: a list of one, or none."""
        told = self.ask("GET", f"user/scheduled_sends/{batch_id}")
        if not isinstance(told, Told):
            return BatchUnknown(told.detail)
        listed = told.document if isinstance(told.document, list) else [told.document]
        for entry in listed if told.status == 200 else []:
            if _text(entry, "batch_id") == batch_id and _text(entry, "status") == "cancel":
                return BatchCancelled(told.at)
        return BatchUnknown(f"SendGrid does not say that it is cancelled ({told.status})")

    def close(self) -> None:
        self._wire.close()

    def __repr__(self) -> str:
        return f"SendGrid({self._sdk.host})"


def require_safe_host(host: str) -> None:
    """Refuse `http://` outside this machine, and an address with more in it than a host."""
    parts = urlsplit(host)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        if parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment):
            return
        raise NewsletterError(
            "the address of SendGrid must be a host and nothing more.",
            field="[sendgrid] host",
            cure="For example https://api.sendgrid.com.",
        )
    raise NewsletterError(
        "the API key would travel unencrypted: http:// is for this machine only.",
        field="[sendgrid] host",
        cure="Use https://, for example https://api.sendgrid.com.",
    )


def is_loopback(hostname: str) -> bool:
    """Whether a host name can only mean this machine."""
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def is_sendgrids_own(host: str) -> bool:
    """Whether letters would really leave: placeholders are refused there."""
    hostname = (urlsplit(host).hostname or "").rstrip(".").lower()
    return hostname in SENDGRID_HOSTS or hostname.endswith(".sendgrid.com")


def _date(header: str) -> datetime | None:
    """What the provider's clock said; None when it said nothing of use."""
    try:
        found = parsedate_to_datetime(header)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _text(document: Any, key: str) -> str:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, str) and found.isascii() and found.isprintable() else ""


class _Secret:
    """A key that no repr, format or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def bearer(self) -> str:
        return "Bearer " + self._value

    def __repr__(self) -> str:
        return "…"


class _Quiet(bytes):
    """Bytes that the SDK's debug log prints as their number only: addresses are in them."""

    def __format__(self, specification: str) -> str:
        return f"({len(self):,} bytes)"


class _Encoded:
    """The bytes of a request on their way through the SDK, which neither copies nor prints them."""

    def __init__(self, whole: bytes, ends_at: float | None = None) -> None:
        self.whole = whole
        self.ends_at = ends_at

    def __repr__(self) -> str:
        return f"({len(self.whole):,} bytes)"


class _Outgoing(dict[str, Any]):
    """The plain dict of a call. The SDK asks a body to `encode` itself when its type is not its own."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.body)
        self._encoded = _Encoded(call.encoded, call.ends_at)

    def encode(self, _encoding: str = "utf-8") -> _Encoded:
        return self._encoded


class _Small(dict[str, Any]):
    """The plain dict of any other request."""

    def encode(self, _encoding: str = "utf-8") -> _Encoded:
        return _Encoded(orjson.dumps(self))


class _Answered:
    """What the SDK's Response reads."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def getcode(self) -> int:
        return self._reply.status

    def read(self) -> bytes:
        return _Quiet(self._reply.body)

    def info(self) -> Message | Mapping[str, str]:
        return self._reply.headers


class _Client(python_http_client.Client):  # type: ignore[misc]
    """The SDK's client over our wire. Every status is an answer; what is none raises Cut."""

    def __init__(
        self, host: str, headers: dict[str, str], *, wire: Wire, secret: _Secret, **options: Any
    ) -> None:
        super().__init__(host, request_headers=headers, **({"version": 3} | options))
        self._wire = wire
        self._secret = secret

    def _build_client(self, name: str | None = None) -> "_Client":
        return _Client(
            self.host,
            self.request_headers,
            wire=self._wire,
            secret=self._secret,
            version=self._version,
            url_path=[*self._url_path, name] if name else self._url_path,
            append_slash=self.append_slash,
            timeout=self.timeout,
        )

    def _make_request(self, _opener: Any, request: Any, timeout: float | None = None) -> _Answered:
        headers = dict(request.header_items())
        headers |= {"Content-type": "application/json", "Authorization": self._secret.bearer()}
        seconds = timeout or self.timeout
        body: _Encoded | None = request.data
        if body is not None and body.ends_at is not None:
            seconds = min(seconds, body.ends_at - time.monotonic())
        reply = self._wire.request(
            request.get_method(),
            request.full_url,
            headers,
            body.whole if body is not None else None,
            deadline_seconds=seconds,
        )
        return _Answered(reply)
