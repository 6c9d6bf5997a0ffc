"""Read the body of a request within limits, decompress it, and notice when the client leaves."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.memory import BudgetFullError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlmfast.serving.http.memory import Holding
    from mlmfast.serving.http.service import Service

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# A client that is still sending would not see an error response. So the rest of a refused body is
# read and discarded first, up to this many bytes and seconds.
_MAX_DISCARDED = 256 << 20
_DISCARD_SECONDS = 5.0
# Browsers send these to other sites without asking, and none of our clients needs them.
_REFUSED_TYPES = (b"text/", b"multipart/")
# gzip allows files of several members one after another.
_MAX_MEMBERS = 10_000
# What follows a member is copied once for each member that ends within a part of this size.
_PART_BYTES = 4096
# zlib's code for "gzip or zlib".
_ANY_FORMAT = 47


class ClientGoneError(Exception):
    """The connection was closed before the response."""


class BodyReader:
    """Put the whole body into scope["body"], and cancel the request of a client that leaves."""

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service
        self._max_bytes = service.settings.max_body
        self._seconds = service.settings.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-type", b"").strip().lower().startswith(_REFUSED_TYPES):
            raise HTTPError(
                415, "unknown_type", "The body must be JSON: send Content-Type: application/json."
            )
        timeout = asyncio.timeout(self._seconds)
        with self._service.bodies.hold(lambda: timeout.reschedule(0)) as holding:
            try:
                scope["body"] = await self._body(scope, headers, receive, timeout, holding)
            except ClientGoneError:
                return
            await self._while_connected(scope, receive, send)

    async def _body(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        timeout: asyncio.Timeout,
        holding: Holding,
    ) -> bytes:
        body = None
        with suppress(BudgetFullError):
            body = await self._read(scope, headers, receive, timeout, holding)
        if body is None:
            holding.close()
            await self._discard(receive)
            raise _bodies_full()
        holding.settle()
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        if encoding in (b"", b"identity"):
            return body
        unpacked = await self._service.large_work.run(
            self._max_bytes, self._decompressed, body, encoding
        )
        try:
            holding.resize(len(unpacked))
        except BudgetFullError:
            raise _bodies_full() from None
        return unpacked

    async def _read(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        timeout: asyncio.Timeout,
        holding: Holding,
    ) -> bytes:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_bytes:
            holding.close()
            if not awaits_continue(headers):
                await self._discard(receive)
            raise self._too_large()
        chunks, size = [], 0
        try:
            async with timeout:
                while True:
                    chunk, more = await _next(receive)
                    if error := scope.get("body_error"):  # from the connection
                        raise error
                    size += len(chunk)
                    if size > self._max_bytes:
                        break
                    holding.resize(size)
                    chunks.append(chunk)
                    if not more:
                        return b"".join(chunks)
        except TimeoutError:
            if holding.dropped:
                raise HTTPError(
                    408,
                    "stalled_body",
                    "The body stopped arriving, and others needed its room.",
                    close=True,
                ) from None
            raise HTTPError(
                408,
                "slow_body",
                f"The body did not arrive within {self._seconds:g} s.",
                close=True,
            ) from None
        chunks.clear()
        holding.close()
        if more:
            await self._discard(receive)
        raise self._too_large()

    async def _discard(self, receive: Receive) -> None:
        size, more = 0, True
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while more and size <= _MAX_DISCARDED:
                    chunk, more = await _next(receive)
                    size += len(chunk)
        except TimeoutError:
            return

    def _too_large(self) -> HTTPError:
        return HTTPError(
            413,
            "body_too_large",
            f"The body is larger than {self._max_bytes:,} bytes.",
            close=True,
        )

    def _decompressed(self, body: bytes, encoding: bytes) -> bytes:
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            raise HTTPError(
                415,
                "unknown_encoding",
                "The body's content encoding must be gzip or deflate, or none.",
            )
        try:
            data = _unpacked(body, self._max_bytes + 1)
        except (zlib.error, EOFError) as error:
            raise HTTPError(400, "bad_encoding", f"The body cannot be unpacked: {error}.") from None
        if len(data) > self._max_bytes:
            raise self._too_large()
        return data

    async def _while_connected(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._app(scope, receive, send))
        disconnect = asyncio.ensure_future(_until_disconnect(receive))
        try:
            await asyncio.wait((work, disconnect), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            disconnect.cancel()


def _bodies_full() -> HTTPError:
    return HTTPError(
        429,
        "bodies_full",
        "The bodies of other requests take all the room for them: try again later.",
        retry_after=1,
        close=True,
    )


def awaits_continue(headers: dict[bytes, bytes]) -> bool:
    """Whether a client sends its body only after a response `100 Continue`."""
    return headers.get(b"expect", b"").lower() == b"100-continue"


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    """Decompress all members of a body, up to `max_bytes`.

    Raises:
        EOFError: the last member is cut short, or there are too many.
        zlib.error: it is not compressed, or damaged.
    """
    found, members, decompressor = bytearray(), 1, zlib.decompressobj(_ANY_FORMAT)
    for start in range(0, len(body), _PART_BYTES):
        part = body[start : start + _PART_BYTES]
        while part:
            if decompressor.eof:
                part = part.lstrip(b"\0")  # padding between members
                if not part:
                    break
                members += 1
                if members > _MAX_MEMBERS:
                    raise EOFError(f"it has more than {_MAX_MEMBERS:,} members")
                decompressor = zlib.decompressobj(_ANY_FORMAT)
            found += decompressor.decompress(part, max_bytes - len(found))
            if len(found) >= max_bytes:
                return bytes(found)
            part = decompressor.unused_data
    if not decompressor.eof:
        raise EOFError("it is cut short")
    return bytes(found)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
