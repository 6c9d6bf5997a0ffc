"""The mask options of `train`, checked and put together."""

from __future__ import annotations

from typing import Any

from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.tokenization.word_boundaries import known_boundaries
from mlmfast.errors import InputError
from mlmfast.training.options.from_scratch import MLM_PROBABILITY, choose_mlm_probability

_MODES = ("token", "whole_word", "span")


def resolve_masks(
    *,
    mlm_probability: float | str | None,
    from_scratch: bool,
    mask_replace_prob: float,
    random_replace_prob: float,
    mode: str,
    whole_word: bool,
    word_boundaries: str,
    mask_rate_schedule: str | None,
) -> dict[str, Any]:
    """Put the mask options together, as `MaskedBlocks` takes them.

    Args:
        mlm_probability: the rate, or the distribution that each block's is drawn from; None for the
            default, which depends on `from_scratch`.
        from_scratch: whether the weights start at random.
        mask_replace_prob: share of the chosen tokens that become the mask token.
        random_replace_prob: share of the chosen tokens that become a random token.
        mode: one of `_MODES`.
        whole_word: another name of the mode `whole_word`.
        word_boundaries: how whole words are found; left out of the result if it is `marker`.
        mask_rate_schedule: in place of `mlm_probability`.

    Raises:
        InputError: two options contradict each other, or a value is out of range.
    """
    if mode not in _MODES:
        raise InputError(f"mask_mode is {mode!r}; expected one of {', '.join(_MODES)}.")
    if whole_word and mode == "span":
        raise InputError("Give whole_word or mask_mode='span', not both.")
    if mask_rate_schedule is None:
        chosen = choose_mlm_probability(mlm_probability, from_scratch=from_scratch)
        rate = parse_mask_rate(chosen)
        mlm_probability = str(rate) if isinstance(rate, RowRates) else rate
    elif mlm_probability is not None:
        raise InputError(
            f"Give mlm_probability ({mlm_probability}) or mask_rate_schedule "
            f"({mask_rate_schedule}), not both."
        )
    else:
        MaskRateSchedule(mask_rate_schedule, 1)  # raises InputError for one that is malformed
        mlm_probability = MLM_PROBABILITY  # recorded beside the schedule, without effect
    whole_word = whole_word or mode == "whole_word"
    if known_boundaries(word_boundaries) != "marker" and not whole_word:
        raise InputError(
            f"word_boundaries ({word_boundaries}) tells where whole words begin: give whole_word."
        )
    return {
        "mlm_probability": mlm_probability,
        "mask_replace_prob": mask_replace_prob,
        "random_replace_prob": random_replace_prob,
        "mode": "whole_word" if whole_word else mode,
        "mask_rate_schedule": mask_rate_schedule,
        **({} if word_boundaries == "marker" else {"word_boundaries": word_boundaries}),
    }
