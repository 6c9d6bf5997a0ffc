"""uvicorn's connection with limits that it lacks: on the time and the size of headers."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_HEADER_BYTES = 64 << 10
# A client that reads nothing of its response for so long counts as gone.
_UNREAD_MILLISECONDS = 30_000


class Connection(HttpToolsProtocol):
    """A connection whose headers must come within `header_seconds`, in a bounded number of bytes.

    uvicorn closes a connection that is idle after a response, but waits for ever for headers to
    end, and keeps any number of them in memory.
    """

    header_seconds: float
    _deadline: asyncio.TimerHandle | None = None
    _in_headers = False
    _header_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        own = transport.get_extra_info("socket")
        if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
            _set_unread_timeout(own)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        # Also the rest of a body whose request was refused.
        if self._deadline is None and self._is_idle():
            self._expect_headers()
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(431, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        self._in_headers, self._header_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._headers_complete()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_complete()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _headers_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._in_headers and not self.transport.is_closing():
            self._refuse(408, f"The request's headers did not come in {self.header_seconds:g} s.")
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer before the request is complete, and close."""
        body = orjson.dumps({"error": message})
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        self.transport.close()


def connections(seconds: float) -> type[Connection]:
    """Return a class of connections whose headers must come within `seconds`."""
    return type("Connection", (Connection,), {"header_seconds": seconds})


def _set_unread_timeout(own: Any) -> None:
    option: Callable[..., None] | None = getattr(own, "setsockopt", None)
    if option and hasattr(socket, "TCP_USER_TIMEOUT"):
        option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
