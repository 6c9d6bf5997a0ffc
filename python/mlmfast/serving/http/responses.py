"""Responses of all protocols: JSON, bytes, errors in the protocol's own form, gzip where asked."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.errors import HTTPError
    from mlmfast.serving.http.service import Record

# Less than this costs more time to compress than it saves on the way.
_WORTH_COMPRESSING = 4096


def json_response(content: Any, status: int = 200) -> Response:
    """Write `content` as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def problem_response(problem: HTTPError, record: Record) -> Response:
    """Write an error: `{"error": ...}` is what all of our protocols' clients look for.

    The Open Inference Protocol has no more than that, and 400 for what is wrong with a request.
    """
    if record.protocol == "v2":
        status = 400 if problem.status == 422 else problem.status
        response = json_response({"error": problem.message}, status)
    else:
        content = {
            "error": problem.message,
            "error_type": problem.reason,
            "request_id": record.request_id,
        }
        response = json_response(content, problem.status)
    if problem.retry_after is not None:
        response.headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if problem.close:
        response.headers["connection"] = "close"
    return response


def compressed(request: Request, response: Response) -> Response:
    """Compress a response that is worth it, where the client takes gzip or deflate."""
    body = bytes(response.body)
    if len(body) < _WORTH_COMPRESSING:
        return response
    taken = request.headers.get("accept-encoding", "").lower()
    if "gzip" in taken:
        packed, name = gzip.compress(body, compresslevel=1), "gzip"
    elif "deflate" in taken:
        packed, name = zlib.compress(body, 1), "deflate"
    else:
        return response
    response.body = packed
    response.headers["content-length"] = str(len(packed))
    response.headers["content-encoding"] = name
    response.headers["vary"] = "Accept-Encoding"
    return response
