"""The arguments through which the layers of a model receive their attention mask.

Model types pass masks in many forms: bool, 0 and 1, or 0 and a large negative number; for a key, or
for each pair; None where nothing is masked. The forms are not looked up by model type but read from
a call with a padded row. Hooks then put the mask of the documents into the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mlmfast.training.model.last_layer import layers_of

Place = int | str
# Keys that are hidden in the row that shows what a mask looks like: two, so that neither a position
# nor any other count passes for a mask.
HIDDEN_KEYS = 2


@dataclass(frozen=True)
class MaskForm:
    """What a mask for pairs of tokens looks like.

    Attributes:
        dims: 4 for `[B, 1, L, L]`, 3 for `[B, L, L]`.
        keep: the value at a pair that attends.
        drop: the value at a pair that does not.
        dtype: the data type.
    """

    dims: int
    keep: float
    drop: float
    dtype: torch.dtype

    def of(self, same: torch.Tensor) -> torch.Tensor:
        """Return the mask of pairs in this form, from bool `[B, 1, L, L]`."""
        pairs = same if self.dims == 4 else same[:, 0]
        if (self.dtype, self.keep) == (torch.bool, True):
            return pairs
        mask = torch.full_like(pairs, self.keep, dtype=self.dtype)
        return mask.masked_fill_(~pairs, self.drop)

    def restrict(self, mask: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        """Return a mask of the model that also drops the pairs that are not the same."""
        pairs = same if self.dims == 4 else same[:, 0]
        return torch.where(pairs, mask, self.drop)

    def has_pairs(self, mask: torch.Tensor) -> bool:
        """Whether a mask of the model has a value for each pair, not for each key only."""
        return mask.dim() == self.dims and mask.shape[-2] == mask.shape[-1]


@dataclass(frozen=True)
class MaskSlot:
    """An argument of a layer, or of a part of it, that is a mask: its position or name."""

    module: nn.Module
    place: Place
    form: MaskForm


def find_slots(base: nn.Module, run: Callable[[], Any], length: int) -> list[MaskSlot]:
    """Find the masks that the layers of a model receive.

    Args:
        base: the model; members of its `ModuleList`s are its layers.
        run: runs the model on a batch whose first row ends in `HIDDEN_KEYS` keys that the
            `attention_mask` hides.
        length: tokens of a row of that batch.
    """
    slots: dict[tuple[nn.Module, Place], MaskSlot] = {}

    def look(module: nn.Module, args: Any, kwargs: Any) -> None:
        for place, value in (*enumerate(args), *kwargs.items()):
            form = _form(value, length) if isinstance(value, torch.Tensor) else None
            if form is not None:
                slots.setdefault((module, place), MaskSlot(module, place, form))

    layers = layers_of(base)
    handles = [each.register_forward_pre_hook(look, with_kwargs=True) for each in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return list(slots.values())


def replace_masks(
    slots: list[MaskSlot], mask_for: Callable[[MaskForm, torch.Tensor | None], Any]
) -> list[Any]:
    """Register hooks that replace the masks of layers, and return their handles.

    Args:
        slots: the arguments to replace.
        mask_for: returns the mask in place of the model's own, which may be None.
    """
    by_module: dict[nn.Module, list[MaskSlot]] = {}
    for slot in slots:
        by_module.setdefault(slot.module, []).append(slot)

    def hook(own: list[MaskSlot]) -> Any:
        def replace(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            new_args, new_kwargs = list(args), dict(kwargs)
            for slot in own:
                if isinstance(slot.place, str):
                    new_kwargs[slot.place] = mask_for(slot.form, kwargs.get(slot.place))
                elif slot.place < len(args):
                    new_args[slot.place] = mask_for(slot.form, args[slot.place])
            return tuple(new_args), new_kwargs

        return replace

    return [
        module.register_forward_pre_hook(hook(own), with_kwargs=True)
        for module, own in by_module.items()
    ]


def _form(value: torch.Tensor, length: int) -> MaskForm | None:
    """Return the form of a mask: two values, one of them at all hidden keys of the first row."""
    shape = value.shape
    is_mask = (
        value.dim() in (2, 3, 4)
        and shape[-1] == length
        and (value.dim() < 3 or shape[-2] in (1, length))
        and (value.dim() < 4 or shape[1] == 1)
        and not value.is_complex()
    )
    if not is_mask:
        return None
    row = value[0].reshape(-1, length)
    keep, drop = row[0, 0], row[0, -1]
    hidden = row[:, -HIDDEN_KEYS:]
    if keep == drop or not bool((hidden[: length - HIDDEN_KEYS] == drop).all()):
        return None
    if not bool(((row == keep) | (row == drop)).all()):
        return None
    dims = 3 if value.dim() < 4 else 4
    return MaskForm(dims, keep.item(), drop.item(), value.dtype)
