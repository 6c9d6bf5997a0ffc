"""Answers as lines of JSON, each as soon as it is there: for lists larger than one request's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import StreamingResponse

from mlmfast.errors import InputError
from mlmfast.serving.http.errors import HTTPError, http_error_of
from mlmfast.serving.scheduler.queue import QueueFullError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.record import Record
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

MEDIA_TYPE = "application/x-ndjson"
# Texts that are put into the queue together, and how many times as many a stream has in hand at
# most.
_TEXTS = 16
_IN_HAND = 4


class AnswerStream:
    """The answers to many texts, in their order, a few of them in hand at a time.

    A line is the answer to a text with its `index`, or the error of that text; the others are
    answered all the same. The last line has `end`; where an error stops the stream, it has the
    error instead. While the queue is full, a stream waits as long as a request may.

    Args:
        service: answers the calls.
        record: the record of the request.
        texts: the texts.
        call: makes a call from texts.
        answers: returns the answer to each text.
    """

    def __init__(
        self,
        service: Service,
        record: Record,
        texts: Sequence[str],
        call: Callable[[list[str]], Call],
        answers: Callable[[InferenceResponse], list[Any]],
    ):
        self._service = service
        self._record = record
        self._texts = texts
        self._call = call
        self._answers = answers
        self._started = time.perf_counter()
        settings = service.settings
        self._size = min(_TEXTS, settings.max_texts)
        # Most of the queue is left to others.
        self._in_hand = max(1, min(_IN_HAND, settings.max_queue // (2 * self._size)))

    async def response(self) -> Response:
        """Begin to answer; what fails before the first line is an ordinary error.

        Raises:
            HTTPError: there is no such model, or it is not ready.
            MlmfastError: an option cannot be used, or the queue is full.
        """
        served = self._service.models.get(self._call([]).model)
        self._record.model = served.name
        await self._call([]).task(served.model)
        lines = self._lines()
        first = await anext(lines)
        self._record.texts = len(self._texts)

        async def body() -> AsyncIterator[bytes]:
            async with aclosing(lines):
                yield first
                async for line in lines:
                    yield line

        return StreamingResponse(body(), media_type=MEDIA_TYPE, headers={"x-accel-buffering": "no"})

    async def _lines(self) -> AsyncGenerator[bytes]:
        starts = iter(range(0, len(self._texts), self._size))
        chunks: deque[asyncio.Task[bytes]] = deque()
        is_first = True
        try:
            while True:
                while len(chunks) < self._in_hand and (start := next(starts, None)) is not None:
                    chunks.append(asyncio.ensure_future(self._chunk(start)))
                if not chunks:
                    break
                yield await chunks.popleft()
                is_first = False
            yield _line(self._end())
        except Exception as error:
            http_error = http_error_of(error)
            if is_first or http_error is None:
                raise
            self._record.reason = http_error.reason
            yield _line(_error(http_error) | {"retry_after": http_error.retry_after})
        finally:
            for chunk in chunks:
                chunk.cancel()

    async def _chunk(self, start: int) -> bytes:
        """Answer some texts; if one of them cannot be used, each by itself."""
        texts = list(self._texts[start : start + self._size])
        try:
            answers = await self._answered(texts)
        except InputError as error:
            if len(texts) > 1:
                answers = [await self._single(text) for text in texts]
            else:
                answers = [_input_error(error)]
        return b"".join(
            _line({"index": start + offset, **answer}) for offset, answer in enumerate(answers)
        )

    async def _single(self, text: str) -> Any:
        try:
            return (await self._answered([text]))[0]
        except InputError as error:
            return _input_error(error)

    async def _answered(self, texts: list[str]) -> list[Any]:
        record = replace(self._record)
        latest = time.monotonic() + self._service.seconds_for(record)
        while True:
            try:
                response = await self._service.answer(self._call(texts), record)
                break
            except QueueFullError as error:
                if time.monotonic() + error.retry_after > latest:
                    raise
                await asyncio.sleep(error.retry_after)
        own = self._record
        own.submitted = own.submitted or record.submitted
        own.tokens += record.tokens
        own.queue_seconds = max(own.queue_seconds, record.queue_seconds)
        own.run_seconds += record.run_seconds
        return self._answers(response) if response else []

    def _end(self) -> dict[str, Any]:
        return {
            "end": True,
            "model": self._record.model,
            "texts": len(self._texts),
            "tokens": self._record.tokens,
            "total_ms": round((time.perf_counter() - self._started) * 1e3, 3),
        }


def accepts_lines(request: Request) -> bool:
    """Whether a client asks for lines of JSON."""
    return MEDIA_TYPE in request.headers.get("accept", "").lower()


def _input_error(error: InputError) -> dict[str, Any]:
    return _error(http_error_of(error) or HTTPError(422, "bad_input", str(error)))


def _error(error: HTTPError) -> dict[str, Any]:
    return {"error": error.message, "error_type": error.reason}


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content) + b"\n"
