"""The application: the routes of all protocols, behind the middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match, Route, Router

from mlmfast.serving.http import page
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.middleware.access_log import AccessLog
from mlmfast.serving.http.middleware.auth import ApiKeyAuth
from mlmfast.serving.http.middleware.body import BodyReader
from mlmfast.serving.http.middleware.delivery import AnswerDelivery
from mlmfast.serving.http.middleware.terms import RequestTerms
from mlmfast.serving.http.protocols import admin, fill, huggingface, score, sparse, v1
from mlmfast.serving.http.protocols.api_docs import routes as api_docs
from mlmfast.serving.http.protocols.v2 import repository
from mlmfast.serving.http.protocols.v2 import routes as v2

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlmfast.serving.http.service import Service

# Routes are tried in this order: those that run a model come first.
_PROTOCOLS = (huggingface, v1, fill, score, sparse, v2, repository, admin, api_docs, page)
_REASONS = {404: "no_such_path", 405: "wrong_method"}


def build_app(service: Service) -> ASGIApp:
    """Put the routes behind the middleware: CORS (optional), log, keys, terms, body, answer."""
    routes = [route for protocol in _PROTOCOLS for route in protocol.routes(service)]
    settings = service.settings
    app: ASGIApp = Routes(Router(routes, redirect_slashes=False))
    app = AnswerDelivery(app, service.answers)
    app = BodyReader(app, service)
    app = RequestTerms(app, with_keys=settings.needs_key)
    app = ApiKeyAuth(app, service.keys)
    app = AccessLog(app, service)
    if settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "authorization",
                "content-type",
                "traceparent",
                "x-priority",
                "x-request-id",
                "x-request-timeout",
            ],
            expose_headers=["retry-after", "x-request-id"],
        )
    return app


class Routes:
    """The router, with its errors turned into `HTTPError`."""

    def __init__(self, router: Router):
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # With an application in the scope, the router raises errors instead of answering.
        scope["app"] = self
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            allow = self._allowed(scope) if error.status_code == 405 else None
            if allow and scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"allow": allow})(scope, receive, send)
                return
            reason = _REASONS.get(error.status_code, "bad_request")
            raise HTTPError(
                error.status_code,
                reason,
                f"{scope['method']} {scope['path'][:200]}: {error.detail}.",
                allow=allow,
            ) from None

    def _allowed(self, scope: Scope) -> str:
        """Return the methods of a path, which several routes may share."""
        methods = {"OPTIONS"}
        for route in self._router.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                methods |= route.methods or set()
        return ", ".join(sorted(methods))
