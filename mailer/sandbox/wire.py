"""Below HTTP: cut, drip or refuse connections, which an ASGI application cannot do on its own.

The protocol hands its transport to the application in `scope["extensions"]`. Nothing here knows
what is said over the connection.
"""

import asyncio
import socket
import struct
from typing import Any

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "sandbox.transport"


class CuttableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with its transport within reach of the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


def transport_of(request: Request) -> asyncio.Transport:
    transport = request.scope["extensions"][EXTENSION]["transport"]
    assert isinstance(transport, asyncio.Transport)
    return transport


def reset(transport: asyncio.Transport) -> None:
    """End the connection with RST, as a crashed machine or a firewall does."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Linger on, for zero seconds: close() discards what is queued and sends RST.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def until_gone(request: Request) -> None:
    """Wait until the client, or we, ended the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def drip(request: Request, answer: bytes, seconds_per_byte: float) -> None:
    """Write an answer byte by byte, then close; stops when the client goes away."""
    transport = transport_of(request)
    for position in range(len(answer)):
        if transport.is_closing():
            return
        transport.write(answer[position : position + 1])
        await asyncio.sleep(seconds_per_byte)
    transport.close()


def raw_answer(status_line: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status_line}", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class NeverAnswered:
    """The ASGI response of a connection that is gone already."""

    async def __call__(self, _scope: Any, _receive: Any, _send: Any) -> None:
        return
