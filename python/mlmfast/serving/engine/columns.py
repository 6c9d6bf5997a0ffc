"""The inputs [batch, length] that all graphs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def column_types(graph: Path, session: Any, besides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the integer types of the inputs [batch, length].

    Args:
        graph: the file, for messages.
        session: its onnxruntime session.
        besides: inputs of other forms.

    Raises:
        InputError: there are other inputs, or these are no integers.
    """
    types = {
        entry.name: _INTEGERS.get(entry.type)
        for entry in session.get_inputs()
        if entry.name not in besides
    }
    unknown = [name for name in types if name not in _COLUMNS]
    if unknown or None in types.values():
        raise InputError(
            f"{graph} wants the inputs {', '.join(types)}; a fill-mask graph takes integers named "
            f"{', '.join(_COLUMNS)}. Export the model with `mlmfast export`."
        )
    return types


def of_types(columns: dict[str, np.ndarray], types: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the inputs that a graph takes, in its integer types."""
    return {name: columns[name].astype(kind, copy=False) for name, kind in types.items()}
