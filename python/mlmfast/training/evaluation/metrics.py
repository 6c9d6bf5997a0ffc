"""The metrics of an evaluation: means over masked tokens, with standard errors."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlmfast.data.store.named import joined
from mlmfast.data.store.text_tokens import text_tokens
from mlmfast.errors import InputError
from mlmfast.training.block_dataset import BlockDataset
from mlmfast.training.datasets import EvaluationBlocks
from mlmfast.training.evaluation.statistics import mean_of, ratio_estimate
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.text_source import flags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.evaluation.pseudo_perplexity import PseudoPerplexity
    from mlmfast.training.model.documents.mode import DocumentMode
    from mlmfast.training.text_source import TextSource

# The metrics that are averaged over independent masks.
_METRICS = ("perplexity", "loss", "top1", "top5", "bits_per_byte")
LOGGED = ("loss", "perplexity", "top1", "top5", "bits_per_byte", "masked_tokens")
"""The metrics in the log of a training."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation, and the data it was measured on.

    With several seeds, each metric is the mean over their masks.

    Attributes:
        perplexity: exp of the loss.
        loss: mean cross-entropy per masked token, in nats.
        top1: share of the masked tokens that are the best prediction.
        top5: share of the masked tokens that are among the five best predictions.
        bits_per_byte: the loss per byte of text, which is comparable between tokenizers: the loss
            per token times the tokens per byte of the whole text, without special tokens and
            padding. None if the store does not record the size of its text.
        masked_tokens: number of masked tokens, over all seeds.
        blocks: number of blocks.
        block_size: tokens of a block.
        data: the store's folder.
        mlm_probability: share of masked tokens.
        seed: key of the masks; the first of several.
        precision: `fp32` or `bf16`.
        seconds: the duration.
        eval_seeds: number of independent masks.
        standard_errors: metric -> standard error of its mean over the masks, for other masks on the
            same text. None with one seed.
        text_error: standard error of the loss with the blocks as independent samples, for other
            text (and masks) of the same kind. None if unknown.
        pseudo_perplexity: every token of some blocks masked in turn; None if not requested.
        store_blocks: number of blocks in the store, of which the first `blocks` were evaluated;
            None if unknown.
        documents: `separate` if each document of a block was read alone, `joined` if attention
            crossed documents.
        sources: the evaluation of each store by name, if the blocks are of several.
        text_options: how `data` was read, if it is a text: the options of `mlmfast evaluate`.
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
    eval_seeds: int = 1
    standard_errors: dict[str, float] | None = None
    text_error: float | None = None
    pseudo_perplexity: PseudoPerplexity | None = None
    store_blocks: int | None = None
    documents: str = "joined"
    sources: dict[str, Evaluation] | None = None
    text_options: dict[str, Any] | None = None

    @property
    def of_blocks(self) -> str:
        """Describe how many blocks of the store were evaluated."""
        count = f"{self.blocks:,}"
        whole = self.store_blocks in (None, self.blocks)
        return count if whole else f"the first {count} of {self.store_blocks:,}"

    @property
    def command(self) -> str:
        """Return the command that evaluates on the same masks again; one for each of `sources`."""
        if self.sources:
            return "; ".join(each.command for each in self.sources.values())
        options: dict[str, Any] = {"precision": self.precision, "documents": self.documents}
        others: dict[str, Any] = {
            "mlm_probability": self.mlm_probability,
            "seed": self.seed,
            "eval_seeds": self.eval_seeds,
        }
        defaults = {"mlm_probability": 0.15, "seed": 0, "eval_seeds": 1}
        options |= {name: value for name, value in others.items() if value != defaults[name]}
        if self.store_blocks not in (None, self.blocks):
            options["max_eval_samples"] = self.blocks
        options |= self.text_options or {}
        return f"mlmfast evaluate MODEL --data {shlex.quote(self.data)}{flags(options)}"

    def on_texts(self, texts: Mapping[str, TextSource]) -> Evaluation:
        """Return the same evaluation, with `data` naming texts in place of the stores made of them.

        Args:
            texts: the folder of each store that was made of text, and that text.
        """
        text = texts.get(self.data)
        options = dict(text.options) if text else None
        data = self.data
        for folder, source in texts.items():
            data = data.replace(folder, source.name)
        sources = self.sources and {
            source: each.on_texts(texts) for source, each in self.sources.items()
        }
        return replace(self, data=data, sources=sources, text_options=options)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON; a number that is not finite becomes None."""
        return finite(asdict(self))

    def __str__(self) -> str:
        errors = self.standard_errors or {}

        def shown(name: str, form: str) -> str:
            value = form.format(getattr(self, name))
            return f"{value} \u00b1 {form.format(errors[name])}" if name in errors else value

        parts = [
            f"perplexity {shown('perplexity', '{:,.2f}')}",
            f"top-1 {shown('top1', '{:.1%}')}",
            f"top-5 {shown('top5', '{:.1%}')}",
        ]
        if self.bits_per_byte is not None:
            parts.append(f"{shown('bits_per_byte', '{:.3f}')} bits per byte")
        masks = f", standard errors over {self.eval_seeds} masks" if errors else ""
        line = (
            f"{', '.join(parts)} ({self.masked_tokens:,} masked tokens of {self.blocks:,} "
            f"blocks, documents {self.documents}{masks})"
        )
        sources = (self.sources or {}).items()
        lines = [line, *(f"  {name}: {each}" for name, each in sources)]
        if self.pseudo_perplexity is not None:
            lines.append(str(self.pseudo_perplexity))
        return "\n".join(lines)

    def logged(self, prefix: str) -> dict[str, float]:
        """Return the metrics as a Trainer logs them, `{prefix}_loss` and so on.

        Those of `sources` have the names that a Trainer gives to several data sets,
        `{prefix}_{source}_loss`.
        """
        values = {name: getattr(self, name) for name in LOGGED}
        found = {f"{prefix}_{name}": one for name, one in values.items() if one is not None}
        for source, each in (self.sources or {}).items():
            found |= each.logged(f"{prefix}_{source}")
        return found

    def with_logged(self, entry: dict[str, Any], prefix: str) -> Evaluation:
        """Return the evaluation of the same blocks whose metrics `logged` gave."""
        values = {name: entry[f"{prefix}_{name}"] for name in LOGGED if f"{prefix}_{name}" in entry}
        if self.sources:
            values["sources"] = {
                source: each.with_logged(entry, f"{prefix}_{source}")
                for source, each in self.sources.items()
            }
        return replace(self, **values)


def finite(value: Any) -> Any:
    """Replace NaN and Inf, which JSON does not have, by None, also in dicts and lists."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class MaskSeries:
    """A series of `count` independent masks of one text, with the keys `seed`, `seed + 1` ...

    `limit` restricts it to the first blocks of a store; `documents` is as in `evaluate`.
    """

    mlm_probability: float
    seed: int
    count: int
    limit: int | None = None
    documents: DocumentMode | None = None

    def of(self, store: BlockStore | Mapping[str, BlockStore]) -> list[EvaluationBlocks]:
        """Return the blocks of a store, or of several by name, under each of the masks."""
        numbered = numbers_documents(joined(store), self.documents)
        return [
            EvaluationBlocks(
                store,
                limit=self.limit,
                seed=self.seed + each,
                mlm_probability=self.mlm_probability,
                documents=numbered,
            )
            for each in range(self.count)
        ]


