"""Everything that can be wrong with a request: its status, its reason, what the client is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MlmfastError, NoMaskError
from mlmfast.serving.scheduler.queue import (
    ClosedError,
    QueueFullError,
    TooManyPassesError,
    TooManyRowsError,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

# Errors of a body that are shown; the others are counted.
_SHOWN = 3


class HTTPError(Exception):
    """A request that is not answered as it wished.

    Attributes:
        status: of the response.
        reason: one word for programs and metrics.
        message: a sentence for people.
        retry_after: seconds after which to try again, where that helps.
        close: whether the connection ends with the response.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: int | None = None,
        close: bool = False,
    ):
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.close = close


def problem_of(error: Exception) -> HTTPError | None:
    """Tell what a client is told of `error`; None: it is a fault of ours."""
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, QueueFullError):
        return HTTPError(429, "queue_full", str(error), retry_after=error.retry_after)
    if isinstance(error, ClosedError):
        return HTTPError(503, "unavailable", str(error), retry_after=1)
    if isinstance(error, NoMaskError):
        return HTTPError(422, "no_mask", str(error))
    if isinstance(error, TooManyRowsError):
        return HTTPError(422, "too_many_rows", str(error))
    if isinstance(error, TooManyPassesError):
        return HTTPError(422, "too_many_passes", str(error))
    if isinstance(error, InputError):
        return HTTPError(422, "bad_input", str(error))
    if isinstance(error, MlmfastError):
        return HTTPError(500, "model_failed", "The model failed; the server's log says how.")
    return None


def bad_body(error: ValidationError) -> HTTPError:
    """Tell what is wrong with a JSON body."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return HTTPError(400, "bad_json", f"The body is no valid JSON: {found[0]['msg']}.")
    told = [
        f"{'.'.join(str(part) for part in one['loc'])[:200] or 'body'}: {one['msg']}"
        for one in found[:_SHOWN]
    ]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return HTTPError(422, "bad_request", f"{'; '.join(told)}{more}")
