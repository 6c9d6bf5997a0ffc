"""What every call of gRPC has around it: a key, a deadline, a status, a log line and a count."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc

from mlmfast.serving.http.middleware.access_log import client_error_of, conclude, record_of
from mlmfast.serving.http.middleware.terms import set_terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mlmfast.serving.http.errors import HTTPError
    from mlmfast.serving.http.keys import ApiKey
    from mlmfast.serving.http.record import Record
    from mlmfast.serving.http.service import Service

# Status of HTTP -> that of gRPC.
_CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CLIENT_GONE = 499
_PEER = re.compile(r"(?:ipv[46]:)?(.*?)(?::\d+)?")


def code_of(error: HTTPError) -> grpc.StatusCode:
    """Return the status of gRPC that stands for an error of HTTP."""
    return _CODES.get(error.status, grpc.StatusCode.UNKNOWN)


class RefusedError(Exception):
    """A call that fails, with its status and the metadata that follow the response.

    Attributes:
        code: the status of gRPC.
        message: the sentence for people.
        trailing: the metadata.
    """

    def __init__(self, error: HTTPError, record: Record):
        super().__init__(error.message)
        self.code = code_of(error)
        self.message = error.message
        self.trailing = [("x-request-id", record.request_id), ("error-type", error.reason)]
        if error.retry_after is not None:
            self.trailing.append(("retry-after", str(error.retry_after)))


class Calls:
    """Runs calls as `AccessLog` runs requests of HTTP.

    Args:
        service: the models and the settings.
    """

    def __init__(self, service: Service):
        self._service = service
        self._keys = service.keys

    def check_key(self, metadata: Mapping[str, str]) -> ApiKey | None:
        """Return the key that the metadata hold; None where the server has no keys.

        Raises:
            HTTPError: they hold no key, or a wrong one.
        """
        if not self._keys.required:
            return None
        key = metadata.get("x-api-key")
        header = metadata.get("authorization", "") if key is None else f"Bearer {key}"
        return self._keys.holder(header.encode())

    async def run(self, method: str, context: Any, work: Callable[[Record], Awaitable[Any]]) -> Any:
        """Do the work of one request, and count and log it.

        Raises:
            RefusedError: the request fails.
        """
        service, started = self._service, time.perf_counter()
        metadata = metadata_of(context)
        record = record_of(
            {name.encode(): value.encode() for name, value in metadata.items()}, "grpc"
        )
        record.client = client = _address(context.peer())
        if service.traces:
            service.traces.begin(record, metadata)
        context.set_trailing_metadata([("x-request-id", record.request_id)])
        status = 200
        service.in_hand += 1
        try:
            service.require_open()
            self._set_terms(record, metadata, context)
            return await work(record)
        except asyncio.CancelledError:
            status, record.reason = _CLIENT_GONE, "client_gone"
            raise
        except Exception as error:
            http_error = client_error_of(error, record)
            status = http_error.status
            raise RefusedError(http_error, record) from error
        finally:
            service.in_hand -= 1
            conclude(
                service,
                record,
                method=method,
                path=None,
                status=status,
                seconds=time.perf_counter() - started,
                client=client,
            )

    def _set_terms(self, record: Record, metadata: Mapping[str, str], context: Any) -> None:
        key = self.check_key(metadata)
        if key is not None:
            record.set_key(key)
        set_terms(
            record,
            timeout=metadata.get("x-request-timeout"),
            priority=metadata.get("x-priority") if key else None,
        )
        remaining = context.time_remaining()
        if remaining is not None:
            record.timeout = min(max(remaining, 1e-9), record.timeout or remaining)


def metadata_of(context: Any) -> dict[str, str]:
    """Return the metadata of a call that are text."""
    found = context.invocation_metadata() or ()
    return {name: value for name, value in found if isinstance(value, str)}


def _address(peer: str) -> str:
    match = _PEER.fullmatch(unquote(peer))
    return match[1].strip("[]") if match else peer
