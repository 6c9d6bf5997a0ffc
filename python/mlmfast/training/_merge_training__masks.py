"""How a training masks: its options, checked against each other."""

from __future__ import annotations

from typing import Any

from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.errors import InputError

MODES = ("token", "whole_word", "span")
USUAL_RATE = 0.15


def choose_masks(
    *,
    mlm_probability: float,
    mask_replace_prob: float,
    random_replace_prob: float,
    mode: str,
    whole_word: bool,
    mask_rate_schedule: str | None,
) -> dict[str, Any]:
    """Put the options of the masks together, as `MaskedBlocks` takes them.

    Raises:
        InputError: two options that contradict each other, or one that cannot be.
    """
    if mode not in MODES:
        raise InputError(f"mask_mode is {mode!r}; expected one of {', '.join(MODES)}.")
    if whole_word and mode == "span":
        raise InputError("Give whole_word or mask_mode='span', not both.")
    if mask_rate_schedule is not None:
        if mlm_probability != USUAL_RATE:
            raise InputError(
                f"Give mlm_probability ({mlm_probability}) or mask_rate_schedule "
                f"({mask_rate_schedule}), not both."
            )
        MaskRateSchedule(mask_rate_schedule, 1)
    return {
        "mlm_probability": mlm_probability,
        "mask_replace_prob": mask_replace_prob,
        "random_replace_prob": random_replace_prob,
        "mode": "whole_word" if whole_word else mode,
        "mask_rate_schedule": mask_rate_schedule,
    }
