"""The `forward` of a model, with and without the wrapper of accelerate.

For bf16 and fp16, accelerate replaces `forward` of the model object by one under autocast. Left
there, every later call of the model would run in half precision.
"""

from __future__ import annotations

from typing import Any

from torch import nn

# Attributes in which accelerate stores the wrapped method, the original one, and a mark that the
# model is prepared, which also keeps a model prepared in fp32 from being wrapped for bf16.
_NAMES = ("forward", "_original_forward", "_is_accelerate_prepared")


def forward_of(model: nn.Module) -> dict[str, Any]:
    """Return the attributes that override the class's `forward`; empty for an unwrapped model."""
    return {name: vars(model)[name] for name in _NAMES if name in vars(model)}


def set_forward(model: nn.Module, forward: dict[str, Any]) -> None:
    """Restore the result of `forward_of`."""
    for name in _NAMES:
        vars(model).pop(name, None)
    vars(model).update(forward)


def without_wrappers(model: nn.Module) -> dict[str, Any]:
    """Return what `forward_of` would return without any wrapper of accelerate.

    A `forward` that the user has set on the model object stays.
    """
    attributes = forward_of(model)
    attributes.pop("_is_accelerate_prepared", None)
    if "_original_forward" not in attributes:
        return attributes
    below, own = attributes["forward"], type(model).forward
    while below is not None and getattr(below, "__func__", below) is not own:
        below = getattr(below, "__wrapped__", None)
    if below is not None:
        return {}
    original = attributes["_original_forward"]
    return {} if getattr(original, "__func__", None) is own else {"forward": original}
