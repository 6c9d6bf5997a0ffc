"""Read a request's body: so many bytes, in so much time, unpacked; and notice who goes away."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# A client that is still sending when it is refused would not see the answer: what it sends is
# thrown away, up to this many bytes and seconds, before it is told.
_THROWN_AWAY = 256 << 20
_THROWN_AWAY_SECONDS = 5.0
# zlib's sign for "gzip or zlib, whichever it is".
_ANY_FORMAT = 47


class ClientGoneError(Exception):
    """The connection was closed before the response."""


class BodyReader:
    """Put the whole body into scope["body"], and cancel what works for a client that left."""

    def __init__(self, app: ASGIApp, *, most: int, seconds: float):
        self._app = app
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            body = await self._read(headers, receive)
            scope["body"] = self._unpacked(body, headers.get(b"content-encoding", b""))
        except ClientGoneError:
            return
        await self._while_connected(scope, receive, send)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        told = headers.get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._most:
            await self._throw_away(receive)
            raise self._too_large()
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    chunk, more = await _next(receive)
                    size += len(chunk)
                    if size > self._most:
                        break
                    chunks.append(chunk)
                    if not more:
                        return b"".join(chunks)
        except TimeoutError:
            raise HTTPError(
                408,
                "slow_body",
                f"The body did not come within {self._seconds:g} s.",
                close=True,
            ) from None
        if more:
            await self._throw_away(receive)
        raise self._too_large()

    async def _throw_away(self, receive: Receive) -> None:
        size, more = 0, True
        try:
            async with asyncio.timeout(_THROWN_AWAY_SECONDS):
                while more and size <= _THROWN_AWAY:
                    chunk, more = await _next(receive)
                    size += len(chunk)
        except TimeoutError:
            return

    def _too_large(self) -> HTTPError:
        return HTTPError(
            413,
            "body_too_large",
            f"The body is larger than {self._most:,} bytes.",
            close=True,
        )

    def _unpacked(self, body: bytes, encoding: bytes) -> bytes:
        name = encoding.strip().lower()
        if name in (b"", b"identity"):
            return body
        if name not in (b"gzip", b"x-gzip", b"deflate"):
            raise HTTPError(
                415,
                "unknown_encoding",
                "The body's encoding is not known: send it as it is, or as gzip or deflate.",
            )
        unpacker = zlib.decompressobj(_ANY_FORMAT)
        try:
            unpacked = unpacker.decompress(body, self._most + 1)
        except zlib.error as error:
            raise HTTPError(400, "bad_encoding", f"The body cannot be unpacked: {error}.") from None
        if len(unpacked) > self._most:
            raise self._too_large()
        if not unpacker.eof:
            raise HTTPError(400, "bad_encoding", "The body cannot be unpacked: it is cut short.")
        return unpacked

    async def _while_connected(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._app(scope, receive, send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            gone.cancel()


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
