"""The precision that `accelerate launch` was given, or its configuration file."""

from __future__ import annotations

import os
from typing import Any

from mlmfast.errors import InputError

VARIABLE = "ACCELERATE_MIXED_PRECISION"
# As the process began: every TrainingArguments sets the variable, to a training's own precision.
_LAUNCHED = os.environ.get(VARIABLE)


def launched_precision(device: str, name: str | None = _LAUNCHED) -> dict[str, Any] | None:
    """Give the training arguments that a launcher's precision means; None without a launcher.

    Args:
        device: a torch device type, `cpu`, `cuda` ...
        name: the value of `ACCELERATE_MIXED_PRECISION`.

    Raises:
        InputError: one that trainings do not have, or not on this device.
    """
    if not name:
        return None
    known = {
        "no": {"bf16": False},
        "bf16": {"bf16": True},
        "fp16": {"fp16": True},
    }
    if name.lower() not in known:
        raise InputError(
            f"accelerate launch (or {VARIABLE}) asks for mixed precision {name!r}; expected one of "
            f"{', '.join(known)}."
        )
    if name.lower() == "fp16" and device == "cpu":
        raise InputError(
            f"accelerate launch (or {VARIABLE}) asks for fp16, which needs a GPU: launch with "
            "--mixed_precision bf16 or no, or give --precision."
        )
    return known[name.lower()]
