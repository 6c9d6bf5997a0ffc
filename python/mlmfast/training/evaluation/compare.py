"""A paired comparison of two models on the same masks, with a confidence interval."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.store.named import joined
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluate import check_evaluation, counts_of
from mlmfast.training.evaluation.evaluator import evaluating
from mlmfast.training.evaluation.metrics import Evaluation, MaskSeries, finite, summarize_counts
from mlmfast.training.evaluation.raw_text import check_text_options, evaluation_data
from mlmfast.training.evaluation.statistics import MIN_CLUSTERS, half_width, ratio_estimate
from mlmfast.training.model.compatibility import check_same_tokens
from mlmfast.training.model.documents.mode import check_document_mode, numbers_documents
from mlmfast.training.model.load import check_fits, load_model

if TYPE_CHECKING:
    import numpy as np

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.text_source import TextSource

Model = str | Path | torch.nn.Module


@dataclass(frozen=True)
class Comparison:
    """A paired comparison: both models predict the same masked tokens.

    Attributes:
        names: the two models, as given.
        model: the evaluation of the first.
        against: the evaluation of the second.
        difference: mean over the masked tokens of the first's loss minus the second's, in nats;
            below zero the first is better.
        standard_error: standard error of the difference, with the blocks as independent samples.
        low: lower end of the confidence interval of the difference.
        high: its upper end.
        confidence: the confidence level of the interval.
        significant: whether zero lies outside of the interval.
        better: the name of the significantly better model; None if neither is.
    """

    names: tuple[str, str]
    model: Evaluation
    against: Evaluation
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float

    @property
    def significant(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def better(self) -> str | None:
        if not self.significant:
            return None
        return self.names[0 if self.difference < 0 else 1]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return finite(asdict(self) | {"significant": self.significant, "better": self.better})

    def __str__(self) -> str:
        low, middle, high = (math.exp(each) for each in (self.low, self.difference, self.high))
        verdict = (
            f"{self.better} is better"
            if self.significant
            else "no significant difference: zero lies in the interval"
        )
        error, share = self.standard_error, f"{self.confidence:.0%}"
        both = zip(self.names, (self.model, self.against), strict=True)
        lines = [f"{name}: {evaluation}" for name, evaluation in both]
        lines.append(
            f"difference of the loss {self.difference:+.4f} \u00b1 {error:.4f} a token, {share} "
            f"interval {self.low:+.4f} to {self.high:+.4f}"
        )
        lines.append(f"perplexity {middle:.3f} times the other's ({low:.3f} to {high:.3f})")
        return "\n".join([*lines, verdict])


def compare(
    model: Model,
    against: Model,
    data: Any,
    *,
    batch_size: int = 32,
    mlm_probability: float = 0.15,
    seed: int = 0,
    eval_seeds: int = 1,
    max_eval_samples: int | None = None,
    confidence: float = 0.95,
    documents: str | None = None,
    device: str | None = None,
    precision: str = "fp32",
    verify_store: bool = False,
    progress: bool = False,
    **text: Any,
) -> Comparison:
    """Compare two masked language models with the same tokenizer on the same masks of a text.

    A difficult text is difficult for both models, which cancels in the difference: its error is far
    smaller than that of either loss. The standard error takes the blocks as independent samples,
    since the tokens of a block are correlated; the interval is based on Student's t distribution.

    Args:
        model: a checkpoint folder, a Hub name, or a model.
        against: the other model.
        data: a block store, or its folder; for a folder with splits, the split `test`. Or raw text,
            as `evaluate` takes it.
        batch_size: blocks per batch.
        mlm_probability: share of the ordinary tokens that are masked.
        seed: key of the masks.
        eval_seeds: number of independent masks, as in `evaluate`; more masks of the same blocks
            narrow the interval less than more blocks do.
        max_eval_samples: evaluate on the first N blocks only.
        confidence: confidence level of the interval.
        documents: as in `evaluate`; None keeps them apart if both models do.
        device: a torch device; None takes the GPU if there is one.
        precision: `fp32`, `bf16` or `auto`.
        verify_store: first compare every byte of the store with its checksums.
        progress: show a bar on stderr (if it is a terminal).
        text: how raw text becomes blocks, as in `evaluate`; what is not given is as in the training
            of `model`.

    Raises:
        NotFoundError: no such model, store or text.
        StoreError: the store is damaged.
        InputError: the tokenizers differ, a model does not fit the store, the store has too few
            blocks, or a text cannot be used.
    """
    given = check_text_options("compare", text)
    mode = check_document_mode(documents)
    masks = MaskSeries(mlm_probability, seed, eval_seeds, max_eval_samples, mode)
    check_evaluation(batch_size, masks)
    if not 0.5 <= confidence <= 0.999:
        raise InputError(f"confidence is {confidence}; expected 0.5 to 0.999.")
    if isinstance(data, Mapping):
        raise InputError("compare is for one block store or text; got a dict of several.")
    with evaluation_data(data, model, given, progress=progress) as opened:
        store = joined(opened.stores)
        if verify_store:
            store.verify(progress=progress)
        return _compared(
            (model, against),
            store,
            masks,
            opened.texts,
            confidence=confidence,
            batch_size=batch_size,
            device=device,
            precision=precision,
            progress=progress,
        )


def _compared(
    both: tuple[Model, Model],
    store: BlockStore,
    masks: MaskSeries,
    texts: Mapping[str, TextSource],
    *,
    confidence: float,
    batch_size: int,
    device: str | None,
    precision: str,
    progress: bool,
) -> Comparison:
    blocks = len(masks.of(store)[0])
    if blocks < MIN_CLUSTERS:
        raise InputError(
            f"{store.path} has {blocks} blocks to evaluate on: a comparison needs at least "
            f"{MIN_CLUSTERS}, and hundreds to resolve small differences."
        )
    for each in both:
        _check_tokens(each, store)

    def measure(model: Model, masks: MaskSeries) -> tuple[np.ndarray, Evaluation]:
        started = time.perf_counter()
        network = model if isinstance(model, torch.nn.Module) else load_model(model)
        check_fits(network, store, documents=numbers_documents(store, masks.documents))
        with evaluating(network, device, precision, masks.documents) as evaluator:
            counts = counts_of(evaluator, store, masks, batch_size, progress=progress)
        summary = summarize_counts(counts, store, masks, evaluator.precision, evaluator.documents)
        return counts, replace(summary, seconds=time.perf_counter() - started)

    measured = [measure(each, masks) for each in both]
    if measured[0][1].documents != measured[1][1].documents:
        # One of them does not keep documents apart: both must read the same text.
        measured = [measure(each, replace(masks, documents="joined")) for each in both]
    counts, evaluations = zip(*measured, strict=True)
    difference, error = paired_difference(*counts)
    margin = half_width(confidence, int((counts[0].sum(0)[:, 3] > 0).sum())) * error
    return Comparison(
        names=(_name(both[0]), _name(both[1])),
        model=evaluations[0].on_texts(texts),
        against=evaluations[1].on_texts(texts),
        difference=difference,
        standard_error=error,
        low=difference - margin,
        high=difference + margin,
        confidence=confidence,
    )


def paired_difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the mean difference of the loss per masked token, and its standard error.

    Args:
        one: counts of the first model, float64 `[S, N, 4]`, from `counts_of`.
        other: counts of the second model, on the same masks.
    """
    first, second = one.sum(0), other.sum(0)
    return ratio_estimate(first[:, 0] - second[:, 0], first[:, 3])


def _check_tokens(model: Model, store: BlockStore) -> None:
    if isinstance(model, torch.nn.Module):
        return
    try:
        check_same_tokens(model, store)
    except InputError as error:
        raise InputError(
            "Losses of different tokens cannot be compared, bits per byte can: prepare the same "
            f"text with the tokenizer of each model, and `mlmfast evaluate` each. {error}"
        ) from error


def _name(model: Model) -> str:
    return type(model).__name__ if isinstance(model, torch.nn.Module) else str(model)
