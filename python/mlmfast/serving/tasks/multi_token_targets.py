"""Targets of several tokens: as many masks as a target has tokens, filled one after the other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.tasks.rows import filled_row, log_probabilities
from mlmfast.serving.text.encode import check_length, encode_texts
from mlmfast.serving.types import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Steps
    from mlmfast.serving.tasks.rows import FilledRow
    from mlmfast.serving.text.options import EncodeOptions
    from mlmfast.serving.text.tokenizer import ServingTokenizer

# For one step: (length, prefix) of targets that share a masked text, and their indices.
Prefixes = list[tuple[tuple[int, tuple[int, ...]], list[int]]]


@dataclass(frozen=True, slots=True)
class WholeTargetsTask:
    """The checked options of a call with targets of several tokens.

    Attributes:
        count: rows of each mask.
        options: how texts are encoded.
        targets: the tokens of each target.
        prefixes: for each step the targets, grouped by length and by the tokens that are filled in.
    """

    count: int
    options: EncodeOptions
    targets: tuple[tuple[int, ...], ...]
    prefixes: tuple[Prefixes, ...]

    @classmethod
    def checked(
        cls, count: int, options: EncodeOptions, targets: Sequence[tuple[int, ...]]
    ) -> WholeTargetsTask:
        """Group the targets once for all texts."""
        longest = max(map(len, targets))
        prefixes = tuple(_group_by_prefix(targets, step) for step in range(longest))
        return cls(count, options, tuple(targets), prefixes)

    @property
    def encode_key(self) -> tuple[EncodeOptions, int]:
        """What `encode` depends on: the longest target must fit into the text."""
        return self.options, len(self.prefixes)

    @property
    def cost_unit(self) -> str:
        """What each pass of the model is for, for messages."""
        return "one for each mask and each beginning of a target"

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks; the longest target must fit into each."""
        longest = max(self.targets, key=len)
        encoded = encode_texts(
            texts, model.tokenizer, model.limits, self.options, first=first, names=names
        )
        for index, text in enumerate(encoded):
            if isinstance(text, MaskedText):
                error = check_length(ids_with_pieces(text, longest), model.limits)
                if error:
                    name = names(first + index)
                    encoded[index] = error.prefixed(
                        f"{name} with {len(longest)} masks in place of one"
                    )
        return encoded

    def rows(self, masked_text: MaskedText) -> int:
        """Return how many rows the answer to a text has."""
        return self.count * len(masked_text.masks)

    def passes(self, masked_text: MaskedText) -> int:
        """Return how many passes a text needs: one for each mask and each prefix of a target."""
        return len(masked_text.masks) * sum(map(len, self.prefixes))

    def steps(
        self, masked_text: MaskedText, model: Model
    ) -> Steps[list[FilledRow] | list[list[FilledRow]]]:
        """Score the targets at each mask of a text, and write the best of them."""
        scores = yield from score_targets(masked_text, self.targets, self.prefixes)
        return rows_of_targets(masked_text, scores, self.targets, self.count, model)


def target_pieces(
    targets: str | Iterable[str], tokenizer: ServingTokenizer
) -> list[tuple[int, ...]]:
    """Tokenize `targets`, each once.

    Raises:
        InputError: a target is no string or gives no token, or there is none.
    """
    words = [targets] if isinstance(targets, str) else list(targets)
    distinct: dict[tuple[int, ...], None] = {}
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"Targets are strings, and {word!r} is of type {type(word).__name__}.")
        pieces = tuple(tokenizer.pieces(word))
        if not pieces:
            raise InputError(f"The target {word!r} gives no token.")
        distinct[pieces] = None
    if not distinct:
        raise InputError("At least one target must be given; targets is empty.")
    return list(distinct)


def ids_with_pieces(masked_text: MaskedText, pieces: Sequence[int], mask: int = 0) -> np.ndarray:
    """Return the ids of the text with `pieces` in place of its mask number `mask`."""
    position = int(masked_text.masks[mask])
    return np.concatenate(
        [masked_text.ids[:position], np.array(pieces, np.int64), masked_text.ids[position + 1 :]]
    )


def score_targets(
    masked_text: MaskedText, targets: Sequence[tuple[int, ...]], prefixes: Sequence[Prefixes]
) -> Steps[list[list[float]]]:
    """Score each target at each mask of one text, one more token of all targets in each step.

    Returns:
        For each mask the targets' log scores: the sum over a target's tokens, from left to right,
        of the natural logarithm of the token's probability with the tokens before it filled in and
        masks in place of those after it.
    """
    scores = [[0.0] * len(targets) for _ in masked_text.masks]
    for step, groups in enumerate(prefixes):
        at_masks = [(mask, group) for mask in range(len(masked_text.masks)) for group in groups]
        predictions = yield [
            _with_prefix(masked_text, mask, prefix, length, [targets[n][step] for n in numbers])
            for mask, ((length, prefix), numbers) in at_masks
        ]
        for (mask, (_, numbers)), part in zip(at_masks, predictions, strict=True):
            logs = log_probabilities(part.scores[0]).tolist()
            columns = dict(zip(part.tokens.tolist(), logs, strict=True))
            for number in numbers:
                scores[mask][number] += columns[targets[number][step]]
    return scores


def rows_of_targets(
    masked_text: MaskedText,
    scores: Sequence[Sequence[float]],
    targets: Sequence[tuple[int, ...]],
    count: int,
    model: Model,
) -> list[FilledRow] | list[list[FilledRow]]:
    """Return the rows of the `count` best targets: a list for one mask, else a list for each."""
    answer = []
    for mask, of_mask in enumerate(scores):
        best = sorted(range(len(targets)), key=lambda number: -of_mask[number])[:count]
        answer.append(
            [
                filled_row(
                    ids_with_pieces(masked_text, targets[number], mask).tolist(),
                    targets[number],
                    of_mask[number],
                    model,
                    skip_special=len(scores) == 1,
                )
                for number in best
            ]
        )
    return answer[0] if len(answer) == 1 else answer


def _group_by_prefix(targets: Sequence[tuple[int, ...]], step: int) -> Prefixes:
    """Group the targets longer than `step`: those of one length and prefix share a masked text."""
    groups: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, pieces in enumerate(targets):
        if len(pieces) > step:
            groups[len(pieces), pieces[:step]].append(number)
    return list(groups.items())


def _with_prefix(
    masked_text: MaskedText, mask: int, prefix: tuple[int, ...], length: int, targets: list[int]
) -> MaskedText:
    """Replace a mask by `length` masks, the first of them filled with `prefix`."""
    position = int(masked_text.masks[mask])
    mask_id = int(masked_text.ids[position])
    pieces = [*prefix, *[mask_id] * (length - len(prefix))]
    types = masked_text.type_ids
    return MaskedText(
        ids=ids_with_pieces(masked_text, pieces, mask),
        type_ids=np.concatenate(
            [types[:position], np.full(length, types[position]), types[position + 1 :]]
        ),
        masks=np.array([position + len(prefix)]),
        targets=np.unique(targets),
    )
