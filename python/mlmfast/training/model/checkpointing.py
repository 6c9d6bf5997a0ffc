"""Activation checkpointing of a model, by the names that transformers 4 and 5 have for it."""

from __future__ import annotations

from typing import Any


def is_checkpointing(model: Any) -> bool:
    """Whether a model computes activations again in the backward pass instead of keeping them."""
    for name in ("is_activation_checkpointing", "is_gradient_checkpointing"):
        found = getattr(model, name, None)
        if found is not None:
            return bool(found)
    return False


def has_input_hooks(model: Any) -> bool:
    """Whether hooks make the embeddings' output require gradients.

    transformers 5 registers them on every model of token ids that it enables checkpointing for,
    and disabling that leaves them there.
    """
    return bool(getattr(model, "_require_grads_hooks", None))


def disable_checkpointing(model: Any, *, input_hooks: bool) -> None:
    """Undo what a Trainer with `gradient_checkpointing` has enabled on a model.

    Args:
        model: the model of the Trainer.
        input_hooks: what `has_input_hooks` said before the training; such hooks stay.
    """
    if hasattr(model, "activation_checkpointing_disable"):
        model.activation_checkpointing_disable()
    else:
        model.gradient_checkpointing_disable()
    if has_input_hooks(model) and not input_hooks:
        model.disable_input_require_grads()
