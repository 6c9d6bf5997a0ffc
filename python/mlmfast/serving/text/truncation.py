"""Cut texts that are too long: at their end, as transformers does, or around their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding


def window(length: int, masks: Sequence[int], room: int) -> tuple[int, int]:
    """Place a window of `room` tokens so that the masks lie in its middle.

    Args:
        length: tokens of the text, more than `room`.
        masks: positions of its masks, ascending.
        room: tokens that may stay.

    Returns:
        The first position that stays, and the first after it that does not.

    Raises:
        InputError: the masks lie further apart than `room`.
    """
    if not masks:
        return 0, room
    span = masks[-1] - masks[0] + 1
    if span > room:
        raise InputError(
            f"its masks lie {span} tokens apart, and the model takes {room} beside its special "
            "tokens. Ask about them in two texts."
        )
    start = masks[0] - (room - span) // 2
    start = min(max(start, 0), length - room)
    return start, start + room


def cut_around_masks(encoding: Encoding, mask_id: int, room: int) -> None:
    """Cut `encoding`, which has no special tokens around it, to `room` tokens with its masks.

    Raises:
        InputError: as in `window`.
    """
    ids = encoding.ids
    if len(ids) <= room:
        return
    masks = [position for position, token in enumerate(ids) if token == mask_id]
    start, _ = window(len(ids), masks, room)
    encoding.truncate(len(ids) - start, direction="left")
    encoding.truncate(room, direction="right")
