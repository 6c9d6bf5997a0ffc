"""`mlmfast.Client`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from mlmfast.client import calls
from mlmfast.client.calls import ONE_TEXT, Call, ServerLimits, portions, text_list
from mlmfast.client.connection import client_arguments, load_httpx, transport_error
from mlmfast.client.exchange import Exchange, Reply, Result, Send, Wait, ask, ask_texts
from mlmfast.client.stream import MEDIA_TYPE, STREAMED_TEXTS, AnswerLines, is_stream
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


class Client:
    """A client of `mlmfast serve`. It is safe to use from several threads.

    A call with many texts becomes as many requests as the limits of the server make it. While the
    server is full or starting (429, 503), or cannot be reached, a request is sent again, after
    `Retry-After` or a growing pause.

    Args:
        url: where the server is, such as "http://127.0.0.1:8080".
        api_key: the key, if the server requires one.
        model: the model to ask; None: the server's default.
        timeout: seconds within which the server must answer each request; it drops the request
            then.
        retry_seconds: seconds that one request may wait between its tries, all together; 0: no
            retries.
        priority: "high", "normal" or "low", for servers with keys.

    Raises:
        InputError: an argument cannot be used.
        MissingDependencyError: httpx is not installed.

    Examples:
        >>> with mlmfast.Client("http://127.0.0.1:8080") as client:  # doctest: +SKIP
        ...     rows = client("Paris is the <mask> of France.", top_k=3)
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
        self._http = load_httpx().Client(**arguments)
        self._limits: ServerLimits | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int | None = None,
        targets: str | Iterable[str] | None = None,
        whole_targets: bool = False,
        truncate: bool = False,
    ) -> Any:
        """Fill the masks of one text or of several.

        Args:
            texts: one string, or several.
            top_k: rows of each mask; None means 5.
            targets: words to choose from, instead of the whole vocabulary.
            whole_targets: score targets of several tokens as a whole, as `FillMask` does.
            truncate: cut a text that is too long around its masks.

        Returns:
            For a text with one mask a list of rows `{"score", "token", "token_str", "sequence"}`,
            best first; with several masks a list of such lists. For several texts a list of these.

        Raises:
            NoMaskError: a text has no mask token.
            InputError: a text or an option cannot be used, or there is no such model.
            ServerError: the server cannot be reached, refuses the key, or fails; or it had no room
                within `retry_seconds`.
        """
        return self._answers(
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
    ) -> Iterator[Any]:
        """Fill the masks of any number of texts; each answer comes as soon as it is there.

        Texts are read as they are sent, up to a thousand ahead. Where the connection is lost, the
        texts without an answer are sent again.

        Args:
            texts: the texts.
            top_k: as in a call.
            targets: as in a call.
            whole_targets: as in a call.
            truncate: as in a call.
            on_error: "raise", or "return": a text that cannot be used gives an InputError in place
                of its answer, and the others are answered.

        Yields:
            The answers, in the order of the texts.

        Raises:
            MlmfastError: as in a call, after the answers of all texts before the bad one.
        """
        check_choice("on_error", on_error, ("raise", "return"))
        call = calls.fill_mask_call(
            self._model,
            top_k=top_k,
            targets=targets,
            whole_targets=whole_targets,
            truncate=truncate,
        )
        return self._stream(call, texts, keep_errors=on_error == "return")

    def fill(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int = 5,
        beams: int | None = None,
        order: str = "certain",
        truncate: bool = False,
    ) -> Any:
        """Fill all masks of a text together, as `FillMask.fill` does.

        Args:
            texts: one string, or several.
            top_k: fillings to return.
            beams: fillings to keep after each token; None: as many as `top_k`.
            order: "certain" or "left_to_right".
            truncate: as in a call.

        Returns:
            For a text a list of rows `{"score", "tokens", "token_strs", "sequence"}`, best first;
            for several texts a list of these.

        Raises:
            MlmfastError: as in a call.
        """
        call = calls.fill_call(
            self._model, top_k=top_k, beams=beams, order=order, truncate=truncate
        )
        return self._answers(call, texts)

    def score(
        self, texts: str | Iterable[str], *, per_token: bool = False, method: str = "original"
    ) -> Any:
        """Compute the pseudo-log-likelihood of a text, as `FillMask.score` does.

        Args:
            texts: one string, or several, without a mask.
            per_token: return the scores of the tokens too.
            method: "original" or "word_l2r".

        Returns:
            For a text its score, at most 0; with `per_token`
            `{"score", "tokens", "token_strs", "token_scores"}`. For several texts a list of these.

        Raises:
            MlmfastError: as in a call.
        """
        return self._answers(
            calls.score_call(self._model, per_token=per_token, method=method), texts
        )

    def models(self) -> list[dict[str, Any]]:
        """Return the models of the server: names, mask tokens, lengths."""
        content = self._run(ask(Send("GET", "/v1/models"), self._retry_seconds))
        found: list[dict[str, Any]] = content["models"]
        return found

    def info(self) -> dict[str, Any]:
        """Return the version, the models and the limits of the server."""
        found: dict[str, Any] = self._run(ask(Send("GET", "/info"), self._retry_seconds))
        return found

    def _answers(self, call: Call, texts: str | Iterable[str]) -> Any:
        listed = text_list(texts)
        limits = self._server_limits() if len(listed) > 1 else ONE_TEXT
        answers = self._run(ask_texts(call, listed, limits, self._retry_seconds))
        return answers[0] if isinstance(texts, str) else answers

    def _server_limits(self) -> ServerLimits:
        if self._limits is None:
            self._limits = ServerLimits.of(self.info())
        return self._limits

    def _run(self, exchange: Exchange) -> Any:
        """Do what an exchange asks for, and return its result."""
        result: Result = None
        try:
            while True:
                step = exchange.send(result)
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    result = None
                else:
                    result = self._send(step)
        except StopIteration as end:
            return end.value

    def _send(self, step: Send) -> Result:
        try:
            response = self._http.request(step.method, step.path, content=step.body)
        except self._errors as error:
            return transport_error(error, self._url)
        return Reply(response.status_code, response.headers, response.content)

    def _stream(self, call: Call, texts: Iterable[str], *, keep_errors: bool) -> Iterator[Any]:
        first, limits = 1, self._server_limits()
        for portion in portions(texts, count=STREAMED_TEXTS, body_bytes=limits.body_bytes):
            lines = AnswerLines(
                call, portion, first=first, seconds=self._retry_seconds, keep_errors=keep_errors
            )
            while not lines.done:
                result: Result = None
                try:
                    with self._http.stream(
                        "POST", call.path, content=lines.body, headers={"accept": MEDIA_TYPE}
                    ) as response:
                        reply = Reply(response.status_code, response.headers, b"")
                        if is_stream(reply):
                            for line in response.iter_lines():
                                yield from lines.read(line)
                        else:
                            result = Reply(reply.status, reply.headers, response.read())
                except self._errors as error:
                    result = transport_error(error, self._url)
                if not lines.done:
                    time.sleep(lines.wait(result))
            first += len(portion)