def summarize_counts(
    counts: np.ndarray,
    store: BlockStore | Mapping[str, BlockStore],
    masks: MaskSeries,
    precision: str,
    documents: DocumentMode = "joined",
) -> Evaluation:
    """Convert the result of `counts_of`, `[S, N, 4]`, to an `Evaluation` with 0 seconds.

    Raises:
        InputError: no token was masked.
    """
    series = masks.of(store)
    by_seed = [
        summarize(
            torch.from_numpy(one.sum(0)),
            blocks,
            precision=precision,
            seconds=0.0,
            documents=documents,
        )
        for one, blocks in zip(counts, series, strict=True)
    ]
    by_block = counts.sum(0)
    text_error = ratio_estimate(by_block[:, 0], by_block[:, 3]).error
    sources: dict[str, Evaluation] = {}
    first = 0
    for name, part in series[0].parts.items():
        own = counts[:, first : first + len(part)]
        sources[name] = summarize_counts(own, part.store, masks, precision, documents)
        first += len(part)
    means: dict[str, Any] = {}
    errors: dict[str, float] = {}
    for name in _METRICS:
        if getattr(by_seed[0], name) is not None:
            means[name], errors[name] = mean_of(np.array([getattr(one, name) for one in by_seed]))
    return replace(
        by_seed[0],
        **means,
        masked_tokens=sum(one.masked_tokens for one in by_seed),
        eval_seeds=masks.count,
        standard_errors=errors if masks.count > 1 else None,
        text_error=None if math.isnan(text_error) else text_error,
        sources=sources or None,
    )


def summarize(
    totals: torch.Tensor,
    blocks: BlockDataset,
    *,
    precision: str,
    seconds: float,
    documents: DocumentMode = "joined",
) -> Evaluation:
    """Convert summed `row_counts`, float64 `[4]`, to an `Evaluation`.

    Raises:
        InputError: no token was masked.
    """
    loss_sum, top1, top5, masked = totals.tolist()
    manifest = blocks.store.manifest
    if not masked:
        raise InputError(
            f"No token of {blocks.store.path} ({len(blocks)} blocks) is masked at "
            f"{blocks.mean_mask_rate:.0%}: there is nothing to measure. Take more text."
        )
    loss = loss_sum / masked
    text_bytes = manifest.text_bytes
    tokens_per_byte = text_tokens(blocks.store) / text_bytes if text_bytes else None
    return Evaluation(
        perplexity=math.exp(loss) if loss < 700 else math.inf,
        loss=loss,
        top1=top1 / masked,
        top5=top5 / masked,
        bits_per_byte=None if tokens_per_byte is None else loss / math.log(2) * tokens_per_byte,
        masked_tokens=int(masked),
        blocks=len(blocks),
        block_size=manifest.block_size,
        data=str(blocks.store.path),
        mlm_probability=blocks.mean_mask_rate,
        seed=blocks.seed,
        precision=precision,
        seconds=seconds,
        store_blocks=manifest.blocks,
        documents=documents,
    )
