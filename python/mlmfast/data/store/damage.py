"""Find the files of a block store that differ from its manifest, to the last byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mlmfast.data.store.manifest import Manifest, changed_message
from mlmfast.fs.checksums import file_sha256
from mlmfast.runtime.cpu import thread_count

# More threads would only wait for the disk.
_MAX_READERS = 8


def find_damage(folder: Path, manifest: Manifest, advance: Callable[[int], object]) -> list[str]:
    """Return a sentence for each file in `folder` that differs from `manifest`.

    Args:
        folder: The store's folder.
        manifest: The store's manifest.
        advance: Called with the number of bytes that were read, in any thread.
    """
    sizes = {shard.file: shard.bytes for shard in manifest.shards}

    def check(item: tuple[str, str]) -> str | None:
        name, checksum = item
        path = folder / name
        try:
            size = path.stat().st_size
            # A file of another size need not be read.
            intact = sizes.get(name, size) == size and file_sha256(path, advance) == checksum
        except FileNotFoundError:
            return changed_message(path)
        except OSError as error:
            return f"{str(path)!r} cannot be read: {error.strerror or error}."
        return None if intact else changed_message(path)

    with ThreadPoolExecutor(min(_MAX_READERS, thread_count(None))) as pool:
        return [damage for damage in pool.map(check, checksums_of(manifest).items()) if damage]


def checksums_of(manifest: Manifest) -> dict[str, str]:
    """Return the sha256 of each file of a store by its name."""
    return {
        **(manifest.tokenizer_files if manifest.files is None else manifest.files),
        **{shard.file: shard.sha256 for shard in manifest.shards},
    }


@contextmanager
def verify_bar(*manifests: Manifest, enabled: bool) -> Iterator[Callable[[int], object]]:
    """Show a progress bar over the bytes of some stores, if `enabled`."""
    from tqdm import tqdm

    total = sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    # None: no bar where standard error is no terminal.
    with tqdm(
        total=total, unit="B", unit_scale=True, desc="verify", disable=None if enabled else True
    ) as bar:
        yield bar.update
