"""Answers for which the model is asked several times, each time with what it said before."""

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
# Yields the masked texts of a step, is sent what was found for each of them, returns the answer.
# Who drives it decides when, and beside whose masked texts, they are run.
Steps = Generator[list[MaskedText], list[Predictions], T]

_OWN = OutputSpec(own=True)
# Texts whose steps are taken together: each of them asks many masked texts at once.
_AT_ONCE = 64


class Task(Protocol):
    """The options of a call, checked, whose texts are answered in steps.

    A text is read into something that knows its token ids, and what to ask about them.
    """

    @property
    def reading(self) -> Hashable:
        """What reading a text depends on: where that is equal, requests are read together."""

    @property
    def price(self) -> str:
        """What costs a pass of the model, for messages."""

    def read(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[Any]:
        """Tokenize texts; an InputError stands in the place of one that cannot be asked."""

    def rows(self, text: Any) -> int:
        """Tell how many rows the answer of a text has at most."""

    def passes(self, text: Any) -> int:
        """Tell how many masked texts the steps of a text have at most."""

    def steps(self, text: Any, model: Model) -> Steps[Any]:
        """Begin to answer a text."""


def interleave(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Take the steps of several answers side by side: in each round one of every unfinished."""
    answers: list[Any] = [None] * len(parts)
    task: dict[int, list[MaskedText]] = {}

    def advance(place: int, predictions: list[Predictions] | None) -> None:
        try:
            task[place] = (
                next(parts[place]) if predictions is None else parts[place].send(predictions)
            )
        except StopIteration as end:
            task.pop(place, None)
            answers[place] = end.value

    for place in range(len(parts)):
        advance(place, None)
    while task:
        predictions = iter(
            (yield [masked_text for masked_texts in task.values() for masked_text in masked_texts])
        )
        for place, masked_texts in list(task.items()):
            advance(place, [next(predictions) for _ in masked_texts])
    return answers


def answer_steps(engine: Engine, steps: Steps[T]) -> T:
    """Take all steps, one after the other, on an engine of our own."""
    try:
        masked_texts = next(steps)
        while True:
            masked_texts = steps.send(engine.answer(masked_texts, _OWN))
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
    """Answer texts, some of them at a time; all are read before the model is asked.

    Args:
        model: what answers.
        asked: what is asked of each text.
        texts: strings; anything else is refused.
        names: what messages call the text of a number, counted from 1.
        keep_errors: errors take the place of answers.

    Raises:
        InputError: what is wrong with a text that cannot be asked.
    """
    read = task.read(texts, model, names=names)
    if not keep_errors:
        raise_first_error(read)
    answers: list[Any] = []
    for start in range(0, len(read), _AT_ONCE):
        some = read[start : start + _AT_ONCE]
        steps = [task.steps(one, model) for one in some if not isinstance(one, InputError)]
        done = iter(answer_steps(model.engine, interleave(steps)))
        answers += [one if isinstance(one, InputError) else next(done) for one in some]
    return answers
