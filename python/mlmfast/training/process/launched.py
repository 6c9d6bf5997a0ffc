"""Precision and compiler settings of `accelerate launch` or of its configuration file."""

from __future__ import annotations

import os
from typing import Any

from mlmfast.errors import InputError

PRECISION = "ACCELERATE_MIXED_PRECISION"
BACKEND, MODE = "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DYNAMO_MODE"
# `accelerate launch` always sets this variable, and `TrainingArguments` never does.
LAUNCHER = "ACCELERATE_DYNAMO_USE_FULLGRAPH"


def _read_environment() -> dict[str, str]:
    """Read all settings under a launcher, and only the precision without one."""
    names = (PRECISION, BACKEND, MODE) if LAUNCHER in os.environ else (PRECISION,)
    return {name: os.environ[name] for name in names if os.environ.get(name)}


# Read at import, before any training: every `TrainingArguments` overwrites these variables.
LAUNCHED = _read_environment()


def launched_precision(device: str) -> dict[str, Any] | None:
    """Return the training arguments for the precision of `LAUNCHED`; None if it names none.

    Args:
        device: a torch device type, `cpu`, `cuda` ...

    Raises:
        InputError: the precision is unknown, or not available on this device.
    """
    name = LAUNCHED.get(PRECISION)
    if name is None:
        return None
    known = {
        "no": {"bf16": False},
        "bf16": {"bf16": True},
        "fp16": {"fp16": True},
    }
    if name.lower() not in known:
        raise InputError(
            f"accelerate launch (or {PRECISION}) asks for mixed precision {name!r}; expected one "
            f"of {', '.join(known)}."
        )
    if name.lower() == "fp16" and device == "cpu":
        raise InputError(
            f"accelerate launch (or {PRECISION}) asks for fp16, which needs a GPU: launch with "
            "--mixed_precision bf16 or no, or give --precision."
        )
    return known[name.lower()]
