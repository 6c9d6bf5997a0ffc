"""API keys, compared in constant time."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

# Paths that load balancers, scrapers and people may read without a key.
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
    """Let requests pass that are public, or have a key in `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]):
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and not _is_public(scope):
            header = dict(scope["headers"]).get(b"authorization", b"")
            scope["record"].client = key_holder(header, self._keys)
        await self._app(scope, receive, send)


def key_holder(authorization: bytes, keys: Sequence[bytes]) -> str:
    """Return the name of the client whose key an `Authorization` header holds.

    Raises:
        HTTPError: it holds none of the keys.
    """
    kind, _, key = authorization.partition(b" ")
    # All keys are compared, so that the time does not reveal which one was similar.
    known = [hmac.compare_digest(key.strip(), own) for own in keys]
    if kind.lower() != b"bearer" or not any(known):
        raise HTTPError(401, "unauthorized", "This server wants a key: Authorization: Bearer KEY.")
    return f"key {known.index(True)}"


def _is_public(scope: Scope) -> bool:
    # Everybody may read the page at /, which sends the key that its user enters.
    path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
    return path in _PUBLIC or (reads and (path == "/" or path.startswith("/page/")))
