"""Who may ask: an API key, compared in a time that tells nothing about it."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

# What balancers, scrapers and people without a key may see. Everything else needs one.
_PUBLIC = frozenset(
    {
        "/health",
        "/v2/health/live",
        "/v2/health/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
    }
)


class ApiKeyAuth:
    """Let pass what is public, and who carries one of the keys as `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]):
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and not _is_public(scope):
            given = dict(scope["headers"]).get(b"authorization", b"")
            kind, _, key = given.partition(b" ")
            # All keys are compared, so that the time does not tell which one was close.
            known = [hmac.compare_digest(key.strip(), own) for own in self._keys]
            if kind.lower() != b"bearer" or not any(known):
                raise HTTPError(
                    401, "unauthorized", "This server wants a key: Authorization: Bearer KEY."
                )
        await self._app(scope, receive, send)


def _is_public(scope: Scope) -> bool:
    # The page at / may be seen by all, and asks with the key that its user types.
    path, asks = scope["path"], scope["method"] not in ("GET", "HEAD")
    return path in _PUBLIC or (not asks and (path == "/" or path.startswith("/page/")))
