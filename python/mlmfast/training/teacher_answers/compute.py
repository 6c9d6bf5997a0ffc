"""Computes the teacher's answers to whole epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from mlmfast.training.model.distillation.top_logits import log_rest
from mlmfast.training.model.masked_rows import IGNORED, find_positions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.model.distillation.teacher import Teacher
    from mlmfast.training.model.masked_rows import MaskedLogits
    from mlmfast.training.teacher_answers.folder import AnswerFolder
    from mlmfast.training.teacher_answers.form import AnswerForm

Answers = dict[str, torch.Tensor]


def compute_parts(
    folder: AnswerFolder,
    parts: Iterable[tuple[int, int]],
    teacher: Teacher,
    blocks: MaskedBlocks,
    *,
    batch_size: int,
    advance: Callable[[int], object] = lambda _: None,
) -> None:
    """Run the teacher and write files of its answers; memory holds one file at a time.

    Args:
        folder: what to write to.
        parts: the files to write, as (epoch, number).
        teacher: the teacher; its answers have hidden states if the folder has.
        blocks: the blocks; afterwards they are at epoch 0.
        batch_size: blocks of a batch.
        advance: called with the number of blocks after each batch.
    """
    for epoch, number in parts:
        blocks.set_epoch(epoch)
        items = folder.items_of(number)
        batches: list[Answers] = []
        for first in range(items.start, items.stop, batch_size):
            batch = range(first, min(first + batch_size, items.stop))
            batches.append(_answer(teacher, blocks, batch, folder.form))
            advance(len(batch))
        whole = {name: torch.cat([each[name] for each in batches]) for name in batches[0]}
        ends = whole.pop("counts").cumsum(0)
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), ends])
        folder.write(epoch, number, {"starts": starts, **whole})
    blocks.set_epoch(0)


def _answer(
    teacher: Teacher, blocks: MaskedBlocks, items: Sequence[int], form: AnswerForm
) -> Answers:
    """Return what is stored of the answers to a batch, and its masked tokens a block."""
    batch = blocks.__getitems__(items)
    counts = (batch["labels"] != IGNORED).sum(1)
    positions = find_positions(batch["labels"]).to(teacher.device)
    inputs = {name: each.to(teacher.device) for name, each in batch.items()}
    labels = inputs.pop("labels")
    masked = teacher(inputs, labels, positions)
    return {name: each.cpu() for name, each in _stored(masked, form).items()} | {"counts": counts}


def _stored(masked: MaskedLogits, form: AnswerForm) -> Answers:
    logits, ids = masked.logits.topk(form.top_k, dim=1)
    stored = {"ids": ids.to(torch.uint16 if form.is_small else torch.int32), "logits": logits}
    if form.temperatures:
        stored["rest"] = log_rest(masked.logits, ids, form.temperatures)
    if form.hidden and masked.hidden is not None:
        # Their cosine needs the direction only, and unit vectors are never too large for fp16.
        stored["hidden"] = functional.normalize(masked.hidden.float(), dim=1).half()
    return stored
