"""What `accelerate launch`, or its configuration file, says: the precision and the compiler."""

from __future__ import annotations

import os
from typing import Any

from mlmfast.errors import InputError

PRECISION = "ACCELERATE_MIXED_PRECISION"
BACKEND, MODE = "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DYNAMO_MODE"
# `accelerate launch` sets this one always, and `TrainingArguments` never.
LAUNCHER = "ACCELERATE_DYNAMO_USE_FULLGRAPH"


def _read_environment() -> dict[str, str]:
    """Read what is said: by a launcher all of it, without one the precision."""
    names = (PRECISION, BACKEND, MODE) if LAUNCHER in os.environ else (PRECISION,)
    return {name: os.environ[name] for name in names if os.environ.get(name)}


# Read before any training: every `TrainingArguments` writes its own over these variables.
LAUNCHED = _read_environment()


def launched_precision(device: str) -> dict[str, Any] | None:
    """Give the training arguments that the precision of `LAUNCHED` means; None without one.

    Args:
        device: a torch device type, `cpu`, `cuda` ...

    Raises:
        InputError: one that trainings do not have, or not on this device.
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
