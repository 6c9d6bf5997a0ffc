"""Which figure chooses the best model, checked before the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.trainer_utils import SaveStrategy

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore

# Whether more is better.
_METRICS = {
    "loss": False,
    "perplexity": False,
    "top1": True,
    "top5": True,
    "bits_per_byte": False,
}
PREFIX = "eval_"


def choose_best_metric(given: dict[str, Any], measured: BlockStore | None) -> dict[str, Any]:
    """Complete the training arguments that choose the best model.

    transformers takes more for better unless the metric's name ends with "loss", which would make
    the model with the highest perplexity the best one.

    Args:
        given: the training arguments that the user gave.
        measured: the blocks to measure on; None if nothing is measured.

    Returns:
        The arguments to add.

    Raises:
        InputError: there is no such metric, or nothing is measured.
    """
    name = given.get("metric_for_best_model")
    if measured is None:
        wishes = ("metric_for_best_model", "load_best_model_at_end", "greater_is_better")
        for wish in wishes:
            if given.get(wish):
                raise InputError(
                    f"{wish} is {given[wish]!r}, but nothing is measured: prepare the blocks with "
                    "--test-size, or give eval_data; and no eval_strategy 'no'."
                )
        return {}
    if name is None:
        if str(given.get("save_strategy")) == SaveStrategy.BEST:
            raise InputError(
                f"save_strategy 'best' needs metric_for_best_model, one of {', '.join(_METRICS)}."
            )
        return {}
    metric = str(name).removeprefix(PREFIX)
    known = [each for each in _METRICS if each != "bits_per_byte" or measured.manifest.text_bytes]
    if metric not in known:
        raise InputError(
            f"metric_for_best_model is {name!r}; an evaluation gives {', '.join(known)}."
        )
    if given.get("greater_is_better") is not None:
        return {}
    return {"greater_is_better": _METRICS[metric]}
