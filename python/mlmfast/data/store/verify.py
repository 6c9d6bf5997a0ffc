"""Compare a block store with its manifest, to the last byte: `verify`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.store.damage import checksums_of, find_damage, verify_bar
from mlmfast.data.store.folder import store_folders
from mlmfast.data.store.manifest import Manifest
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import StoreError
from mlmfast.fs.paths import as_path
from mlmfast.fs.remote.urls import is_url


@dataclass
class VerifyReport:
    """What `verify` found in a store, or in its splits."""

    path: str | Path
    blocks: dict[str, int] = field(default_factory=dict)
    """Blocks of each split."""
    files: int = 0
    bytes: int = 0
    """Bytes of the shards, all of which were read."""
    damage: list[str] = field(default_factory=list)
    """A sentence for each file that differs from what was written."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report in values that JSON can hold."""
        return {
            **vars(self),
            "path": str(self.path),
            "whole": not self.damage,
            "seconds": round(self.seconds, 3),
        }


def verify(path: str | Path, *, progress: bool = False) -> VerifyReport:
    """Read a block store, or all splits of one, and compare every file with the manifest.

    Args:
        path: The store, or its URL; then the files at the URL are read, and no cache.
        progress: Show a progress bar on standard error.

    Returns:
        What is damaged, in `damage`, and how much was read.

    Raises:
        NotFoundError: There is no such folder.
        StoreError: It is not a block store.
        InputError: The URL cannot be accessed.
    """
    if is_url(path):
        from mlmfast.data.store.remote.verify import verify_url

        return verify_url(str(path), progress=progress)
    began = time.perf_counter()
    report = VerifyReport(Path(path))
    folders = store_folders(as_path(path))
    if not folders:
        BlockStore.open(path)  # raises: its message says what the folder holds
    manifests = {}
    for split, folder in folders.items():
        try:
            manifests[split] = Manifest.read(folder)
        except StoreError as error:
            report.damage.append(str(error))
    with verify_bar(*manifests.values(), enabled=progress) as advance:
        for split, manifest in manifests.items():
            report.blocks[split] = manifest.blocks
            report.files += len(checksums_of(manifest))
            report.bytes += sum(shard.bytes for shard in manifest.shards)
            report.damage += find_damage(folders[split], manifest, advance)
    if not report.damage:
        try:
            open_splits(path)
        except StoreError as error:
            report.damage.append(str(error))
    report.seconds = time.perf_counter() - began
    return report
