"""Responses: JSON, errors in the form of each protocol, compression."""

from __future__ import annotations

import gzip
import re
import zlib
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.errors import HTTPError
    from mlmfast.serving.http.record import Record

# Smaller bodies take more time to compress than that saves on the network.
_MIN_COMPRESSED = 4096
_CODING = re.compile(r"\s*([\w*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d*)?)\s*)?")


def json_response(content: Any, status: int = 200) -> Response:
    """Write `content` as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def error_response(error: HTTPError, record: Record) -> Response:
    """Write an error as JSON with the key `error`, which the clients of all protocols read.

    The Open Inference Protocol has no other keys, and the status 400 for any bad request.
    """
    if record.protocol == "v2":
        status = 400 if error.status == 422 else error.status
        response = json_response({"error": error.message}, status)
    else:
        content = {
            "error": error.message,
            "error_type": error.reason,
            "request_id": record.request_id,
            **error.details,
        }
        response = json_response(content, error.status)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    if error.allow is not None:
        response.headers["allow"] = error.allow
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if error.close:
        response.headers["connection"] = "close"
    return response


def compressed(request: Request, response: Response) -> Response:
    """Compress a large response if the client accepts gzip or deflate."""
    body = bytes(response.body)
    if len(body) < _MIN_COMPRESSED:
        return response
    response.headers["vary"] = "Accept-Encoding"
    name = _coding(request.headers.get("accept-encoding", ""))
    if name == "identity":
        return response
    data = gzip.compress(body, compresslevel=1) if name == "gzip" else zlib.compress(body, 1)
    response.body = data
    response.headers["content-length"] = str(len(data))
    response.headers["content-encoding"] = name
    return response


def _coding(accepted: str) -> str:
    """Return the coding that an `Accept-Encoding` prefers: "gzip", "deflate" or "identity"."""
    qualities = {}
    for part in accepted.lower().split(","):
        if match := _CODING.fullmatch(part):
            qualities[match[1]] = float(match[2] or 1)
    others = qualities.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda name: qualities.get(name, others))
    quality = qualities.get(best, others)
    return best if quality > 0 and quality >= qualities.get("identity", 0.0) else "identity"
