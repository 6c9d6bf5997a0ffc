"""What a call asks of every text, and texts on their way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.tasks.base import answer_steps
from mlmfast.serving.tasks.multi_token_targets import WholeTargets, pieces_of
from mlmfast.serving.tasks.rows import answer_of, best_targets
from mlmfast.serving.text.encode import encode_texts
from mlmfast.serving.text.options import EncodeOptions, rows_wanted
from mlmfast.serving.types import MaskedText, OutputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.rows import Answer
    from mlmfast.serving.text.decoding import Decoder
    from mlmfast.serving.types import Predictions


@dataclass(frozen=True, slots=True)
class FillMaskTask:
    """The options of a call that asks the model once about a text, checked.

    Attributes:
        rows: how many rows a mask gets.
        options: how texts become ids.
        targets: the only ids to choose from, int64, ascending; None: all.
    """

    rows: int
    options: EncodeOptions
    targets: np.ndarray | None = None

    @property
    def reading(self) -> EncodeOptions:
        """What reading a text depends on."""
        return self.options

    @property
    def output_spec(self) -> OutputSpec:
        """What the graph is asked."""
        return (
            OutputSpec(top_k=self.rows)
            if self.targets is None
            else OutputSpec(targets=self.targets)
        )

    def read(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks."""
        return encode_texts(
            texts, model.vocabulary, model.limits, self.options, first=first, names=names
        )

    def of(self, masked_text: MaskedText) -> MaskedText:
        """Return a masked text that says for itself what is asked."""
        return replace(masked_text, top_k=self.rows, targets=self.targets)

    def answer(self, masked_text: MaskedText, predictions: Predictions, decoder: Decoder) -> Answer:
        """Write the rows of one text."""
        if self.targets is not None:
            predictions = best_targets(predictions, self.rows)
        return answer_of(masked_text, predictions, decoder)


def fill_mask_task(
    model: Model,
    top_k: int | None = 5,
    targets: str | Iterable[str] | None = None,
    *,
    whole_targets: bool = False,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
) -> FillMaskTask | WholeTargets:
    """Check the options of a call.

    Raises:
        InputError: no target has a token, or a number is out of range.
        TypeError: a keyword that is not known, or a `top_k` that is no integer.
    """
    options = EncodeOptions.from_keywords(tokenizer_kwargs)
    vocab_size = model.limits.vocab_size
    if targets is None:
        if whole_targets:
            raise InputError("whole_targets says how targets are scored, and there are none.")
        return FillMaskTask(rows_wanted(top_k, vocab_size, None), options)
    if whole_targets:
        pieces = pieces_of(targets, model.vocabulary)
        _require_known(max(map(max, pieces)), vocab_size)
        return WholeTargets.checked(rows_wanted(top_k, vocab_size, len(pieces)), options, pieces)
    ids = model.vocabulary.target_ids(targets)
    _require_known(ids[-1], vocab_size)
    return FillMaskTask(rows_wanted(top_k, vocab_size, len(ids)), options, np.array(ids, np.int64))


def _require_known(token: int, vocab_size: int) -> None:
    if token >= vocab_size:
        raise InputError(
            f"A target has the token {token}, and this model knows {vocab_size}: the tokenizer "
            "beside the graph belongs to another model."
        )


class PendingAnswers:
    """Texts that the engine is at work on; those that are asked in steps are when it is their turn.

    Attributes:
        error: what is wrong with the first text that has no answer; always None where errors take
            the place of answers.
    """

    def __init__(
        self,
        read: Sequence[MaskedText | InputError],
        model: Model,
        task: FillMaskTask | WholeTargets,
        *,
        keep_errors: bool,
        batch_size: int | None = None,
    ):
        self.error: InputError | None = None
        if not keep_errors:
            for place, predictions in enumerate(read):
                if isinstance(predictions, InputError):
                    self.error, read = predictions, read[:place]
                    break
        self._read = read
        self._model = model
        self._asked = task
        masked_texts = [predictions for predictions in read if isinstance(predictions, MaskedText)]
        self._running = (
            model.engine.start(masked_texts, task.output_spec, batch_size=batch_size)
            if isinstance(task, FillMaskTask)
            else None
        )

    def results(self) -> list[Any]:
        """Wait for the answers; errors stand where their texts stood."""
        model, task = self._model, self._asked
        if isinstance(task, WholeTargets):
            # One text at a time: each asks about all of its targets.
            return [
                read
                if isinstance(read, InputError)
                else answer_steps(model.engine, task.steps(read, model))
                for read in self._read
            ]
        predictions = iter(self._running.predictions()) if self._running else iter(())
        return [
            read
            if isinstance(read, InputError)
            else task.answer(read, next(predictions), model.decoder)
            for read in self._read
        ]

    def cancel(self) -> None:
        """Drop what has not begun."""
        if self._running:
            self._running.cancel()
