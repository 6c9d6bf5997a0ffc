"""Tasks that run the model several times for a text, each time with what it predicted before."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mlmfast.errors import InputError
from mlmfast.serving.text.encode import raise_first_error
from mlmfast.serving.types import MaskedText, OutputSpec, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from mlmfast.serving.engine.engine import Engine
    from mlmfast.serving.engine.model import Model

T = TypeVar("T")
# Yields the masked texts of a step, is sent their predictions, and returns the answer. The caller
# decides when they are run, and in which batches.
Steps = Generator[list[MaskedText], list[Predictions], T]

_PER_TEXT = OutputSpec(per_text=True)
# Texts whose steps are interleaved: each of them has many masked texts in a step.
_AT_ONCE = 64


class Task(Protocol):
    """The checked options of a call whose texts are answered in steps.

    `encode` turns each text into an object of the task's own, which the other methods take.
    """

    @property
    def encode_key(self) -> Hashable:
        """What `encode` depends on: the texts of requests with equal keys may share a call."""

    @property
    def cost_unit(self) -> str:
        """What each pass of the model is for, for messages."""

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[Any]:
        """Tokenize texts; one that cannot be used gives an InputError."""

    def rows(self, text: Any) -> int:
        """Return how many rows the answer to a text has at most."""

    def passes(self, text: Any) -> int:
        """Return how many passes of the model a text needs at most."""

    def steps(self, text: Any, model: Model) -> Steps[Any]:
        """Start the steps that answer a text."""


def interleave(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Interleave the steps of several answers: a joint step has one step of each open answer."""
    answers: list[Any] = [None] * len(parts)
    open_steps: dict[int, list[MaskedText]] = {}

    def advance(index: int, predictions: list[Predictions] | None) -> None:
        part = parts[index]
        try:
            open_steps[index] = next(part) if predictions is None else part.send(predictions)
        except StopIteration as end:
            open_steps.pop(index, None)
            answers[index] = end.value

    for index in range(len(parts)):
        advance(index, None)
    while open_steps:
        predictions = iter((yield [text for step in open_steps.values() for text in step]))
        for index, step in list(open_steps.items()):
            advance(index, [next(predictions) for _ in step])
    return answers


def run_steps(engine: Engine, steps: Steps[T]) -> T:
    """Run all steps, one after the other, on an engine."""
    try:
        masked_texts = next(steps)
        while True:
            masked_texts = steps.send(engine.predict(masked_texts, _PER_TEXT))
    except StopIteration as end:
        answer: T = end.value
        return answer


def answer_texts(
    model: Model,
    task: Task,
    texts: Sequence[Any],
    *,
    names: Callable[[int], str],
    keep_errors: bool,
) -> list[Any]:
    """Answer texts, some of them at a time. All are encoded before the model runs.

    Args:
        model: the model.
        task: the task.
        texts: strings; anything else is refused.
        names: what messages call the text of a number, counted from 1.
        keep_errors: errors take the place of answers.

    Raises:
        InputError: a text cannot be used.
    """
    encoded = task.encode(texts, model, names=names)
    if not keep_errors:
        raise_first_error(encoded)
    answers: list[Any] = []
    for start in range(0, len(encoded), _AT_ONCE):
        part = encoded[start : start + _AT_ONCE]
        steps = [task.steps(text, model) for text in part if not isinstance(text, InputError)]
        finished = iter(run_steps(model.engine, interleave(steps)))
        answers += [text if isinstance(text, InputError) else next(finished) for text in part]
    return answers
