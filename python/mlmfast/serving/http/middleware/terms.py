"""What a client asks for its own request: a deadline, and a class of priority."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.record import PRIORITIES, Record

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PRIORITY_HEADER, TIMEOUT_HEADER = "X-Priority", "X-Request-Timeout"
# Numbers as programs write them; a large exponent is more likely a mistake than a wish.
_SECONDS = re.compile(r"\d{1,9}(\.\d{0,20})?(e-\d{1,2})?")
LEAST_SECONDS = 1e-9


class RequestTerms:
    """Read `X-Request-Timeout`, and of clients with an API key `X-Priority`, into the record.

    Args:
        app: the layers below.
        with_keys: whether every request that comes here has a key.
    """

    def __init__(self, app: ASGIApp, *, with_keys: bool):
        self._app = app
        self._with_keys = with_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {
                name: value.decode("latin-1")
                for name, value in scope["headers"]
                if name in (b"x-priority", b"x-request-timeout")
            }
            set_terms(
                scope["record"],
                timeout=headers.get(b"x-request-timeout"),
                priority=headers.get(b"x-priority") if self._with_keys else None,
            )
        await self._app(scope, receive, send)


def set_terms(record: Record, *, timeout: str | None, priority: str | None) -> None:
    """Set the terms of a request, whatever its protocol.

    Args:
        record: the record of the request.
        timeout: seconds as text, a nanosecond at least; they can only shorten the server's own
            limit.
        priority: "high", "normal" or "low".

    Raises:
        HTTPError: a value cannot be used.
    """
    if timeout is not None:
        seconds = float(timeout) if _SECONDS.fullmatch(timeout) else 0.0
        if seconds < LEAST_SECONDS:
            raise HTTPError(
                400,
                "bad_header",
                f"{TIMEOUT_HEADER} must be a number of seconds, at least {LEAST_SECONDS}, and is "
                f"{timeout[:40]!r}.",
            )
        record.timeout = seconds
    if priority is not None:
        name = priority.strip().lower()
        if name not in PRIORITIES:
            raise HTTPError(
                400,
                "bad_header",
                f"{PRIORITY_HEADER} must be {', '.join(PRIORITIES)}, and is {priority[:40]!r}.",
            )
        record.priority = name
