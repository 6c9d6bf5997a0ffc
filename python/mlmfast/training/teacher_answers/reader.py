"""Adds the teacher's answers to batches, and takes them from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import StoreError
from mlmfast.training.model.distillation.top_logits import TopLogits
from mlmfast.training.model.masked_rows import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.teacher_answers.folder import AnswerFolder

_IDS, _LOGITS, _REST, _HIDDEN = (
    "teacher_ids",
    "teacher_logits",
    "teacher_rest",
    "teacher_hidden",
)
_COLUMNS = (_IDS, _LOGITS, _REST, _HIDDEN)


class AnswerReader:
    """Reads what a loss needs of the teacher's answers to the blocks of a batch.

    Args:
        folder: the answers.
        temperature: that of the loss; None if it does not compare logits.
        hidden: whether it compares hidden states.
    """

    def __init__(self, folder: AnswerFolder, *, temperature: float | None, hidden: bool) -> None:
        self.folder = folder
        known = folder.form.temperatures
        self._rest = known.index(temperature) if known and temperature is not None else None
        self._hidden = hidden

    def columns(
        self, epoch: int, items: Sequence[int], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the answers as columns of a batch, padded to the row with the most masked tokens.

        Args:
            epoch: the epoch whose masks the batch has.
            items: the blocks (or packed rows) of the batch, B of them.
            labels: int64 `[B, L]`, -100 at positions that are not masked.

        Returns:
            `teacher_ids`, int64 `[B, R, K]`; `teacher_logits` `[B, R, K]`; `teacher_rest` `[B, R]`
            if there are more than K tokens, and `teacher_hidden` `[B, R, H]` if compared.

        Raises:
            StoreError: there are no such answers, or they are those to other masks.
        """
        read = [self.folder.read(epoch, int(item)) for item in items]
        counts = [len(each["ids"]) for each in read]
        expected = (labels != IGNORED).sum(1).tolist()
        if counts != expected:
            raise StoreError(
                f"The teacher's answers in {self.folder.path} are not those to the blocks of this "
                f"training: a batch of epoch {epoch} has {expected} masked tokens a block, and the "
                f"answers {counts}. Give another folder (--teacher-answers)."
            )
        most = max(counts)
        # Ids in 16 bits are no index.
        columns = {_IDS: _padded([each["ids"].to(torch.int64) for each in read], most)}
        columns[_LOGITS] = _padded([each["logits"] for each in read], most)
        if self._rest is not None:
            columns[_REST] = _padded([each["rest"][:, self._rest] for each in read], most)
        if self._hidden:
            columns[_HIDDEN] = _padded([each["hidden"] for each in read], most)
        return columns


def pop_columns(inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Remove the columns of `AnswerReader` from a batch, and return them."""
    return {name: inputs.pop(name) for name in _COLUMNS if name in inputs}


def at_positions(
    columns: dict[str, torch.Tensor], labels: torch.Tensor, positions: torch.Tensor
) -> TopLogits:
    """Return the answers at the masked positions, without padding and without a synchronization.

    Args:
        columns: as `AnswerReader.columns` returns them, on the device of the labels.
        labels: int64 `[B, L]`.
        positions: int64 `[M]`, where labels are not -100, ascending, flat into `B * L`.
    """
    counts = (labels != IGNORED).sum(1)
    rows = positions // labels.shape[1]
    within = (
        torch.arange(len(positions), device=positions.device) - (counts.cumsum(0) - counts)[rows]
    )
    found = {name: each[rows, within] for name, each in columns.items()}
    return TopLogits(found[_IDS], found[_LOGITS], found.get(_REST), found.get(_HIDDEN))


def _padded(parts: list[torch.Tensor], most: int) -> torch.Tensor:
    """Stack tensors `[m, ...]` of several lengths, with zeros behind each."""
    padded = parts[0].new_zeros(len(parts), most, *parts[0].shape[1:])
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return padded
