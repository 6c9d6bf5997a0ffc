"""Activation checkpointing of a model, in transformers 4 and 5."""

from __future__ import annotations

from typing import Any


def is_checkpointing(model: Any) -> bool:
    """Whether a model recomputes activations in the backward pass instead of storing them."""
    for name in ("is_activation_checkpointing", "is_gradient_checkpointing"):
        value = getattr(model, name, None)
        if value is not None:
            return bool(value)
    return False


def repeats_hooks(layer: Any) -> bool:
    """Whether a layer that runs again in the backward pass runs its hooks again.

    transformers 4 repeats the call of a layer; transformers 5 repeats its `forward`, without hooks.
    """
    try:
        from transformers.modeling_layers import GradientCheckpointingLayer
    except ImportError:
        return False
    repeats_calls = "__call__" in vars(GradientCheckpointingLayer)
    return repeats_calls and isinstance(layer, GradientCheckpointingLayer)


def has_input_hooks(model: Any) -> bool:
    """Whether hooks make the output of the embeddings require gradients.

    transformers 5 registers them when it enables checkpointing, and leaves them when it disables
    checkpointing.
    """
    return bool(getattr(model, "_require_grads_hooks", None))


def disable_checkpointing(model: Any, *, input_hooks: bool) -> None:
    """Disable the checkpointing that a Trainer with `gradient_checkpointing` enabled on a model.

    Args:
        model: the model of the Trainer.
        input_hooks: the result of `has_input_hooks` before the training; if true, the hooks stay.
    """
    if hasattr(model, "activation_checkpointing_disable"):
        model.activation_checkpointing_disable()
    else:
        model.gradient_checkpointing_disable()
    if has_input_hooks(model) and not input_hooks:
        model.disable_input_require_grads()
