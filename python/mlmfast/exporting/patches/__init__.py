"""Models rewritten while they are traced, where a trace of their own code would not hold.

A trace keeps what Python decided and computed at the traced length. Most models leave nothing of
the kind; those here do, or use what ONNX has no operator for. Each patch computes the same numbers
in operators that follow the length, in PyTorch as in ONNX, and is gone when its context ends.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Model types whose patch is the module of that name here.
PATCHED = (
    "esm",
    "fnet",
    "funnel",
    "longformer",
    "mega",
    "perceiver",
    "reformer",
    "tapas",
    "xmod",
)
# Models whose patch is on.
_inside: set[int] = set()


@contextmanager
def traceable(model: Any) -> Iterator[None]:
    """Make `model` one whose trace is right at every length; a second time inside changes nothing.

    Args:
        model: a masked language model of transformers, in evaluation mode.

    Raises:
        InputError: the model cannot be run without a choice that is its user's.
    """
    kind = model.config.model_type
    if kind not in PATCHED or id(model) in _inside:
        yield
        return
    patch = import_module(f"{__name__}.{kind}").patch
    _inside.add(id(model))
    try:
        with patch(model):
            yield
    finally:
        _inside.remove(id(model))
