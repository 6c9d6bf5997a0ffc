"""Files with the weights of an average."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch


def write_weights(weights: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write tensors by name, each in its own dtype."""
    # Copies: safetensors refuses tensors that are parts of one storage.
    save_file(
        {name: each.detach().cpu().clone().contiguous() for name, each in weights.items()}, file
    )


def read_weights(file: Path, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Read tensors onto the CPU.

    Raises:
        InputError: their names or shapes are not the expected ones.
    """
    found = load_file(file)
    if {name: each.shape for name, each in found.items()} != {
        name: each.shape for name, each in expected.items()
    }:
        raise InputError(
            f"{file} holds other weights than those that are trained now: resume with the same "
            "model, or start a new training with --overwrite."
        )
    return found


def link(file: Path, target: Path) -> None:
    """Give a file another name; copy it where the file system has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
