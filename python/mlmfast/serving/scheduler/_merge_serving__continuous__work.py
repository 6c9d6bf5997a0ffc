"""What is left to do for a request whose texts are answered in steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.tasks.base import Steps
    from mlmfast.serving.types import Found, Question


@dataclass(eq=False, slots=True)
class Work:
    """The steps of a request.

    Attributes:
        steps: those of all its texts, side by side.
        passes: questions that they have at most, all together.
        masks: masks of each text.
        tokens: tokens of all texts together, special tokens included.
        answers: for each text its answer; empty until the last step is done.
        asked: questions of the present step that were let into the queue.
        inside: tokens of those among them that wait there or are run.
    """

    steps: Steps[list[Any]]
    passes: int
    masks: list[int]
    tokens: int
    answers: list[Any] = field(default_factory=list)
    asked: int = 0
    inside: int = 0

    def go_on(self, found: Sequence[Found | None]) -> list[Question]:
        """Return the questions of the next step; none where all are answered.

        Args:
            found: what was found for those of the last step; nothing before the first.
        """
        try:
            if not found:
                return next(self.steps)
            return self.steps.send([part for part in found if part is not None])
        except StopIteration as end:
            self.answers = end.value
            return []
