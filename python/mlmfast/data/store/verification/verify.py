"""Compare a block store with its manifest, to the last byte: `verify`."""

from __future__ import annotations

import time
from pathlib import Path

from mlmfast.data.store.damage import checksums_of, find_damage, verify_bar
from mlmfast.data.store.folder import store_folders
from mlmfast.data.store.manifest import Manifest
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.store.verification.report import VerifyReport
from mlmfast.errors import StoreError
from mlmfast.fs.paths import as_path
from mlmfast.fs.remote.urls import is_url


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
        from mlmfast.data.store.verification.remote import verify_url

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
