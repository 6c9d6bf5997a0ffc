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
# Yields the questions of a step, is sent what was found for each of them, returns the answer. Who
# drives it decides when, and beside whose questions, they are run.
Steps = Generator[list[MaskedText], list[Predictions], T]

OWN = OutputSpec(own=True)
# Texts whose steps are taken together: each of them asks many questions at once.
AT_ONCE = 64


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
        """Tell how many questions the steps of a text have at most."""

    def steps(self, text: Any, model: Model) -> Steps[Any]:
        """Begin to answer a text."""


def interleave(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Take the steps of several answers side by side: in each round one of every unfinished."""
    answers: list[Any] = [None] * len(parts)
    asked: dict[int, list[MaskedText]] = {}

    def advance(place: int, found: list[Predictions] | None) -> None:
        try:
            asked[place] = next(parts[place]) if found is None else parts[place].send(found)
        except StopIteration as end:
            asked.pop(place, None)
            answers[place] = end.value

    for place in range(len(parts)):
        advance(place, None)
    while asked:
        found = iter((yield [question for questions in asked.values() for question in questions]))
        for place, questions in list(asked.items()):
            advance(place, [next(found) for _ in questions])
    return answers


def answer_steps(engine: Engine, steps: Steps[T]) -> T:
    """Take all steps, one after the other, on an engine of our own."""
    try:
        questions = next(steps)
        while True:
            questions = steps.send(engine.answer(questions, OWN))
    except StopIteration as end:
        answer: T = end.value
        return answer


def answer_texts(
    model: Model,
    asked: Task,
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
    read = asked.read(texts, model, names=names)
    if not keep_errors:
        raise_first_error(read)
    answers: list[Any] = []
    for start in range(0, len(read), AT_ONCE):
        some = read[start : start + AT_ONCE]
        steps = [asked.steps(one, model) for one in some if not isinstance(one, InputError)]
        done = iter(answer_steps(model.engine, interleave(steps)))
        answers += [one if isinstance(one, InputError) else next(done) for one in some]
    return answers
