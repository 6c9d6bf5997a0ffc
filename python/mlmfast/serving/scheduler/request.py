"""One request on its way: texts that came together and are answered together."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.serving.text.encode import text_number, the_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.tasks.base import Steps, Task
    from mlmfast.serving.tasks.fill_mask import FillMaskTask
    from mlmfast.serving.types import MaskedText, Predictions


@dataclass(frozen=True, slots=True)
class InferenceResponse:
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
class InferenceRequest:
    """A request that the scheduler has taken.

    Attributes:
        texts: its texts, at least one.
        asked: its options.
        future: set to an `Answered`, or to an InputError where a text cannot be asked. Who cancels
            it takes the request out of the queue.
        arrived: when it came, by `time.perf_counter`.
        begun: when its first text was run.
        work: its steps, where its texts are answered in several.
        masked texts: its texts as ids, or what its present step asks; empty until it is tokenized.
        found: what was found for each of them so far.
        left: how many are not answered yet.
        closed: whether it is answered, refused or cancelled.
    """

    texts: Sequence[str]
    task: FillMaskTask | Task
    future: Future[InferenceResponse] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    begun: float | None = None
    work: MultiStepState | None = None
    masked_texts: list[MaskedText] = field(default_factory=list)
    predictions: list[Predictions | None] = field(default_factory=list)
    left: int = 0
    closed: bool = False

    @property
    def characters(self) -> int:
        """Characters of all texts."""
        return sum(map(len, self.texts))

    def ask(self, masked_texts: list[MaskedText]) -> None:
        """Take the masked texts that are to be answered now."""
        self.masked_texts = masked_texts
        self.predictions = [None] * len(masked_texts)
        self.left = len(masked_texts)

    def name(self, entry: int) -> str:
        """Return what messages call a text, by its place counted from 0."""
        return the_text(1) if len(self.texts) == 1 else text_number(entry + 1)


@dataclass(eq=False, slots=True)
class MultiStepState:
    """The steps of a request.

    Attributes:
        steps: those of all its texts, side by side.
        passes: masked texts that they have at most, all together.
        masks: masks of each text.
        tokens: tokens of all texts together, special tokens included.
        answers: for each text its answer; empty until the last step is done.
        asked: masked texts of the present step that were let into the queue.
        inside: tokens of those among them that wait there or are run.
    """

    steps: Steps[list[Any]]
    passes: int
    masks: list[int]
    tokens: int
    answers: list[Any] = field(default_factory=list)
    task: int = 0
    inside: int = 0

    def go_on(self, predictions: Sequence[Predictions | None]) -> list[MaskedText]:
        """Return the masked texts of the next step; none where all are answered.

        Args:
            found: what was found for those of the last step; nothing before the first.
        """
        try:
            if not predictions:
                return next(self.steps)
            return self.steps.send([part for part in predictions if part is not None])
        except StopIteration as end:
            self.answers = end.value
            return []


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that was run.

    Attributes:
        texts: its rows.
        tokens: tokens of its texts.
        padding: tokens that were added to make its rows equally long.
        seconds: how long the device took.
    """

    texts: int
    tokens: int
    padding: int
    seconds: float


class SchedulerObserver(Protocol):
    """Whoever keeps count. It is called by the scheduler's threads, and must be quick."""

    def batch_was_run(self, report: BatchReport) -> None:
        """Count a batch."""

    def request_has_begun(self, queue_seconds: float) -> None:
        """Count the time a request waited until its first text was run."""
