"""The errors of requests: their status, their reason, and the message to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MlmfastError, NoMaskError, TooManyTokensError
from mlmfast.serving.scheduler.queue import (
    AnswerTooLargeError,
    ClosedError,
    QueueFullError,
    TooManyPassesError,
    TooManyRowsError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

# Characters of a message, which may repeat what a client sent.
_MAX_MESSAGE = 800
# Errors of a body that are shown; the others are counted.
_SHOWN = 3


class HTTPError(Exception):
    """A request that fails.

    Attributes:
        status: the status of the response.
        reason: one word for programs and metrics.
        message: a sentence for people; cut to a bounded length.
        retry_after: seconds after which to try again, if that may help.
        allow: the methods of the path, for the status 405.
        close: whether to close the connection after the response.
        details: what programs may want to know of it, as further keys of the response.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: int | None = None,
        allow: str | None = None,
        close: bool = False,
        details: Mapping[str, int] | None = None,
    ):
        if len(message) > _MAX_MESSAGE:
            message = f"{message[:_MAX_MESSAGE]} ..."
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.allow = allow
        self.close = close
        self.details = details or {}


class TextTooLongError(InputError):
    """A text that has more characters than one text may."""


def http_error_of(error: Exception) -> HTTPError | None:
    """Return the HTTP error for an error; None for one that is a fault of the server."""
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, QueueFullError):
        return HTTPError(429, error.reason, str(error), retry_after=error.retry_after)
    if isinstance(error, ClosedError):
        return HTTPError(503, "unavailable", str(error), retry_after=1)
    if isinstance(error, TextTooLongError):
        return HTTPError(413, "text_too_long", str(error))
    if isinstance(error, NoMaskError):
        return HTTPError(422, "no_mask", str(error))
    if isinstance(error, TooManyTokensError):
        details = {"tokens": error.tokens, "max_tokens": error.max_tokens}
        return HTTPError(422, "too_many_tokens", str(error), details=details)
    if isinstance(error, TooManyRowsError):
        return HTTPError(422, "too_many_rows", str(error))
    if isinstance(error, AnswerTooLargeError):
        return HTTPError(422, "answer_too_large", str(error))
    if isinstance(error, TooManyPassesError):
        return HTTPError(422, "too_many_passes", str(error))
    if isinstance(error, InputError):
        return HTTPError(422, "bad_input", str(error))
    if isinstance(error, MlmfastError):
        return HTTPError(500, "model_failed", "The model failed; the server's log says how.")
    return None


def bad_body(error: ValidationError) -> HTTPError:
    """Return the HTTP error for a body whose JSON is not what a request needs."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    messages = [
        f"{'.'.join(str(part) for part in one['loc'])[:200] or 'body'}: {one['msg']}"
        for one in errors[:_SHOWN]
    ]
    more = f" (and {len(errors) - _SHOWN} more)" if len(errors) > _SHOWN else ""
    return HTTPError(422, "bad_request", f"{'; '.join(messages)}{more}")
