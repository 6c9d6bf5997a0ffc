"""Perceiver: logits for the tokens of the text, not for every position the model has."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(model: Any) -> Iterator[None]:
    """Cut what the base model decodes to the length of its input."""

    def cut(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        inputs = args[0] if args else kwargs["inputs"]
        length = inputs.shape[1]
        if isinstance(output, tuple):
            return (output[0][:, :length], *output[1:])
        output.logits = output.logits[:, :length]
        return output

    handle = model.base_model.register_forward_hook(cut, with_kwargs=True, prepend=True)
    try:
        yield
    finally:
        handle.remove()
