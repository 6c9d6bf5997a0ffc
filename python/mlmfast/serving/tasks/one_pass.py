"""Tasks that run the model once for each text, and texts of them that are being run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.tasks.base import Task, run_steps
from mlmfast.serving.tasks.fill_mask import FillMaskTask
from mlmfast.serving.tasks.sparse import SparseTask
from mlmfast.serving.text.encode import raise_first_error, text_number
from mlmfast.serving.text.options import checked_batch_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlmfast.serving.engine.model import Model

OnePassTask = FillMaskTask | SparseTask


class PendingAnswers:
    """Texts that the engine is running. What takes several steps is run when `results` is called.

    Attributes:
        error: the error of the first text that cannot be used, after which none is answered; always
            None where errors take the place of answers.
    """

    def __init__(
        self,
        encoded: Sequence[Any],
        model: Model,
        task: OnePassTask | Task,
        *,
        keep_errors: bool,
        batch_size: int | None = None,
    ):
        self.error: InputError | None = None
        if not keep_errors:
            for index, text in enumerate(encoded):
                if isinstance(text, InputError):
                    self.error, encoded = text, encoded[:index]
                    break
        self._encoded = encoded
        self._model = model
        self._task = task
        texts = [text for text in encoded if not isinstance(text, InputError)]
        self._running = (
            model.engine.start(texts, task.output_spec, batch_size=batch_size)
            if isinstance(task, OnePassTask)
            else None
        )

    def results(self) -> list[Any]:
        """Wait for the answers, in the order of the texts, with errors among them."""
        model, task = self._model, self._task
        if not isinstance(task, OnePassTask):
            # One text at a time: the targets of a single text make large batches.
            return [
                text
                if isinstance(text, InputError)
                else run_steps(model.engine, task.steps(text, model))
                for text in self._encoded
            ]
        results = iter(self._running.results()) if self._running else iter(())
        return [
            text
            if isinstance(text, InputError)
            else task.answer(text, next(results), model.decoder)
            for text in self._encoded
        ]

    def cancel(self) -> None:
        """Drop the batches that have not started."""
        if self._running:
            self._running.cancel()


class OnePass:
    """Starts the texts of calls on a model.

    Args:
        model: the model.
        batch_size: how many texts run together at most, where a call does not say; None for no
            limit but that of their tokens.
    """

    def __init__(self, model: Model, batch_size: int | None = None):
        self._model = model
        self._batch_size = batch_size

    def starter(
        self,
        task: OnePassTask | Task,
        *,
        names: Callable[[int], str] = text_number,
        keep_errors: bool = False,
        raise_early: bool = False,
        batch_size: int | None = None,
    ) -> Callable[[list[Any], int], PendingAnswers]:
        """Return the function that starts a piece of the texts of a call.

        Args:
            task: the task of the call.
            names: what messages call a text.
            keep_errors: errors take the place of answers.
            raise_early: raise the first error of a piece before any of it is run.
            batch_size: as in the constructor, whose value holds if it is None.
        """
        rows = checked_batch_size(batch_size) or self._batch_size

        def start(texts: list[Any], first: int) -> PendingAnswers:
            encoded = task.encode(texts, self._model, first=first, names=names)
            if raise_early:
                raise_first_error(encoded)
            return PendingAnswers(
                encoded, self._model, task, keep_errors=keep_errors, batch_size=rows
            )

        return start
