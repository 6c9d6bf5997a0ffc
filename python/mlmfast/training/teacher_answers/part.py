"""A file with the teacher's answers for some blocks of an epoch.

It is a safetensors file that says itself what it belongs to, with the checksum of its tensors.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mlmfast.errors import InputError, StoreError, first_line
from mlmfast.fs.atomic import atomic_file, is_disk_full
from mlmfast.fs.checksums import sync_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ABOUT = "mlmfast"
_CHECKSUM = "sha256"


def write_part(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write a file that is whole, and on the disk, whenever it is there.

    Args:
        path: the file; its folder exists.
        tensors: its content.
        about: what it belongs to, in values of JSON; `read_part` compares it.

    Raises:
        InputError: the disk is full.
    """
    content = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    text = json.dumps({**about, _CHECKSUM: _checksum(content)}, sort_keys=True)
    try:
        with atomic_file(path) as partial:
            save_file(content, partial, metadata={_ABOUT: text})
            sync_file(partial)
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise InputError(
            f"The disk that holds {path.parent} is full: the teacher's answers written so far are "
            "kept, and the next training writes the rest. Free some space."
        ) from error
    sync_folder(path.parent)


def read_part(
    path: Path, about: Mapping[str, Any], *, verify: bool = False
) -> dict[str, torch.Tensor]:
    """Map a file into memory; its pages are read when they are used.

    Args:
        path: the file.
        about: what it must belong to.
        verify: also compare all its bytes with their checksum.

    Raises:
        StoreError: it is damaged, or belongs to something else.
    """
    try:
        with safe_open(path, "pt") as file:
            found = json.loads((file.metadata() or {})[_ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        checksum = found.pop(_CHECKSUM)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({first_line(error)}): {_ADVICE}.") from error
    if found != dict(about):
        raise StoreError(f"{path} belongs to other answers: {_ADVICE}.")
    if verify and checksum != _checksum(tensors):
        raise StoreError(f"{path} is damaged (its bytes have another checksum): {_ADVICE}.")
    return tensors


_ADVICE = "delete this file, and the next training computes its answers again"


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, each in sorted(tensors.items()):
        digest.update(f"{name} {each.dtype} {tuple(each.shape)}\n".encode())
        digest.update(each.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
