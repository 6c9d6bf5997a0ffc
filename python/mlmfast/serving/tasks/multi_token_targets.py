"""Targets of several tokens: as many masks as the word has pieces, filled one after the other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.tasks.rows import filled_row, logs_of
from mlmfast.serving.text.encode import check_length, encode_texts
from mlmfast.serving.types import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Steps
    from mlmfast.serving.tasks.rows import FilledRow
    from mlmfast.serving.text.options import EncodeOptions
    from mlmfast.serving.text.tokenizer import ServingTokenizer

Beginnings = list[tuple[tuple[int, tuple[int, ...]], list[int]]]


@dataclass(frozen=True, slots=True)
class WholeTargets:
    """What a call with targets of several tokens asks of every text, checked.

    Attributes:
        count: how many rows a mask gets.
        options: how texts become ids.
        targets: the pieces of each target.
        beginnings: for each step what is asked at a mask: length and beginning of targets that ask
            the same, and the numbers of these targets.
    """

    count: int
    options: EncodeOptions
    targets: tuple[tuple[int, ...], ...]
    beginnings: tuple[Beginnings, ...]

    @classmethod
    def checked(
        cls, count: int, options: EncodeOptions, targets: Sequence[tuple[int, ...]]
    ) -> WholeTargets:
        """Group the targets once for all texts."""
        longest = max(map(len, targets))
        beginnings = tuple(_beginnings(targets, step) for step in range(longest))
        return cls(count, options, tuple(targets), beginnings)

    @property
    def reading(self) -> tuple[EncodeOptions, int]:
        """What reading a text depends on: it must have room for all targets."""
        return self.options, len(self.beginnings)

    @property
    def price(self) -> str:
        """What costs a pass of the model, for messages."""
        return "one for each mask and each beginning of a target"

    def read(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks; each must have room for the longest target."""
        longest = max(self.targets, key=len)
        read = encode_texts(
            texts, model.vocabulary, model.limits, self.options, first=first, names=names
        )
        for place, predictions in enumerate(read):
            if isinstance(predictions, MaskedText):
                error = check_length(grown_ids(predictions, longest), model.limits)
                if error:
                    name = names(first + place)
                    read[place] = InputError(
                        f"{name} with {len(longest)} masks in place of one {error}"
                    )
        return read

    def rows(self, masked_text: MaskedText) -> int:
        """Tell how many rows the answer of a text has."""
        return self.count * len(masked_text.masks)

    def passes(self, masked_text: MaskedText) -> int:
        """Tell how often the model is asked: at each mask about each beginning of a target."""
        return len(masked_text.masks) * sum(map(len, self.beginnings))

    def steps(
        self, masked_text: MaskedText, model: Model
    ) -> Steps[list[FilledRow] | list[list[FilledRow]]]:
        """Score the targets at each mask of a text, and write the best of them."""
        scores = yield from score_targets(masked_text, self.targets, self.beginnings)
        return rows_of_targets(masked_text, scores, self.targets, self.count, model)


def pieces_of(targets: str | Iterable[str], vocabulary: ServingTokenizer) -> list[tuple[int, ...]]:
    """Tokenize `targets`, each once.

    Raises:
        InputError: a target is no string or gives no token, or there is none.
    """
    words = [targets] if isinstance(targets, str) else list(targets)
    predictions: dict[tuple[int, ...], None] = {}
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"Targets are strings, and {word!r} is of type {type(word).__name__}.")
        pieces = tuple(vocabulary.pieces(word))
        if not pieces:
            raise InputError(f"The target {word!r} gives no token.")
        predictions[pieces] = None
    if not predictions:
        raise InputError("At least one target must be given; targets is empty.")
    return list(predictions)


def grown_ids(masked_text: MaskedText, pieces: Sequence[int], place: int = 0) -> np.ndarray:
    """Return the ids of the text with `pieces` in the place of one of its masks."""
    position = int(masked_text.masks[place])
    return np.concatenate(
        [masked_text.ids[:position], np.array(pieces, np.int64), masked_text.ids[position + 1 :]]
    )


def score_targets(
    masked_text: MaskedText, targets: Sequence[tuple[int, ...]], beginnings: Sequence[Beginnings]
) -> Steps[list[list[float]]]:
    """Score each target at each mask of one text, a piece of all targets a step.

    Returns:
        For each mask the targets' log scores: the sum over the pieces, from left to right, of the
        natural logarithm of a piece's probability where the pieces before it are known and those
        after it are masks.
    """
    scores = [[0.0] * len(targets) for _ in masked_text.masks]
    for step, groups in enumerate(beginnings):
        task = [(place, one) for place in range(len(masked_text.masks)) for one in groups]
        predictions = yield [
            _with_pieces(masked_text, place, known, count, [targets[n][step] for n in numbers])
            for place, ((count, known), numbers) in task
        ]
        for (place, (_, numbers)), part in zip(task, predictions, strict=True):
            logs = logs_of(part.scores[0]).tolist()
            columns = dict(zip(part.tokens.tolist(), logs, strict=True))
            for number in numbers:
                scores[place][number] += columns[targets[number][step]]
    return scores


def rows_of_targets(
    masked_text: MaskedText,
    scores: Sequence[Sequence[float]],
    targets: Sequence[tuple[int, ...]],
    count: int,
    model: Model,
) -> list[FilledRow] | list[list[FilledRow]]:
    """Write the `count` best targets of each mask: one list for one mask, else one a mask."""
    answer = []
    for place, of_mask in enumerate(scores):
        best = sorted(range(len(targets)), key=lambda number: -of_mask[number])[:count]
        answer.append(
            [
                filled_row(
                    grown_ids(masked_text, targets[number], place).tolist(),
                    targets[number],
                    of_mask[number],
                    model,
                    skip_special=len(scores) == 1,
                )
                for number in best
            ]
        )
    return answer[0] if len(answer) == 1 else answer


def _beginnings(targets: Sequence[tuple[int, ...]], step: int) -> Beginnings:
    """Group the targets longer than `step`: those of one length that begin alike ask the same."""
    groups: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, pieces in enumerate(targets):
        if len(pieces) > step:
            groups[len(pieces), pieces[:step]].append(number)
    return list(groups.items())


def _with_pieces(
    masked_text: MaskedText, place: int, known: tuple[int, ...], count: int, output_spec: list[int]
) -> MaskedText:
    """Put `count` masks in place of one, the first of them filled with what is `known`."""
    position = int(masked_text.masks[place])
    mask_id = int(masked_text.ids[position])
    pieces = [*known, *[mask_id] * (count - len(known))]
    types = masked_text.type_ids
    return MaskedText(
        ids=grown_ids(masked_text, pieces, place),
        type_ids=np.concatenate(
            [types[:position], np.full(count, types[position]), types[position + 1 :]]
        ),
        masks=np.array([position + len(known)]),
        targets=np.unique(output_spec),
    )
