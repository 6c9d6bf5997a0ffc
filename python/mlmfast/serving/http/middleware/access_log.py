"""The outermost middleware: an id, a record, a log line and a count for every request."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError, http_error_of
from mlmfast.serving.http.middleware.body import awaits_continue
from mlmfast.serving.http.middleware.hosts import AllowedHosts
from mlmfast.serving.http.record import Record
from mlmfast.serving.http.responses import error_response
from mlmfast.serving.http.telemetry.log import log_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlmfast.serving.http.service import Service

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[\w.:-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
# The key in a request's scope that says whether its connection is one too many.
OVER_LIMIT = "mlmfast.over_limit"
GRPC_SERVICE = "inference.GRPCInferenceService"
_CLIENT_CLOSED = 499  # nginx's status for a client that did not wait for the response


class AccessLog:
    """Log and count every request, and turn every error into a response.

    scope["record"] is the `Record` of the request, which the layers below complete.
    """

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service
        self._hosts = AllowedHosts(service.settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        record = scope["record"] = record_of(headers, protocol_of(scope["method"], scope["path"]))
        client = scope.get("client")
        record.client = client[0] if client else ""
        service = self._service
        counted = record.protocol != "operations"
        service.in_hand += counted
        if counted and service.traces:
            service.traces.begin(record, _text_of(headers))
        response = ResponseWatcher(scope, send, service)
        try:
            self._hosts.check(scope)
            if counted:
                _require_room(scope)
                service.require_open()
            await self._app(scope, receive, response.send)
        except Exception as error:  # noqa: BLE001 - the client gets a response to any error
            await self._answer(error, record, scope, receive, response)
        finally:
            service.in_hand -= counted
        status = response.status or _CLIENT_CLOSED
        if status == _CLIENT_CLOSED:
            record.reason = "client_gone"
        conclude(
            service,
            record,
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            seconds=time.perf_counter() - started,
            client=client[0] if client else None,
        )

    async def _answer(
        self,
        error: Exception,
        record: Record,
        scope: Scope,
        receive: Receive,
        response: ResponseWatcher,
    ) -> None:
        http_error = client_error_of(error, record)
        if not response.status:
            await error_response(http_error, record)(scope, receive, response.send)


class ResponseWatcher:
    """Remembers the status of a response, and adds the ids of its request to the headers."""

    def __init__(self, scope: Scope, send: Send, service: Service):
        record: Record = scope["record"]
        self.status = 0
        self._scope = scope
        self._send = send
        self._service = service
        self._headers = [(b"x-request-id", record.request_id.encode())]
        if record.traceparent:
            self._headers.append((b"traceparent", record.traceparent.encode()))

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._headers]
            # Without having read the body, nobody can tell whether the client will still send it.
            unread = "body" not in self._scope and awaits_continue(dict(self._scope["headers"]))
            over = self._scope.get(OVER_LIMIT)
            closes = self._service.draining or unread or over
            if closes and all(name != b"connection" for name, _ in headers):
                headers.append((b"connection", b"close"))  # the client shall not reuse it
            message = {**message, "headers": headers}
        await self._send(message)


def conclude(
    service: Service,
    record: Record,
    *,
    method: str,
    path: str | None,
    status: int,
    seconds: float,
    client: str | None,
) -> None:
    """Count, log and trace a request that has ended.

    Args:
        service: has the metrics and the traces.
        record: the record of the request.
        method: the method of HTTP, or of gRPC.
        path: the path; None over gRPC.
        status: the status of HTTP.
        seconds: how long it took.
        client: the address of the client.
    """
    if record.protocol != "operations":
        service.metrics.count_request(
            record.protocol, record.model, status, record.reason, seconds, record.key_name
        )
    if service.traces and record.span is not None:
        found: dict[str, Any] = {"client.address": client or ""}
        if path is None:
            name = f"{GRPC_SERVICE}/{method}"
            found |= {"rpc.system": "grpc", "rpc.service": GRPC_SERVICE, "rpc.method": method}
        else:
            name = f"{method} {_route(path, record)}".strip()
            found |= {"http.request.method": method, "url.path": path}
        found["http.response.status_code"] = status
        service.traces.end(record, name=name, status=status, seconds=seconds, attributes=found)
    log_request(record, method=method, path=path, status=status, seconds=seconds, client=client)


def _route(path: str, record: Record) -> str:
    """Return a path without what differs between models; nothing for one that leads nowhere."""
    if record.reason in ("no_such_path", "no_such_model", "wrong_method"):
        return ""
    parts = path.split("/")
    return "/".join(
        "{model}" if before == "models" else part
        for before, part in zip(["", *parts], parts, strict=False)
    )


def _text_of(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}


def client_error_of(error: Exception, record: Record) -> HTTPError:
    """Return what a client is told of an error, and log what it is not told."""
    http_error = http_error_of(error)
    if http_error is None or http_error.status == 500:
        logger.error(
            "a request failed", exc_info=error, extra={"fields": {"id": record.request_id}}
        )
    if http_error is None:
        http_error = HTTPError(500, "internal", "The server failed; its log says how.")
    record.reason = http_error.reason
    return http_error


def _require_room(scope: Scope) -> None:
    if scope.get(OVER_LIMIT):
        raise HTTPError(
            503,
            "too_many_connections",
            "The server has too many connections: try again, or ask another.",
            retry_after=1,
            close=True,
        )


def record_of(headers: Mapping[bytes, bytes], protocol: str) -> Record:
    """Begin the record of a request, with the ids that its client gave it.

    Args:
        headers: its headers, or the metadata of gRPC.
        protocol: its protocol.
    """
    own = headers.get(b"x-request-id", b"")
    trace = headers.get(b"traceparent", b"")
    return Record(
        request_id=own.decode() if _REQUEST_ID.fullmatch(own) else random_id(),
        traceparent=trace.decode() if _TRACEPARENT.fullmatch(trace) else None,
        protocol=protocol,
    )


def random_id() -> str:
    """Return a unique id for a request; it is not secret."""
    return f"{random.getrandbits(128):032x}"


def protocol_of(method: str, path: str) -> str:
    """Return the protocol of a path: it decides the form of errors, and the label in metrics."""
    if (path == "/" and method == "POST") or path.startswith("/models/"):
        return "fill-mask"
    if path.startswith("/v1/"):
        return "v1"
    if path == "/embed_sparse":
        return "tei"
    if path.startswith("/v2") and not path.startswith("/v2/health/"):
        return "v2"
    return "operations"
