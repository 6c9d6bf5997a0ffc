"""One request on its way: texts that came together and are answered together."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmfast.serving.text.encode import text_number, the_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.scheduler._merge_serving__continuous__work import Work
    from mlmfast.serving.tasks.base import Stepwise
    from mlmfast.serving.tasks.fill_mask import Asked
    from mlmfast.serving.types import Found, Question


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request.

    Attributes:
        answers: for each text what `FillMask` gives for it: its rows, fillings or scores.
        masks: masks of each text.
        tokens: tokens of all texts together, special tokens included.
        queue_seconds: from its arrival until its first text was run.
        run_seconds: from then until its last text was answered.
    """

    answers: list[Any]
    masks: list[int]
    tokens: int
    queue_seconds: float
    run_seconds: float


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that the scheduler has taken.

    Attributes:
        texts: its texts, at least one.
        asked: its options.
        future: set to an `Answered`, or to an InputError where a text cannot be asked. Who cancels
            it takes the request out of the queue.
        arrived: when it came, by `time.perf_counter`.
        begun: when its first text was run.
        work: its steps, where its texts are answered in several.
        questions: its texts as ids, or what its present step asks; empty until it is tokenized.
        found: what was found for each of them so far.
        left: how many are not answered yet.
        closed: whether it is answered, refused or cancelled.
    """

    texts: Sequence[str]
    asked: Asked | Stepwise
    future: Future[Answered] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    begun: float | None = None
    work: Work | None = None
    questions: list[Question] = field(default_factory=list)
    found: list[Found | None] = field(default_factory=list)
    left: int = 0
    closed: bool = False

    @property
    def characters(self) -> int:
        """Characters of all texts."""
        return sum(map(len, self.texts))

    def ask(self, questions: list[Question]) -> None:
        """Take the questions that are to be answered now."""
        self.questions = questions
        self.found = [None] * len(questions)
        self.left = len(questions)

    def name(self, place: int) -> str:
        """Return what messages call a text, by its place counted from 0."""
        return the_text(1) if len(self.texts) == 1 else text_number(place + 1)
