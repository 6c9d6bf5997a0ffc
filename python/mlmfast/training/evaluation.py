"""How well a model fills masks: perplexity, accuracy, bits per byte, on masks that never change."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from mlmfast.data.store import BlockStore, open_splits
from mlmfast.errors import InputError
from mlmfast.training.blocks import EvaluationBlocks
from mlmfast.training.loss import row_counts
from mlmfast.training.model import check_fits, load_model
from mlmfast.training.precision import choose_precision, default_device
from mlmfast.training.sparse_head import MaskedHead

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Evaluation:
    """The answer of an evaluation, with what it was measured on.

    Attributes:
        perplexity: exp of the loss.
        loss: mean cross-entropy of a masked token, in nats.
        top1: share of the masked tokens that the best answer hits.
        top5: share of the masked tokens that are among the best five answers.
        bits_per_byte: the loss for each byte of the text; comparable between tokenizers. None if
            the store does not know its text's size.
        masked_tokens: number of tokens the means are taken over.
        blocks: number of blocks.
        block_size: tokens of a block.
        data: the store's folder.
        mlm_probability: share of masked tokens.
        seed: key of the masks.
        precision: `fp32` or `bf16`.
        seconds: how long it took.
    """

    perplexity: float
    loss: float
    top1: float
    top5: float
    bits_per_byte: float | None
    masked_tokens: int
    blocks: int
    block_size: int
    data: str
    mlm_probability: float
    seed: int
    precision: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON knows them; a number that is not finite becomes None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    def __str__(self) -> str:
        bits = "" if self.bits_per_byte is None else f", {self.bits_per_byte:.3f} bits per byte"
        return (
            f"perplexity {self.perplexity:,.2f}, top-1 {self.top1:.1%}, top-5 {self.top5:.1%}{bits}"
            f" ({self.masked_tokens:,} masked tokens of {self.blocks:,} blocks)"
        )


def evaluate(
    model: str | Path | torch.nn.Module,
    data: str | Path | BlockStore,
    *,
    batch_size: int = 32,
    mlm_probability: float = 0.15,
    seed: int = 0,
    device: str | None = None,
    precision: str = "fp32",
    progress: bool = False,
) -> Evaluation:
    """Measure a masked language model on a block store.

    The masks are a function of the seed and the block alone, and the loss is summed and divided by
    the number of masked tokens: the result is the same for any batch size and number of threads, up
    to the last digits of floating point.

    Args:
        model: a checkpoint folder, a Hub name, or a model.
        data: a block store, or its folder; of a folder with splits, `test` is taken.
        batch_size: blocks at a time.
        mlm_probability: share of the ordinary tokens that are masked.
        seed: key of the masks.
        device: a torch device; None takes the GPU if there is one.
        precision: `fp32`, `bf16` or `auto`; see `choose_precision`.
        progress: show a bar on stderr (if it is a terminal).

    Raises:
        NotFoundError: no such model or store.
        InputError: the model is too small for the store's vocabulary or block size, or no token is
            masked.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    store = data if isinstance(data, BlockStore) else open_evaluation_store(data)
    blocks = EvaluationBlocks(store, seed=seed, mlm_probability=mlm_probability)
    network = model if isinstance(model, torch.nn.Module) else load_model(model)
    check_fits(network, store)
    started = time.perf_counter()
    target = torch.device(device or default_device())
    choice = choose_precision(precision, target.type)
    was_training, home = network.training, next(network.parameters()).device
    tally = torch.zeros(4, dtype=torch.float64)
    head = MaskedHead(network)
    bar = tqdm(total=len(blocks), unit="block", desc="evaluate", disable=None if progress else True)
    autocast = (
        torch.autocast(target.type, torch.bfloat16) if choice.name == "bf16" else nullcontext()
    )
    try:
        network.to(target).eval()
        with torch.inference_mode(), autocast, bar:
            for first in range(0, len(blocks), batch_size):
                numbers = range(first, min(first + batch_size, len(blocks)))
                batch = blocks.__getitems__(numbers)
                inputs = {name: tensor.to(target) for name, tensor in batch.items()}
                labels = inputs.pop("labels")
                masked = head(network, inputs, labels)
                tally += row_counts(masked, len(labels)).double().sum(0).cpu()
                bar.update(len(numbers))
    finally:
        network.to(home).train(was_training)
    return summarize(tally, blocks, precision=choice.name, seconds=time.perf_counter() - started)


def open_evaluation_store(path: str | Path) -> BlockStore:
    """Open a store, or the `test` split of a folder with splits."""
    splits = open_splits(path)
    return splits.get("test") or splits["train"]


def summarize(
    tally: torch.Tensor, blocks: EvaluationBlocks, *, precision: str, seconds: float
) -> Evaluation:
    """Turn summed `row_counts`, float64 `[4]`, into an `Evaluation`.

    Raises:
        InputError: no token was masked.
    """
    loss_sum, top1, top5, masked = tally.tolist()
    manifest = blocks.store.manifest
    if not masked:
        raise InputError(
            f"No token of {blocks.store.path} ({len(blocks)} blocks) is masked at "
            f"{blocks.mlm_probability:.0%}: there is nothing to measure. Take more text."
        )
    loss = loss_sum / masked
    text_tokens = manifest.tokens - manifest.padding_tokens + manifest.dropped_tokens
    text_bytes = manifest.text_bytes
    return Evaluation(
        perplexity=math.exp(loss) if loss < 700 else math.inf,
        loss=loss,
        top1=top1 / masked,
        top5=top5 / masked,
        bits_per_byte=loss / math.log(2) * text_tokens / text_bytes if text_bytes else None,
        masked_tokens=int(masked),
        blocks=len(blocks),
        block_size=manifest.block_size,
        data=str(blocks.store.path),
        mlm_probability=blocks.mlm_probability,
        seed=blocks.seed,
        precision=precision,
        seconds=seconds,
    )
