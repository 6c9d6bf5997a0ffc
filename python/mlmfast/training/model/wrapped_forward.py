"""A model's `forward` without what accelerate has wrapped around it.

For bf16 and fp16, accelerate puts an autocast around `forward`, on the model itself: it would stay
there, and every later call of the model would be one in half precision.
"""

from __future__ import annotations

from typing import Any

from torch import nn

# Where accelerate puts the wrapped method, the one below it, and its mark that it must not wrap the
# model again: not even one that it prepared in fp32 for a training in bf16.
_NAMES = ("forward", "_original_forward", "_is_accelerate_prepared")


def forward_of(model: nn.Module) -> dict[str, Any]:
    """Read what stands in place of the class's `forward`; empty for a model as it was made."""
    return {name: vars(model)[name] for name in _NAMES if name in vars(model)}


def set_forward(model: nn.Module, forward: dict[str, Any]) -> None:
    """Put back what `forward_of` has read."""
    for name in _NAMES:
        vars(model).pop(name, None)
    vars(model).update(forward)


def without_wrappers(model: nn.Module) -> dict[str, Any]:
    """Give what `forward_of` would read if accelerate had not wrapped it, however many times.

    A `forward` that somebody else has put on the model stays.
    """
    found = forward_of(model)
    found.pop("_is_accelerate_prepared", None)
    if "_original_forward" not in found:
        return found
    below, own = found["forward"], type(model).forward
    while below is not None and getattr(below, "__func__", below) is not own:
        below = getattr(below, "__wrapped__", None)
    if below is not None:
        return {}
    original = found["_original_forward"]
    return {} if getattr(original, "__func__", None) is own else {"forward": original}
