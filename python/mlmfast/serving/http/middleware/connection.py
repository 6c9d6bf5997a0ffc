"""uvicorn's connection with what it lacks: bounded headers and trailers, and ignored upgrades."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.middleware.access_log import OVER_LIMIT, random_id
from mlmfast.serving.http.record import Record
from mlmfast.serving.http.telemetry.log import log_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.http.sockets.acceptor import Acceptor

_MAX_FIELD_BYTES = 64 << 10
_LATE_SECONDS = 0.05
# A client that reads nothing of its response for so long counts as gone.
_UNREAD_MILLISECONDS = 30_000
# Enough for 20 MB/s over a connection with a round trip of 10 ms.
_SEND_BUFFER_BYTES = 256 << 10


class Connection(HttpToolsProtocol):
    """A connection whose headers must come within `--header-timeout`, in bounded numbers of bytes.

    uvicorn closes a connection that is idle after a response, but waits for ever for headers to
    end, and keeps any number of headers and of trailers in memory.

    It answers requests that offer an upgrade (`Upgrade: h2c`, `websocket`) as HTTP/1.1: llhttp
    takes what follows their headers for another protocol, and would lose their bodies.
    """

    service: Service
    acceptor: Acceptor
    _waiting_since = 0.0
    _over_limit = False
    _evicted = False
    _had_request = False
    _deadline: asyncio.TimerHandle | None = None
    _began = 0.0
    _in_headers = False
    _in_body = False
    # Within the headers, or after the size of a chunk: behind the last one come the trailers.
    _in_fields = False
    _field_bytes = 0
    _read_bytes = 0
    # How many of these may lie before the fields: those are not counted.
    _before = 0
    # Nothing more of a client is parsed once it broke the rules of HTTP.
    _broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        own = transport.get_extra_info("socket")
        if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
            _bound_unread(own)
        self._began = self._waiting_since = self.loop.time()
        self._over_limit = self.acceptor.is_over
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        self._unset_keepalive_if_required()
        # Also the rest of a body whose request was refused.
        if self._deadline is None and self._is_idle():
            self._expect_headers()
        self._read_bytes = len(data)
        self._before = len(data) if self._in_body else 0
        self._parse(data)
        if self._in_fields and not self._broken:
            self._field_bytes += len(data)
            if self._field_bytes > _MAX_FIELD_BYTES:
                kind = "headers" if self._in_headers else "trailers"
                self._refuse(431, "headers_too_large", f"The request's {kind} are too large.")

    def on_message_begin(self) -> None:
        self._began = self.loop.time()
        self._in_headers = True
        self._fields_begin()
        super().on_message_begin()
        # For a client that does not read its answer: see AnswerDelivery.
        self.scope["state"]["abort"] = self.transport.abort

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # trailers are not used, and must not pass for headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = self._in_fields = False
        self._in_body = True
        self._before = self._read_bytes
        self._headers_complete()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[OVER_LIMIT] = self._over_limit
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._fields_begin()

    def on_body(self, body: bytes) -> None:
        self._in_fields = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = self._in_fields = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_complete()
        super().connection_lost(exc)
        self.acceptor.closed(evicted=self._evicted)

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        self._had_request = True
        super().on_response_complete()

    def waiting_since(self) -> float | None:
        """Return the event loop's time since when it waits for a request; None if it has one."""
        if self._evicted or not self._is_idle() or self.transport.is_closing():
            return None
        return self._began if self._in_headers else self._waiting_since

    def fileno(self) -> int:
        """Return the descriptor of its socket; -1 once it is closed."""
        own = self.transport.get_extra_info("socket")
        return -1 if own is None or self.transport.is_closing() else int(own.fileno())

    def awaits_first_request(self, seconds: float) -> bool:
        """Whether it was made within these seconds, and has had no request yet."""
        is_new = self.loop.time() - self._waiting_since < seconds
        return is_new and self._is_idle() and not self._had_request

    def evict(self) -> None:
        """Close it, to make room for others."""
        self._evicted = True
        self.transport.close()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(501, "wrong_method", "This server is no proxy.")
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self._refuse(400, "bad_http", "The request is not valid HTTP.")
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_headers(self) -> None:
        seconds = self.service.settings.header_timeout
        self._deadline = self.loop.call_later(seconds, self._maybe_too_slow)

    def _headers_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _fields_begin(self) -> None:
        self._in_fields, self._field_bytes = True, -self._before

    def _maybe_too_slow(self) -> None:
        # A late event loop calls this before it reads what has come meanwhile: that goes first.
        self._deadline = self.loop.call_later(_LATE_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._in_headers and not self.transport.is_closing():
            seconds = self.service.settings.header_timeout
            self._refuse(
                408, "slow_headers", f"The request's headers did not come in {seconds:g} s."
            )
        self.transport.close()

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Answer after the requests before this one, and close."""
        self._broken = True
        self._headers_complete()
        error = HTTPError(status, reason, message, close=True)
        if not self._is_idle():
            self._refuse_after_others(error)
            return
        request_id = random_id()
        self._log(error, request_id)
        if not self._in_body:  # else this request has its response
            self._answer(error, request_id)
        self.transport.close()

    def _refuse_after_others(self, error: HTTPError) -> None:
        cycle = self.cycle
        cycle.keep_alive = False
        if self._in_body:  # the layer that reads the body raises this
            scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]
            scope["body_error"] = error
            cycle.more_body = False
            cycle.message_event.set()
        else:
            self._log(error, random_id())

    def _answer(self, error: HTTPError, request_id: str) -> None:
        content = {"error": error.message, "error_type": error.reason, "request_id": request_id}
        body = orjson.dumps(content)
        self.transport.write(
            STATUS_LINE[error.status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (request_id.encode(), len(body))
            + body
        )

    def _log(self, error: HTTPError, request_id: str) -> None:
        seconds = self.loop.time() - self._began
        record = Record(request_id, protocol="connection", reason=error.reason)
        self.service.metrics.count_request(
            record.protocol, record.model, error.status, record.reason, seconds
        )
        url: bytes = getattr(self, "url", b"")
        log_request(
            record,
            method=None,
            path=url[:200].decode("latin-1") or None,
            status=error.status,
            seconds=seconds,
            client=self.client[0] if self.client else None,
        )


def connections(service: Service, acceptor: Acceptor) -> type[Connection]:
    """Return the class of the connections of a service."""
    return type("Connection", (Connection,), {"service": service, "acceptor": acceptor})


def _bound_unread(own: Any) -> None:
    """Bound how much of an answer the kernel keeps for a client that does not read, and how long.

    By itself, Linux would keep up to 4 MB for each connection.
    """
    option: Callable[..., None] | None = getattr(own, "setsockopt", None)
    if option:
        option(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if option and hasattr(socket, "TCP_USER_TIMEOUT"):
        option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
