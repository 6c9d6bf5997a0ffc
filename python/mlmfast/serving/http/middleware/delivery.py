"""Send large answers piece by piece, and bound what waits for clients that do not read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.memory import BudgetFullError, ByteBudget

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What is handed to the connection at once; the connection holds that much and its own buffer.
_PIECE_BYTES = 64 << 10
# A client that reads no piece for so long counts as gone.
_UNREAD_SECONDS = 30.0


class AnswerDelivery:
    """Hand large answers to the connection only as fast as the client reads them.

    An ASGI server takes an answer of any size and keeps it until the client has read it. Here all
    large answers together are bounded. Where they are too many, clients that have stopped reading
    lose their connection, and if none has, the answer is refused with 503.
    """

    def __init__(self, app: ASGIApp, budget: ByteBudget):
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None

        async def send_in_pieces(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # held back, in case the body must be refused
                return
            first, start = start, None
            body = message.get("body", b"")
            if len(body) <= _PIECE_BYTES:
                if first is not None:
                    await send(first)
                await send(message)
                return
            await self._deliver(scope, send, first, message)

        try:
            await self._app(scope, receive, send_in_pieces)
        except BudgetFullError:
            raise HTTPError(
                503,
                "answers_full",
                "Too many answers wait for clients to read them: try again later.",
                retry_after=1,
            ) from None

    async def _deliver(
        self, scope: Scope, send: Send, start: Message | None, message: Message
    ) -> None:
        body: bytes = message["body"]
        abort = (scope.get("state") or {}).get("abort")
        record = scope["record"]

        def drop() -> None:
            record.reason = "unread"
            if abort is not None:
                abort()

        with self._budget.hold(None if abort is None else drop) as holding:
            if start is not None:  # a stream that has begun is not refused
                holding.resize(len(body))
                await send(start)
            for at in range(0, len(body), _PIECE_BYTES):
                end = min(at + _PIECE_BYTES, len(body))
                more = end < len(body) or message.get("more_body", False)
                piece: dict[str, Any] = {**message, "body": body[at:end], "more_body": more}
                try:
                    async with asyncio.timeout(_UNREAD_SECONDS):
                        await send(piece)
                except TimeoutError:
                    drop()
                    if abort is None:
                        return
                holding.progress()  # after an abort, sending ends at once
