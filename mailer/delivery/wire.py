"""One HTTP request with a known end: a total deadline, no redirects, and every byte that left counted.

A urllib3 pool whose sockets are our own. It refuses to guess where a request stopped: `Phase.written`
is the number of its bytes that the operating system took, and none taken is proof of not sent. It
follows nothing, retries nothing, asks no proxy and reads no more of an answer than it must.
"""

import contextlib
import http.client
import io
import math
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

# An answer of mail/send is empty or a short list of errors; what is longer is not read.
ANSWER_MAX_BYTES = 256 * 1024
# A kept connection older than this may be closed by the other side while we write: open a new one.
# (Servers close idle ones after 5 s at the earliest that we know: uvicorn.)
IDLE_MAX_SECONDS = 3.0
# The first write is one TLS record at most: a record that did not leave whole cannot be read by
# anyone, so a failed first write is proof over TLS as well (RFC 8446, 5.2).
FIRST_WRITE_MAX_BYTES = 16 * 1024
WRITE_MAX_BYTES = 1024 * 1024


class DeadlinePassed(TimeoutError):
    """The call's time is over."""


@dataclass(slots=True)
class Phase:
    """How far the call of this thread has come."""

    ends_at: float  # by time.monotonic()
    written: int = 0
    is_cut: bool = False  # a write began that did not end: the connection is of no more use

    def remaining(self) -> float:
        """Seconds left. Raises DeadlinePassed."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise DeadlinePassed("the time for the call is over")
        return left


@dataclass(frozen=True, slots=True)
class Reply:
    """A status line that was seen, its headers by lower-case name, and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Cut(Exception):
    """The call ended without a status. `written` bytes of the request had left."""

    def __init__(self, detail: str, written: int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.written = written


_phase: ContextVar[Phase] = ContextVar("phase")


class Wire:
    """A pool of connections to one host; safe for several threads."""

    def __init__(self, connections: int) -> None:
        # A plain PoolManager reads no proxy variables. One pool: we speak to one host only.
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=connections, block=False, retries=False)
        self._pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _SafePool}

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, deadline_seconds: float) -> Reply:
        """Post one request and read its answer. Raises Cut when no status was seen."""
        return self.request("POST", url, headers, body, deadline_seconds=deadline_seconds)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        deadline_seconds: float,
    ) -> Reply:
        """Send one request and read its answer. Raises Cut when no status was seen."""
        if deadline_seconds <= 0:
            raise Cut("the time for the call was over before it began", 0)
        phase = Phase(time.monotonic() + deadline_seconds)
        token = _phase.set(phase)
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                # Times are kept by the sockets themselves; this one bounds a TLS handshake.
                timeout=urllib3.Timeout(connect=deadline_seconds, read=deadline_seconds),
            )
            return _read(response, phase)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise Cut(_in_words(error), phase.written) from None
        finally:
            _phase.reset(token)

    def close(self) -> None:
        self._pool.clear()


def _read(response: urllib3.BaseHTTPResponse, phase: Phase) -> Reply:
    """The answer. A status that was seen counts, however its body ends."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = b""
    is_whole = False
    with contextlib.suppress(urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError):
        body = response.read(ANSWER_MAX_BYTES)
        is_whole = not response.read(1)
    if is_whole and not phase.is_cut:
        response.release_conn()
    else:
        response.close()
    return Reply(response.status, headers, body)


def _in_words(error: BaseException) -> str:
    """What happened, without any part of the request in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DeadlinePassed | TimeoutError):
            return "no answer within the time for a call"
        if isinstance(cause, socket.gaierror):
            return "the name of the host is not known"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or type(cause).__name__})"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
        if isinstance(cause, ConnectionError):
            return "the connection was cut"
        following = cause.__cause__ or cause.__context__
        if following is None and cause.args and isinstance(cause.args[-1], BaseException):
            following = cause.args[-1]
        cause = following
    return f"the connection failed ({type(error).__name__})"


class _CountingSocket:
    """A connected socket that keeps the deadline of the running call and counts what it takes."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._readers = 0
        self._closed = False

    def sendall(self, payload: Any, flags: int = 0) -> None:
        phase = _phase.get()
        phase.is_cut = True
        view = memoryview(payload).cast("B")
        while view:
            limit = WRITE_MAX_BYTES if phase.written else FIRST_WRITE_MAX_BYTES
            self._inner.settimeout(phase.remaining())
            taken = self._inner.send(view[:limit])
            phase.written += taken
            view = view[taken:]
        phase.is_cut = False

    def recv_into(self, buffer: Any) -> int:
        self._inner.settimeout(_phase.get().remaining())
        return self._inner.recv_into(buffer)

    def makefile(self, *_modes: Any, **_options: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_SocketReader(self))

    def fileno(self) -> int:
        return self._inner.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Nothing: every call on the socket is given what is left of the deadline."""

    def close(self) -> None:
        # As socket.close(): the descriptor lives on until the answer has been read.
        self._closed = True
        if not self._readers:
            self._inner.close()

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._closed and self._readers <= 0:
            self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _SocketReader(io.RawIOBase):
    def __init__(self, owner: _CountingSocket) -> None:
        self._owner: _CountingSocket | None = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self._owner is not None
        return self._owner.recv_into(buffer)

    def close(self) -> None:
        owner, self._owner = self._owner, None
        super().close()
        if owner is not None:
            owner.reader_closed()


class _Watched(HTTPConnection):
    """Connects within the deadline and hands its socket over to be counted."""

    _used_at = -math.inf

    def _new_conn(self) -> socket.socket:
        failure: OSError = OSError("the host has no address")
        try:
            # A resolver knows no deadline: what it took too long is noticed before the first write.
            found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except OSError as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        for family, kind, protocol, _name, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(_phase.get().remaining())
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise NewConnectionError(self, "no address of the host could be reached") from failure

    def connect(self) -> None:
        # A TLS handshake keeps the time that the socket got in `_new_conn` (ssl counts it as a whole).
        super().connect()
        self.sock = _CountingSocket(self.sock)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._used_at = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used_at < IDLE_MAX_SECONDS


class _PlainConnection(_Watched):
    """http://, for this machine only."""


class _SafeConnection(_Watched, HTTPSConnection):
    """https://, certificates checked."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _SafeConnection
