"""Compare a block store at a URL with its manifest, to the last byte: `verify_url`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlmfast.data.store.damage import checksums_of, verify_bar
from mlmfast.data.store.remote.cached_files import CachedFiles
from mlmfast.data.store.remote.splits import split_urls
from mlmfast.data.store.verification.report import VerifyReport
from mlmfast.errors import NotFoundError, StoreError
from mlmfast.fs.remote.download import sha256_at
from mlmfast.fs.remote.listing import look_up
from mlmfast.fs.remote.urls import shown

if TYPE_CHECKING:
    from collections.abc import Callable


def verify_url(url: str, *, progress: bool) -> VerifyReport:
    """Read all files of a block store at a URL, or of all its splits; see `verify`.

    Raises:
        StoreError: It is not a block store.
        InputError: The URL cannot be accessed.
    """
    began = time.perf_counter()
    report = VerifyReport(shown(url))
    stores: dict[str, CachedFiles] = {}
    for split, each in split_urls(url).items():
        try:
            stores[split] = CachedFiles(each)
        except StoreError as error:
            report.damage.append(str(error))
    manifests = {split: files.manifest for split, files in stores.items()}
    with verify_bar(*manifests.values(), enabled=progress) as advance:
        for split, files in stores.items():
            manifest = manifests[split]
            report.blocks[split] = manifest.blocks
            report.files += len(checksums_of(manifest))
            report.bytes += sum(shard.bytes for shard in manifest.shards)
            report.damage += _damage(files, advance)
    report.seconds = time.perf_counter() - began
    return report


def _damage(files: CachedFiles, advance: Callable[[int], object]) -> list[str]:
    sizes = {shard.file: shard.bytes for shard in files.manifest.shards}
    damage = []
    for name, checksum in checksums_of(files.manifest).items():
        where = f"{shown(files.url)}/{name}"
        try:
            found = look_up(f"{files.url}/{name}")
        except NotFoundError:
            found = None
        if found is None:
            damage.append(f"{where!r} is gone. Copy it again, or prepare the store again.")
        elif sizes.get(name, found.size) != found.size or sha256_at(found, advance) != checksum:
            damage.append(
                f"{where!r} was changed after it was written: its checksum is not the manifest's. "
                "Copy it again, or prepare the store again."
            )
    return damage
