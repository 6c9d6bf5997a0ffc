"""Answers the texts of a run in order, each with its rows, its vector or its error."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.tasks.streaming import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlmfast.cli.bulk.input_texts import InputText
    from mlmfast.serving.fill_mask import FillMask

READ_AHEAD = 1024
# Texts that are scored, or whose masks are filled jointly, at the same time: each takes many calls
# of the model.
_CHUNK = 64


def answered_texts(
    fill_mask: FillMask, inputs: Iterable[InputText], options: dict[str, Any]
) -> Iterator[tuple[InputText, Any]]:
    """Yield each text with its rows or scores, or with an InputError if errors are skipped."""

    def answers(texts: NumberedTexts) -> Iterator[Any]:
        return _answers(fill_mask, texts, options)

    return answered(inputs, answers, skip=options["on_error"] == "skip")


def answered(
    inputs: Iterable[InputText],
    answers: Callable[[NumberedTexts], Iterator[Any]],
    *,
    skip: bool,
) -> Iterator[tuple[InputText, Any]]:
    """Yield each text with its answer, or with an InputError if errors are skipped.

    Args:
        inputs: the texts.
        answers: answers texts in order.
        skip: whether errors take the place of answers.
    """
    # Read and not answered yet; a text with an error of its own waits for its turn.
    pending: list[InputText] = []

    def texts() -> Iterator[str]:
        for one in inputs:
            if one.error is not None and not skip:
                raise one.error
            pending.append(one)
            if one.text is not None:
                yield one.text

    for answer in answers(NumberedTexts(texts(), pending)):
        yield from _own_errors(pending)
        yield pending.pop(0), answer
    yield from _own_errors(pending)


def _own_errors(pending: list[InputText]) -> Iterator[tuple[InputText, InputError]]:
    while pending and pending[0].error is not None:
        one = pending.pop(0)
        if one.error is not None:
            yield one, one.error


def read_ahead(options: dict[str, Any]) -> int:
    """Return how many texts may be read before the first is answered."""
    # At a terminal every line is answered as soon as it is typed.
    typed = "-" in (*options["texts"], options["source"]) and sys.stdin.isatty()
    return 1 if typed else READ_AHEAD


def _answers(
    fill_mask: FillMask, numbered: NumberedTexts, options: dict[str, Any]
) -> Iterator[Any]:
    skip = options["on_error"] == "skip"
    cut = {"truncation": "around_mask" if options["truncate"] else False}
    words = [word for group in options["targets"] for word in group.split(",") if word]
    ahead = read_ahead(options)
    if options["joint"] or options["score"]:
        chunks = _Chunks(fill_mask, options, cut, numbered.name)
        for answer in in_order(numbered, chunks.begin, read_ahead=min(ahead, 2 * _CHUNK)):
            if isinstance(answer, InputError) and not skip:
                raise answer
            yield answer
        return
    yield from fill_mask.stream(
        numbered,
        top_k=options["top_k"],
        targets=words if options["targets"] else None,
        whole_targets=options["whole_targets"],
        tokenizer_kwargs=cut,
        read_ahead=ahead,
        on_error="return" if skip else "raise",
        names=numbered.name,
    )


class _Chunks:
    """Scores texts, or fills their masks jointly, a chunk of texts at a time."""

    def __init__(
        self,
        fill_mask: FillMask,
        options: dict[str, Any],
        cut: dict[str, Any],
        name: Callable[[int], str],
    ):
        self._name = name
        self._answer = (
            fill_mask.score
            if options["score"]
            else partial(
                fill_mask.fill,
                top_k=options["top_k"],
                beams=options["beams"],
                tokenizer_kwargs=cut,
            )
        )

    def begin(self, texts: list[str], first: int) -> _Chunk:
        """Return a chunk of `texts`, the first of which has the number `first`."""
        names = [self._name(first + place) for place in range(len(texts))]
        return _Chunk(partial(self._answer, texts, on_error="return", names=lambda n: names[n - 1]))


class _Chunk:
    """Texts that are answered when `results` is called."""

    error: InputError | None = None

    def __init__(self, answer: Callable[[], list[Any]]):
        self._answer = answer

    def results(self) -> list[Any]:
        """Return the answers."""
        return self._answer()

    def cancel(self) -> None:
        """Do nothing, since nothing has started."""


class NumberedTexts:
    """Yields texts and keeps the names of those that are not answered yet."""

    def __init__(self, texts: Iterator[str], pending: list[InputText]):
        self._texts = texts
        self._pending = pending
        self._names: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self._texts, start=1):
            self._names[number] = self._pending[-1].name
            self._names.pop(number - 2 * READ_AHEAD, None)
            yield text

    def name(self, number: int) -> str:
        """Return what messages call text `number`."""
        return self._names[number]
