"""The application: the routes of all protocols behind the layers that every request passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router

from mlmfast.serving.http import page
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.middleware.access_log import Access
from mlmfast.serving.http.middleware.auth import ApiKeyAuth
from mlmfast.serving.http.middleware.body import BodyReader
from mlmfast.serving.http.protocols import admin as operations
from mlmfast.serving.http.protocols import docs, v1
from mlmfast.serving.http.protocols import fill as joint
from mlmfast.serving.http.protocols import huggingface as fill_mask
from mlmfast.serving.http.protocols import open_inference as v2
from mlmfast.serving.http.protocols import score as likelihood

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlmfast.serving.http.service import Service

# The routes are tried one after the other: those that answer questions come first.
_PROTOCOLS = (fill_mask, v1, joint, likelihood, v2, operations, docs, page)
_REASONS = {404: "no_such_path", 405: "wrong_method"}


def build_app(service: Service) -> ASGIApp:
    """Put the routes behind the layers: CORS if asked for, access, keys, body."""
    routes = [route for protocol in _PROTOCOLS for route in protocol.routes(service)]
    settings = service.settings
    app: ASGIApp = Routes(Router(routes, redirect_slashes=False))
    app = BodyReader(app, most=settings.max_body, seconds=settings.body_timeout)
    app = ApiKeyAuth(app, settings.api_keys)
    app = Access(app, service)
    if settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", "traceparent"],
            expose_headers=["retry-after", "x-request-id"],
        )
    return app


class Routes:
    """The router, whose own errors become problems."""

    def __init__(self, router: Router):
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # An application in the scope makes the router raise what it would answer as plain text.
        scope["app"] = self
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            reason = _REASONS.get(error.status_code, "bad_request")
            raise HTTPError(
                error.status_code,
                reason,
                f"{scope['method']} {scope['path'][:200]}: {error.detail}.",
            ) from None
