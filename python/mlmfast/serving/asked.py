"""What a call asks of every text, and texts on their way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.answers import answer_of, best_targets
from mlmfast.serving.questions import Question, Wanted
from mlmfast.serving.texts import check_length
from mlmfast.serving.whole_targets import grown_ids, rows_of_targets, score_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mlmfast.serving.answers import Answer, FilledRow
    from mlmfast.serving.decoding import Decoder
    from mlmfast.serving.model import Model
    from mlmfast.serving.options import EncodeOptions
    from mlmfast.serving.questions import Found


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a call, checked.

    Attributes:
        rows: how many rows a mask gets.
        options: how texts become ids.
        targets: the only ids to choose from, int64, ascending; None: all.
        whole_targets: the pieces of each target, where targets may have several.
    """

    rows: int
    options: EncodeOptions
    targets: np.ndarray | None = None
    whole_targets: tuple[tuple[int, ...], ...] = ()

    @property
    def wanted(self) -> Wanted:
        """What the graph is asked."""
        return Wanted(top_k=self.rows) if self.targets is None else Wanted(targets=self.targets)

    def of(self, question: Question) -> Question:
        """Return a question that says for itself what is asked."""
        return replace(question, top_k=self.rows, targets=self.targets)

    def answer(self, question: Question, found: Found, decoder: Decoder) -> Answer:
        """Write the rows of one text."""
        if self.targets is not None:
            found = best_targets(found, self.rows)
        return answer_of(question, found, decoder)


class PendingAnswers:
    """Texts that the engine is at work on.

    Attributes:
        error: what is wrong with the first text that has no answer; always None where errors take
            the place of answers.
    """

    def __init__(
        self,
        read: Sequence[Question | InputError],
        model: Model,
        asked: Asked,
        *,
        keep_errors: bool,
    ):
        self.error: InputError | None = None
        self._keep_errors = keep_errors
        if not keep_errors:
            for place, found in enumerate(read):
                if isinstance(found, InputError):
                    self.error, read = found, read[:place]
                    break
        self._read = read
        self._model = model
        self._asked = asked
        questions = [found for found in read if isinstance(found, Question)]
        self._running = None if asked.whole_targets else model.engine.start(questions, asked.wanted)

    def results(self) -> list[Any]:
        """Wait for the answers; errors stand where their texts stood."""
        found = iter(self._running.found()) if self._running else None
        return [
            read
            if isinstance(read, InputError)
            else self._whole(read)
            if found is None
            else self._asked.answer(read, next(found), self._model.decoder)
            for read in self._read
        ]

    def cancel(self) -> None:
        """Drop what has not begun."""
        if self._running:
            self._running.cancel()

    def _whole(self, question: Question) -> list[FilledRow] | list[list[FilledRow]] | InputError:
        model, targets = self._model, self._asked.whole_targets
        longest = max(targets, key=len)
        error = check_length(grown_ids(question, longest), model.limits)
        if error:
            too_long = InputError(f"A text with {len(longest)} masks in place of one {error}")
            if not self._keep_errors:
                raise too_long
            return too_long
        scores = score_targets(model.engine, question, targets)
        return rows_of_targets(
            question, scores, targets, self._asked.rows, model.decoder, model.vocabulary
        )
