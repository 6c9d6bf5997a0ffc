"""The conversation with a server without its I/O, which both clients share.

Generators yield what is to be done, `Send` or `Wait`, and are sent what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.client.calls import Call, ServerLimits, portions
from mlmfast.client.retries import RETRIED, RetryBudget, seconds_of
from mlmfast.errors import InputError, MlmfastError, NoMaskError, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A request is split where it has more texts than it may for one of these reasons.
_ASKS_TOO_MUCH = frozenset(
    {"too_many_texts", "too_many_rows", "too_many_passes", "answer_too_large", "body_too_large"}
)
# Statuses that mean that the request itself cannot be answered by any server.
_BAD_INPUT = frozenset({400, 404, 413, 414, 415, 422})


# The reason of a `ServerError` where the server has the request and is late: it is not sent again.
LATE = "late"


@dataclass(frozen=True, slots=True)
class Send:
    """A request to send; the generator is sent a `Reply`, or the `ServerError` of a transport."""

    method: str
    path: str
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    Attributes:
        status: its status.
        headers: its headers, whose names are looked up in small letters.
        body: its body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ServerError(
                f"The server's answer is no valid JSON: {error}.", status=self.status
            ) from None


Result = Reply | ServerError | None
Exchange = Generator[Send | Wait, Result, Any]


def ask(send: Send, seconds: float) -> Exchange:
    """Send a request, again while the server asks for patience; return its JSON.

    Args:
        send: the request.
        seconds: time for waiting between the tries.

    Raises:
        MlmfastError: see `error_of`; a `ServerError` where the server cannot be reached.
    """
    budget = RetryBudget(seconds)
    while True:
        result = yield send
        if isinstance(result, Reply) and result.status < 300:
            return result.json()
        wait = wait_after(result, budget)
        if wait is None:
            raise error_of(result)
        yield Wait(wait)


def ask_texts(call: Call, texts: Sequence[str], limits: ServerLimits, seconds: float) -> Exchange:
    """Ask for the answers to texts, in as many requests as the limits of the server make it."""
    answers: list[Any] = []
    for portion in portions(texts, count=limits.texts, body_bytes=limits.body_bytes):
        try:
            answers += yield from _ask_portion(call, portion, seconds)
        except InputError as error:
            if len(portion) == len(texts):
                raise
            last = len(answers) + len(portion)
            raise type(error)(f"Of texts {len(answers) + 1} to {last}: {error}") from error
    return answers


def _ask_portion(call: Call, texts: list[str], seconds: float) -> Exchange:
    """Ask for some texts; in halves where they are too many together."""
    try:
        content = yield from ask(Send("POST", call.path, call.body(texts)), seconds)
    except _TooMuchError:
        if len(texts) < 2:
            raise
        middle = len(texts) // 2
        first = yield from _ask_portion(call, texts[:middle], seconds)
        second = yield from _ask_portion(call, texts[middle:], seconds)
        return [*first, *second]
    return [call.read(answer) for answer in content["answers"]]


def wait_after(result: Result, budget: RetryBudget) -> float | None:
    """Return how long to wait before a next try; None where another would not help."""
    if isinstance(result, Reply):
        if result.status not in RETRIED:
            return None
        return budget.wait(seconds_of(result.headers.get("retry-after")))
    late = result is not None and result.reason == LATE
    return None if late else budget.wait(None)


class _TooMuchError(InputError):
    """A request that asks too much at once."""


def error_of(result: Result) -> MlmfastError:
    """Return the error for a response that is no answer."""
    if not isinstance(result, Reply):
        return result or ServerError("The server did not answer.")
    try:
        content = json.loads(result.body)
    except ValueError:
        content = {}
    if not isinstance(content, dict):
        content = {}
    message = content.get("error")
    if not isinstance(message, str):
        message = f"The server answered with the status {result.status}."
    return error_from(message, content.get("error_type"), result.status, content.get("request_id"))


def error_from(
    message: str, reason: str | None, status: int | None, request_id: str | None = None
) -> MlmfastError:
    """Return the error for a message of the server and its reason."""
    if reason == "no_mask":
        return NoMaskError(message)
    if reason in _ASKS_TOO_MUCH:
        return _TooMuchError(message)
    if status in _BAD_INPUT:
        return InputError(message)
    return ServerError(message, status=status, reason=reason, request_id=request_id)
