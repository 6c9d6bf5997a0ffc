"""A request, its progress and its response: texts that come together and are answered together."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.serving.scheduler.share import ONE_SHARE, Share
from mlmfast.serving.text.encode import text_number, the_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Steps, Task
    from mlmfast.serving.tasks.one_pass import OnePassTask
    from mlmfast.serving.types import Result, Text


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """The answers to a request.

    Attributes:
        answers: for each text what `FillMask` returns for it, its rows, fillings or scores, or its
            `SparseVector`.
        characters: what the answers need as JSON, about; no more than its bytes.
        masks: masks of each text.
        tokens: tokens of all texts together, special tokens included.
        queue_seconds: from the arrival of the request until its first text was run.
        run_seconds: from then until its last text was answered.
        model: the version of the model that answered.
    """

    answers: list[Any]
    characters: int
    masks: list[int]
    tokens: int
    queue_seconds: float
    run_seconds: float
    model: Model


@dataclass(eq=False, slots=True)
class InferenceRequest:
    """A request that the scheduler has accepted.

    Attributes:
        texts: its texts, at least one.
        task: the task with its options.
        share: whose it is, and how large a share of the batches it gets.
        future: gets an `InferenceResponse`, or an InputError where a text cannot be used. Whoever
            cancels it takes the request out of the queue.
        arrived: when it came, by `time.perf_counter`.
        started: when its first text was run.
        multi_step: its steps, where its task has several.
        masked_texts: its texts as ids, or those of its present step; empty until it is tokenized.
            Texts for the sparse encoder have no masks.
        predictions: for each of them its predictions or its vector, None until they are there.
        masked_tokens: tokens of all of them.
        pending: how many of them have no predictions yet.
        turn: the virtual time of the last of them that was queued; see `VirtualClock`.
        closed: whether it is answered, refused or cancelled.
    """

    texts: Sequence[str]
    task: OnePassTask | Task
    share: Share = ONE_SHARE
    future: Future[InferenceResponse] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    started: float | None = None
    multi_step: MultiStepState | None = None
    masked_texts: list[Text] = field(default_factory=list)
    predictions: list[Result | None] = field(default_factory=list)
    masked_tokens: int = 0
    pending: int = 0
    turn: float = 0.0
    closed: bool = False

    @property
    def characters(self) -> int:
        """Characters of all texts."""
        return sum(map(len, self.texts))

    def set_masked_texts(self, masked_texts: list[Text]) -> None:
        """Set the masked texts that are to be run now."""
        self.masked_texts = masked_texts
        self.predictions = [None] * len(masked_texts)
        self.masked_tokens = sum(len(masked_text.ids) for masked_text in masked_texts)
        self.pending = len(masked_texts)

    def text_name(self, index: int) -> str:
        """Return what messages call a text, by its index from 0."""
        return the_text(1) if len(self.texts) == 1 else text_number(index + 1)


@dataclass(eq=False, slots=True)
class MultiStepState:
    """The steps of a request, and how far they are.

    Attributes:
        steps: the steps of all its texts, interleaved.
        passes: passes of the model that they need at most, all together.
        masks: masks of each text.
        tokens: tokens of all texts together, special tokens included.
        answers: for each text its answer; empty until the last step is done.
        submitted: masked texts of the present step that were put into the queue.
        queued_tokens: tokens of those among them that are in the queue or in batches.
    """

    steps: Steps[list[Any]]
    passes: int
    masks: list[int]
    tokens: int
    answers: list[Any] = field(default_factory=list)
    submitted: int = 0
    queued_tokens: int = 0

    def next_step(self, predictions: Sequence[Any]) -> list[Text]:
        """Return the masked texts of the next step; none where all texts are answered.

        Args:
            predictions: those of the last step; empty before the first.
        """
        try:
            if not predictions:
                return [*next(self.steps)]
            return [*self.steps.send([part for part in predictions if part is not None])]
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
    """Counts what a scheduler does. The scheduler's threads call it, so it must be quick."""

    def on_batch(self, report: BatchReport) -> None:
        """Count a batch that was run."""

    def on_request_started(self, queue_seconds: float) -> None:
        """Count the time that a request waited until its first text was run."""
