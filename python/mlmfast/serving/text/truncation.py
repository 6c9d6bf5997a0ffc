"""Truncate texts around their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding


def window(length: int, masks: Sequence[int], size: int) -> tuple[int, int]:
    """Place a window of `size` tokens so that the masks lie in its middle.

    Args:
        length: tokens of the text, more than `size`.
        masks: positions of its masks, ascending.
        size: tokens to keep.

    Returns:
        The first position in the window, and the first position after it.

    Raises:
        InputError: the masks do not fit into the window.
    """
    if not masks:
        return 0, size
    span = masks[-1] - masks[0] + 1
    if span > size:
        raise InputError(
            f"its masks lie {span} tokens apart, and the model takes {size} beside its special "
            "tokens. Ask about them in two texts."
        )
    start = masks[0] - (size - span) // 2
    start = min(max(start, 0), length - size)
    return start, start + size


def truncate_around_masks(encoding: Encoding, mask_id: int, size: int) -> None:
    """Truncate `encoding`, which has no special tokens around it, to `size` tokens with its masks.

    Raises:
        InputError: as in `window`.
    """
    ids = encoding.ids
    if len(ids) <= size:
        return
    masks = [position for position, token in enumerate(ids) if token == mask_id]
    start, _ = window(len(ids), masks, size)
    encoding.truncate(len(ids) - start, direction="left")
    encoding.truncate(size, direction="right")
