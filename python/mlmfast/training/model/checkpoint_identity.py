"""Which weights a checkpoint has, without loading them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from mlmfast.fs.checksums import file_sha256
from mlmfast.fs.paths import as_path
from mlmfast.peft_models import base_of, is_adapter
from mlmfast.training.model.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

_FILES = ("config.json", "adapter_config.json", "*.safetensors", "*.bin")


def checkpoint_identity(name: str | Path, **hub: Any) -> str:
    """Return what changes if a checkpoint has other weights.

    Args:
        name: a folder, or a name on the Hub.
        hub: as of `load_model`.

    Returns:
        The SHA-256 of the configuration and the weights of a folder; the name and the commit of a
        model on the Hub.

    Raises:
        NotFoundError: neither a folder nor a model on the Hub, as far as it can be reached.
        InputError: the folder holds no model.
    """
    folder = as_path(name)
    if not folder.is_dir():
        return f"{name} at {load_config(name, **hub)._commit_hash}"  # noqa: SLF001
    digest = hashlib.sha256()
    if is_adapter(folder):
        digest.update(checkpoint_identity(base_of(folder), **hub).encode())
    else:
        load_config(folder, **hub)
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern)}):
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()
