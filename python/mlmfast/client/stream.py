"""Answers that come as lines of JSON: which texts are answered, and where to go on after a loss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.client.exchange import Reply, Result, error_from, error_of, wait_after
from mlmfast.client.retries import RetryBudget
from mlmfast.errors import MlmfastError, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.client.calls import Call

MEDIA_TYPE = "application/x-ndjson"
# Texts of one request for a stream: their answers come one by one, so that they may be many.
STREAMED_TEXTS = 1000


class AnswerLines:
    """One list of texts whose answers are read line by line.

    Where the connection is lost, or the server stops, the texts that have no answer yet are sent
    anew; whatever was answered in between renews the time for waiting.

    Args:
        call: what is asked of the texts.
        texts: the texts.
        first: the number of the first of them, from 1, for messages.
        seconds: time for waiting between tries.
        keep_errors: whether the error of a text takes the place of its answer.

    Attributes:
        done: whether all texts are answered.
    """

    def __init__(
        self, call: Call, texts: Sequence[str], *, first: int, seconds: float, keep_errors: bool
    ):
        self.done = False
        self._call = call
        self._left = list(texts)
        self._first = first
        self._seconds = seconds
        self._budget = RetryBudget(seconds)
        self._keep_errors = keep_errors
        self._last: MlmfastError | None = None

    @property
    def body(self) -> bytes:
        """The body of the next request."""
        return self._call.body(self._left)

    def read(self, line: str) -> list[Any]:
        """Read a line; return the answer that it holds, if it holds one.

        Raises:
            MlmfastError: it holds an error of a text, and errors are not kept.
        """
        try:
            content = json.loads(line)
        except ValueError as error:
            raise ServerError(f"A line of the server's answer is no valid JSON: {error}.") from None
        if content.get("end"):
            self.done = not self._left
            return []
        if "index" not in content:  # an error that ends the stream
            self._last = error_from(content["error"], content["error_type"], 503)
            return []
        answer = self._answer(content)
        self._left.pop(0)
        self._first += 1
        self._budget = RetryBudget(self._seconds)
        return [answer]

    def wait(self, result: Result) -> float:
        """Return how long to wait before the rest is asked for.

        Args:
            result: the response that was no stream, or the error of the connection; None: the
                stream has ended too soon.

        Raises:
            MlmfastError: another try would not help, or no time is left for it.
        """
        error = error_of(result) if result else self._last
        wait = wait_after(result, self._budget)
        if wait is None:
            raise error or ServerError("The server closed the connection before its last answer.")
        return wait

    def _answer(self, content: dict[str, Any]) -> Any:
        if "error" not in content:
            return self._call.read(content)
        error = error_from(
            f"Text {self._first}: {content['error']}", content.get("error_type"), 422
        )
        if self._keep_errors:
            return error
        raise error


def is_stream(reply: Reply) -> bool:
    """Whether a response is one of lines."""
    return reply.status == 200 and reply.headers.get("content-type", "").startswith(MEDIA_TYPE)
