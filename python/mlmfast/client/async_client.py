"""`mlmfast.AsyncClient`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from mlmfast.client import calls
from mlmfast.client.calls import ONE_TEXT, Call, ServerLimits, portions, text_list
from mlmfast.client.connection import client_arguments, load_httpx, transport_error
from mlmfast.client.exchange import Exchange, Reply, Result, Send, Wait, ask, ask_texts
from mlmfast.client.stream import MEDIA_TYPE, STREAMED_TEXTS, AnswerLines, is_stream
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType


class AsyncClient:
    """`mlmfast.Client` with coroutines: the same arguments, methods, answers and errors.

    Args:
        url: as for `Client`.
        api_key: as for `Client`.
        model: as for `Client`.
        timeout: as for `Client`.
        retry_seconds: as for `Client`.
        priority: as for `Client`.

    Raises:
        InputError: an argument cannot be used.
        MissingDependencyError: httpx is not installed.

    Examples:
        >>> async with mlmfast.AsyncClient("http://127.0.0.1:8080") as client:  # doctest: +SKIP
        ...     rows = await client("Paris is the <mask> of France.", top_k=3)
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = 30.0,
        retry_seconds: float = 60.0,
        priority: str | None = None,
    ):
        arguments = client_arguments(url, api_key=api_key, timeout=timeout, priority=priority)
        self._url = url
        self._model = model
        self._retry_seconds = retry_seconds
        self._errors = load_httpx().TransportError
        self._http = load_httpx().AsyncClient(**arguments)
        self._limits: ServerLimits | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __call__(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int | None = None,
        targets: str | Iterable[str] | None = None,
        whole_targets: bool = False,
        truncate: bool = False,
    ) -> Any:
        """Fill the masks of one text or of several: see `Client.__call__`."""
        return await self._answers(
            calls.fill_mask_call(
                self._model,
                top_k=top_k,
                targets=targets,
                whole_targets=whole_targets,
                truncate=truncate,
            ),
            texts,
        )

    def stream(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        targets: str | Iterable[str] | None = None,
        whole_targets: bool = False,
        truncate: bool = False,
        on_error: str = "raise",
    ) -> AsyncIterator[Any]:
        """Answer any number of texts, each as soon as it can be: see `Client.stream`."""
        check_choice("on_error", on_error, ("raise", "return"))
        call = calls.fill_mask_call(
            self._model,
            top_k=top_k,
            targets=targets,
            whole_targets=whole_targets,
            truncate=truncate,
        )
        return self._stream(call, texts, keep_errors=on_error == "return")

    async def fill(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int = 5,
        beams: int | None = None,
        order: str = "certain",
        truncate: bool = False,
    ) -> Any:
        """Fill all masks of a text together: see `Client.fill`."""
        call = calls.fill_call(
            self._model, top_k=top_k, beams=beams, order=order, truncate=truncate
        )
        return await self._answers(call, texts)

    async def score(
        self, texts: str | Iterable[str], *, per_token: bool = False, method: str = "original"
    ) -> Any:
        """Compute the pseudo-log-likelihood of a text: see `Client.score`."""
        return await self._answers(
            calls.score_call(self._model, per_token=per_token, method=method), texts
        )

    async def models(self) -> list[dict[str, Any]]:
        """Return the models of the server: names, mask tokens, lengths."""
        content = await self._run(ask(Send("GET", "/v1/models"), self._retry_seconds))
        found: list[dict[str, Any]] = content["models"]
        return found

    async def info(self) -> dict[str, Any]:
        """Return the version, the models and the limits of the server."""
        found: dict[str, Any] = await self._run(ask(Send("GET", "/info"), self._retry_seconds))
        return found

    async def _answers(self, call: Call, texts: str | Iterable[str]) -> Any:
        listed = text_list(texts)
        limits = await self._server_limits() if len(listed) > 1 else ONE_TEXT
        answers = await self._run(ask_texts(call, listed, limits, self._retry_seconds))
        return answers[0] if isinstance(texts, str) else answers

    async def _server_limits(self) -> ServerLimits:
        if self._limits is None:
            self._limits = ServerLimits.of(await self.info())
        return self._limits

    async def _run(self, exchange: Exchange) -> Any:
        """Do what an exchange asks for, and return its result."""
        result: Result = None
        try:
            while True:
                step = exchange.send(result)
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    result = None
                else:
                    result = await self._send(step)
        except StopIteration as end:
            return end.value

    async def _send(self, step: Send) -> Result:
        try:
            response = await self._http.request(step.method, step.path, content=step.body)
        except self._errors as error:
            return transport_error(error, self._url)
        return Reply(response.status_code, response.headers, response.content)

    async def _stream(
        self, call: Call, texts: Iterable[str], *, keep_errors: bool
    ) -> AsyncIterator[Any]:
        first, limits = 1, await self._server_limits()
        for portion in portions(texts, count=STREAMED_TEXTS, body_bytes=limits.body_bytes):
            lines = AnswerLines(
                call, portion, first=first, seconds=self._retry_seconds, keep_errors=keep_errors
            )
            while not lines.done:
                result: Result = None
                try:
                    async with self._http.stream(
                        "POST", call.path, content=lines.body, headers={"accept": MEDIA_TYPE}
                    ) as response:
                        reply = Reply(response.status_code, response.headers, b"")
                        if is_stream(reply):
                            async for line in response.aiter_lines():
                                for answer in lines.read(line):
                                    yield answer
                        else:
                            result = Reply(reply.status, reply.headers, await response.aread())
                except self._errors as error:
                    result = transport_error(error, self._url)
                if not lines.done:
                    await asyncio.sleep(lines.wait(result))
            first += len(portion)
