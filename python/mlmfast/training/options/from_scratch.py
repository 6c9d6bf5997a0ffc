"""Default training arguments and mask rate for a model with random weights.

The defaults of the guide are for a checkpoint: at a learning rate of 2e-5, random weights learn
next to nothing. Sources: RoBERTa (Liu et al. 2019, table 9) for the betas, the weight decay, and a
warm-up over 6 % of the steps (30,000 of 500,000); BERT (Devlin et al. 2019) for the order of the
peak learning rate, since RoBERTa's 6e-4 belongs to batches of 8,192; Wettig et al. 2023 ("Should
You Mask 15% in Masked Language Modeling?") and ModernBERT (Warner et al. 2024) for the mask rate of
30 %.
"""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainingArguments

logger = logging.getLogger(__name__)

MLM_PROBABILITY = 0.15
_SCRATCH_MLM_PROBABILITY = 0.3
_WARMUP = 0.06
SCRATCH_DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-4,
    "weight_decay": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.98,
    "adam_epsilon": 1e-6,
}


def with_defaults(given: dict[str, Any], *, is_new: bool) -> dict[str, Any]:
    """Add the defaults for a new model to the training arguments; the given ones win."""
    if not is_new:
        return given
    chosen = {**SCRATCH_DEFAULTS, **_warmup(given)}
    added = {name: value for name, value in chosen.items() if given.get(name) is None}
    if added:
        listed = ", ".join(f"{name} {value:g}" for name, value in added.items())
        logger.info(
            "defaults for a new model: %s; options override them (docs/training.md)", listed
        )
    return {**given, **added}


def choose_mlm_probability(given: float | str | None, *, from_scratch: bool) -> float | str:
    """Return the mask rate: the given one, or the default for random weights or a checkpoint."""
    if given is not None:
        return given
    if from_scratch:
        logger.info("random weights: %g of the tokens are masked", _SCRATCH_MLM_PROBABILITY)
    return _SCRATCH_MLM_PROBABILITY if from_scratch else MLM_PROBABILITY


def _warmup(given: dict[str, Any]) -> dict[str, Any]:
    if any(given.get(name) is not None for name in ("warmup_steps", "warmup_ratio")):
        return {}
    # transformers 5 takes a share of the steps as `warmup_steps` below 1.
    has_ratio = "warmup_ratio" in TrainingArguments.__dataclass_fields__
    return {"warmup_ratio" if has_ratio else "warmup_steps": _WARMUP}
