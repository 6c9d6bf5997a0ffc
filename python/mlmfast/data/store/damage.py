"""Which files of a block store are not what its manifest says, to the last byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mlmfast.data.store.manifest import Manifest, changed
from mlmfast.fs.checksums import file_sha256
from mlmfast.runtime.cpu import thread_count

# Disks are the limit beyond.
_MOST_READERS = 8


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
        return [found for found in pool.map(damage, checksums_of(manifest).items()) if found]


def checksums_of(manifest: Manifest) -> dict[str, str]:
    """Return the sha256 of each file of a store, by name."""
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
