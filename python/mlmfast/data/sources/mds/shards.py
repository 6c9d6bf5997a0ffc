"""The shards of a folder, and where the values of their columns lie."""

from __future__ import annotations

import bz2
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast.data.sources.byte_streams.compression import damages
from mlmfast.errors import InputError, NotFoundError

INDEX = "index.json"
_VERSION = 2
_SPLITS = ("train", "test", "validation", "val")
# How Arrow calls the compressions that have a size in the index.
_CODECS = {"gz": "gzip", "br": "brotli", "snappy": "snappy", "zstd": "zstd"}


@dataclass(frozen=True)
class MdsShard:
    """One shard, as the index describes it."""

    file: Path
    packed: Path | None
    """Its compressed file."""
    compression: str | None
    samples: int
    raw_bytes: int
    """Uncompressed."""
    names: tuple[str, ...]
    encodings: tuple[str, ...]
    sizes: tuple[int | None, ...]
    """Bytes of the columns of a fixed size."""

    def read(self) -> np.ndarray:
        """Return the uncompressed shard, uint8 [bytes]; a plain file is mapped.

        Raises:
            NotFoundError: Neither of its files is there.
            InputError: It is not what the index says.
        """
        if self.file.is_file():
            self._check_size(self.file.stat().st_size)
            return np.memmap(self.file, np.uint8, "r")
        if self.packed is None or not self.packed.is_file():
            raise NotFoundError(f"There is no shard {str(self.file)!r}, which {INDEX} lists.")
        name = (self.compression or "").partition(":")[0]
        if name not in {*_CODECS, "bz2"}:
            raise InputError(
                f"{str(self.packed)!r} is compressed by {name!r}, which cannot be read here."
            )
        try:
            data = self._unpacked(self.packed.read_bytes(), name)
        except (*damages(), pa.ArrowException) as error:
            raise InputError(
                f"The shard {str(self.packed)!r} cannot be unpacked; it was cut off or damaged: "
                f"{error}."
            ) from error
        self._check_size(len(data))
        return data

    def _unpacked(self, data: bytes, compression: str) -> np.ndarray:
        if compression == "bz2":
            return np.frombuffer(bz2.BZ2Decompressor().decompress(data), np.uint8)
        return np.frombuffer(
            pa.decompress(data, self.raw_bytes, codec=_CODECS[compression]), np.uint8
        )

    def _check_size(self, size: int) -> None:
        if size != self.raw_bytes:
            raise InputError(
                f"The shard {str(self.file)!r} has {size:,} bytes, and {INDEX} says "
                f"{self.raw_bytes:,}: it was cut off or damaged."
            )

    def column(self, data: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return where the values of a column begin and end in the shard, int64 [samples] each.

        Raises:
            InputError: The shard is damaged.
        """
        count, head = self.samples, 4 * (self.samples + 2)
        if len(data) < head:
            raise self.damage()
        words = data[:head].view("<u4").astype(np.int64)
        if words[0] != count or words[-1] != len(data):
            raise self.damage()
        begins, ends = words[1:-1], words[2:]
        variable = [at for at, size in enumerate(self.sizes) if not size]
        if (np.diff(words[1:]) < 4 * len(variable)).any() or words[1] < head:
            raise self.damage()
        starts = begins + 4 * len(variable)
        stops = starts
        heads = 0
        for at, (one, size) in enumerate(zip(self.names, self.sizes, strict=True)):
            if at in variable:
                fields = data[(begins + 4 * heads)[:, None] + np.arange(4)]
                lengths = np.ascontiguousarray(fields).view("<u4")[:, 0].astype(np.int64)
                heads += 1
            else:
                lengths = np.full(count, size, np.int64)
            starts, stops = stops, stops + lengths
            if one == name:
                break
        if (stops > ends).any():
            raise self.damage()
        return starts, stops

    def damage(self) -> InputError:
        """Return the error for a shard that is not what its index says."""
        return InputError(f"The shard {str(self.file)!r} is damaged: its samples do not fit it.")


def is_mds_folder(folder: Path) -> bool:
    """Whether a folder has an index of MDS shards."""
    return "shards" in _index(folder)


def mds_splits(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that have an index of shards, as splits have."""
    return [name for name in _SPLITS if is_mds_folder(folder / name)]


def open_shards(folder: Path) -> list[MdsShard]:
    """Read the index of a folder of shards.

    Raises:
        InputError: The index is damaged, or its shards are of another format.
    """
    path = folder / INDEX
    try:
        shards = [_shard(folder, entry) for entry in _index(folder)["shards"]]
    except (LookupError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no whole index of shards: {error!r}.") from error
    if not shards:
        raise InputError(f"{str(path)!r} lists no shard.")
    return shards


def _index(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _shard(folder: Path, entry: dict[str, Any]) -> MdsShard:
    if entry["format"] != "mds" or entry["version"] != _VERSION:
        raise InputError(
            f"{str(folder / INDEX)!r} lists shards of the format {entry['format']!r} (version "
            f"{entry['version']}); MDS (version {_VERSION}) can be read."
        )
    packed = entry.get("zip_data")
    return MdsShard(
        folder / entry["raw_data"]["basename"],
        None if packed is None else folder / packed["basename"],
        entry.get("compression"),
        int(entry["samples"]),
        int(entry["raw_data"]["bytes"]),
        tuple(entry["column_names"]),
        tuple(entry["column_encodings"]),
        tuple(entry["column_sizes"]),
    )
