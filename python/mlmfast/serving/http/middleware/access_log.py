"""The outermost layer: an id, a record, a log line and a count for every request."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError, problem_of
from mlmfast.serving.http.log import log_request
from mlmfast.serving.http.responses import problem_response
from mlmfast.serving.http.service import Record

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlmfast.serving.http.service import Service

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[\w.:-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_GONE = 499  # what a log says of a client that did not wait, as in nginx


class Access:
    """Know every request from its headers to its response, and let no error out but as a problem.

    Whoever reads scope["record"] finds, and completes, what is known of the request.
    """

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        record = scope["record"] = _record(scope["method"], scope["path"], headers)
        service = self._service
        started = ResponseWatcher(record, send, service)
        counted = record.protocol != "operations"
        service.in_hand += counted
        try:
            if counted:
                service.require_open()
            await self._app(scope, receive, started.send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await self._answer(error, record, scope, receive, started)
        finally:
            service.in_hand -= counted
        status = started.status or _GONE
        if status == _GONE:
            record.reason = "client_gone"
        seconds = time.perf_counter() - begun
        if counted:
            service.metrics.request_is_done(
                record.protocol, record.model, status, record.reason, seconds
            )
        client = scope.get("client")
        log_request(
            record,
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            seconds=seconds,
            client=client[0] if client else None,
        )

    async def _answer(
        self,
        error: Exception,
        record: Record,
        scope: Scope,
        receive: Receive,
        started: ResponseWatcher,
    ) -> None:
        problem = problem_of(error)
        if problem is None or problem.status == 500:
            logger.error(
                "a request failed", exc_info=error, extra={"fields": {"id": record.request_id}}
            )
        if problem is None:
            problem = HTTPError(500, "internal", "The server failed; its log says how.")
        record.reason = problem.reason
        if not started.status:
            await problem_response(problem, record)(scope, receive, started.send)


class ResponseWatcher:
    """Remembers the status of a response, and gives it the ids of its request."""

    def __init__(self, record: Record, send: Send, service: Service):
        self.status = 0
        self._send = send
        self._service = service
        self._headers = [(b"x-request-id", record.request_id.encode())]
        if record.traceparent:
            self._headers.append((b"traceparent", record.traceparent.encode()))

    async def send(self, message: Message) -> None:
        """Pass a part of the response on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._headers]
            if self._service.draining:  # a client must not ask again on a connection that ends
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


def _record(method: str, path: str, headers: dict[bytes, Any]) -> Record:
    own = headers.get(b"x-request-id", b"")
    trace = headers.get(b"traceparent", b"")
    return Record(
        request_id=own.decode() if _REQUEST_ID.fullmatch(own) else random_id(),
        traceparent=trace.decode() if _TRACEPARENT.fullmatch(trace) else None,
        protocol=protocol_of(method, path),
    )


def random_id() -> str:
    """Return an id that no other request has; it is no secret."""
    return f"{random.getrandbits(128):032x}"


def protocol_of(method: str, path: str) -> str:
    """Tell whose form the errors of a path have, and under what name it is counted."""
    if (path == "/" and method == "POST") or path.startswith("/models/"):
        return "fill-mask"
    if path.startswith("/v1/"):
        return "v1"
    if path.startswith("/v2") and not path.startswith("/v2/health/"):
        return "v2"
    return "operations"
