"""Each text of a `fill-mask` run with its answer, or with what is wrong with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.cli._questions import Given
    from mlmfast.serving.fill_mask import FillMask

READ_AHEAD = 1024


def answered_texts(
    fill_mask: FillMask, given: Iterable[Given], options: dict[str, Any]
) -> Iterator[tuple[Given, Any]]:
    """Yield each text with its answer, or with an InputError where errors are skipped."""
    pending: list[Given] = []  # read, and not answered; those with errors of their own stay in turn
    skip = options["on_error"] == "skip"

    def texts() -> Iterator[str]:
        for one in given:
            if one.error is not None and not skip:
                raise one.error
            pending.append(one)
            if one.text is not None:
                yield one.text

    for answer in _answers(fill_mask, texts(), pending, options):
        yield from _own_errors(pending)
        yield pending.pop(0), answer
    yield from _own_errors(pending)


def _own_errors(pending: list[Given]) -> Iterator[tuple[Given, InputError]]:
    while pending and pending[0].error is not None:
        one = pending.pop(0)
        if one.error is not None:
            yield one, one.error


def _answers(
    fill_mask: FillMask, texts: Iterator[str], pending: list[Given], options: dict[str, Any]
) -> Iterator[Any]:
    skip = options["on_error"] == "skip"
    cut = {"truncation": "around_mask" if options["truncate"] else False}
    if options["joint"] or options["score"]:
        for text in texts:
            try:
                yield (
                    fill_mask.score(text)
                    if options["score"]
                    else fill_mask.fill(
                        text,
                        top_k=options["top_k"],
                        beams=options["beams"],
                        tokenizer_kwargs=cut,
                    )
                )
            except InputError as error:
                named = InputError(str(error).replace("The text", pending[-1].name, 1))
                if not skip:
                    raise named from error
                yield named
        return
    words = [word for group in options["targets"] for word in group.split(",") if word]
    # At a terminal every line is answered as soon as it is typed.
    typed = "-" in (*options["texts"], options["source"]) and sys.stdin.isatty()
    numbered = _Numbered(texts, pending)
    yield from fill_mask.stream(
        numbered,
        top_k=options["top_k"],
        targets=words if options["targets"] else None,
        whole_targets=options["whole_targets"],
        tokenizer_kwargs=cut,
        read_ahead=1 if typed else READ_AHEAD,
        on_error="return" if skip else "raise",
        names=numbered.name,
    )


class _Numbered:
    """Texts that remember what messages call those on their way."""

    def __init__(self, texts: Iterator[str], pending: list[Given]):
        self._texts = texts
        self._pending = pending
        self._names: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self._texts, start=1):
            self._names[number] = self._pending[-1].name
            self._names.pop(number - 2 * READ_AHEAD, None)
            yield text

    def name(self, number: int) -> str:
        """Name a text that is on its way."""
        return self._names[number]
