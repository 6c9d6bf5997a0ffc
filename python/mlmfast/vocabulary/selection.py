"""Which tokens of a vocabulary stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def select_tokens(
    counts: np.ndarray[Any, np.dtype[np.int64]],
    required: dict[str, set[int]],
    parts: Callable[[int], set[int]],
    *,
    keep: int | None,
    min_count: int,
) -> set[int]:
    """Return the ids to keep: the required ones, then the most frequent ones with their parts.

    Args:
        counts: int64 `[id_bound]`, the occurrences of each id.
        required: ids that stay in any case, by the reason.
        parts: the ids without which one cannot arise.
        keep: how many ids to keep at most; None keeps all that are frequent enough.
        min_count: the least number of occurrences.

    Raises:
        InputError: more ids than `keep` are required.
    """
    kept = set().union(*required.values())
    if keep is not None and keep < len(kept):
        reasons = ", ".join(f"{len(ids):,} {reason}" for reason, ids in required.items() if ids)
        raise InputError(
            f"keep is {keep:,}, but {len(kept):,} tokens must stay ({reasons}; a token may count "
            f"more than once): keep {len(kept)} or more."
        )
    # By falling number; of equal ones, the lower id first, which most tokenizers learned earlier.
    for number in np.argsort(-counts, kind="stable").tolist():
        if counts[number] < max(min_count, 1) or (keep is not None and len(kept) >= keep):
            break
        if number in kept:
            continue
        needed = {number, *parts(number)} - kept
        if keep is None or len(kept) + len(needed) <= keep:
            kept |= needed
    return kept
