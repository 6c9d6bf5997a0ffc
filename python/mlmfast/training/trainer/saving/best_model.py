"""The metric that selects the best model, checked before the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.trainer_utils import SaveStrategy

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore

# Metric -> whether greater is better.
_METRICS = {
    "loss": False,
    "perplexity": False,
    "top1": True,
    "top5": True,
    "bits_per_byte": False,
}
PREFIX = "eval_"


def choose_best_metric(given: dict[str, Any], eval_store: BlockStore | None) -> dict[str, Any]:
    """Complete the training arguments that select the best model.

    transformers assumes that greater is better unless the name of the metric ends with "loss",
    which would select the model with the highest perplexity.

    Args:
        given: the training arguments that the user set.
        eval_store: the evaluation blocks; None without evaluations.

    Returns:
        The arguments to add.

    Raises:
        InputError: the metric does not exist, or there are no evaluations.
    """
    name = given.get("metric_for_best_model")
    if eval_store is None:
        for option in ("metric_for_best_model", "load_best_model_at_end", "greater_is_better"):
            if given.get(option):
                raise InputError(
                    f"{option} is {given[option]!r}, but nothing is measured: prepare the blocks "
                    "with --test-size or give eval_data, and do not set eval_strategy to 'no'."
                )
        return {}
    if name is None:
        if str(given.get("save_strategy")) == SaveStrategy.BEST:
            raise InputError(
                f"save_strategy 'best' needs metric_for_best_model, one of {', '.join(_METRICS)}."
            )
        return {}
    metric = str(name).removeprefix(PREFIX)
    known = [each for each in _METRICS if each != "bits_per_byte" or eval_store.manifest.text_bytes]
    if metric not in known:
        raise InputError(
            f"metric_for_best_model is {name!r}; an evaluation gives {', '.join(known)}."
        )
    if given.get("greater_is_better") is not None:
        return {}
    return {"greater_is_better": _METRICS[metric]}
