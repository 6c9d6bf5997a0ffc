"""Which requests need an API key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlmfast.serving.http.keys import ApiKeys

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

    def __init__(self, app: ASGIApp, keys: ApiKeys):
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys.required and not _is_public(scope):
            header = dict(scope["headers"]).get(b"authorization", b"")
            scope["record"].set_key(self._keys.holder(header))
        await self._app(scope, receive, send)


def _is_public(scope: Scope) -> bool:
    # Everybody may read the page at /, which sends the key that its user enters.
    path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
    return path in _PUBLIC or (reads and (path == "/" or path.startswith("/page/")))
