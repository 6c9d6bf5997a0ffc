"""Whether a block store is what was written, to the last byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.store.folder import store_folders
from mlmfast.data.store.manifest import Manifest, changed
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import file_sha256
from mlmfast.fs.paths import as_path
from mlmfast.runtime.cpu import thread_count

# Disks are the limit beyond.
_MOST_READERS = 8


@dataclass
class VerifyReport:
    """What was found in a store, or in the splits of one."""

    path: Path
    blocks: dict[str, int] = field(default_factory=dict)
    """Blocks of each split."""
    files: int = 0
    bytes: int = 0
    """How much was read."""
    damage: list[str] = field(default_factory=list)
    """A sentence for each file that is not what was written."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {
            **vars(self),
            "path": str(self.path),
            "whole": not self.damage,
            "seconds": round(self.seconds, 3),
        }


def verify(path: str | Path, *, progress: bool = False) -> VerifyReport:
    """Read a block store, or all splits of one, and compare it with what was written.

    Args:
        path: The store.
        progress: Show a progress bar on standard error.

    Returns:
        What is damaged, in `damage`, and how much there was to read.

    Raises:
        NotFoundError: There is no such folder.
        StoreError: It is no block store at all.
    """
    began = time.perf_counter()
    report = VerifyReport(Path(path))
    folders = store_folders(as_path(path))
    if not folders:
        BlockStore.open(path)  # says what there is instead
    manifests = {}
    for split, folder in folders.items():
        try:
            manifests[split] = Manifest.read(folder)
        except StoreError as error:
            report.damage.append(str(error))
    with verify_bar(*manifests.values(), enabled=progress) as advance:
        for split, manifest in manifests.items():
            report.blocks[split] = manifest.blocks
            report.files += len(_checksums(manifest))
            report.bytes += sum(shard.bytes for shard in manifest.shards)
            report.damage += find_damage(folders[split], manifest, advance)
    if not report.damage:
        try:
            open_splits(path)
        except StoreError as error:
            report.damage.append(str(error))
    report.seconds = time.perf_counter() - began
    return report


def find_damage(folder: Path, manifest: Manifest, advance: Callable[[int], object]) -> list[str]:
    """Return a sentence for each file in `folder` that is not what `manifest` says.

    Args:
        folder: Of one store.
        manifest: Of that store.
        advance: Is told how many bytes were read, in any thread.
    """
    sizes = {shard.file: shard.bytes for shard in manifest.shards}

    def damage(item: tuple[str, str]) -> str | None:
        name, checksum = item
        path = folder / name
        try:
            size = path.stat().st_size
            # Of a file of another size, nothing more need be read.
            same = sizes.get(name, size) == size and file_sha256(path, advance) == checksum
        except FileNotFoundError:
            return changed(path)
        except OSError as error:
            return f"{str(path)!r} cannot be read: {error.strerror or error}."
        return None if same else changed(path)

    with ThreadPoolExecutor(min(_MOST_READERS, thread_count(None))) as pool:
        return [found for found in pool.map(damage, _checksums(manifest).items()) if found]


def _checksums(manifest: Manifest) -> dict[str, str]:
    return {
        **(manifest.tokenizer_files if manifest.files is None else manifest.files),
        **{shard.file: shard.sha256 for shard in manifest.shards},
    }


@contextmanager
def verify_bar(*manifests: Manifest, enabled: bool) -> Iterator[Callable[[int], object]]:
    """Show how much of some stores has been read; None of it where it is not `enabled`."""
    from tqdm import tqdm

    total = sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    # None: no bar where standard error is no terminal.
    with tqdm(
        total=total, unit="B", unit_scale=True, desc="verify", disable=None if enabled else True
    ) as bar:
        yield bar.update
