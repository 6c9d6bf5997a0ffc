"""Folders of MDS shards, the format of MosaicML streaming, as a source."""

from __future__ import annotations

import bz2
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_text import unknown_column
from mlmfast.data.sources.base import Groups, Location, Piece, ReadOptions, resolve_column
from mlmfast.data.sources.byte_streams.compression import damages
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.readers.json_text import json_text
from mlmfast.data.sources.readers.utf8 import checked_text
from mlmfast.errors import InputError, NotFoundError

INDEX = "index.json"
_VERSION = 2
_TEXT = ("str", "bytes", "json")
_NUMBERS = ("int", "str_int", "str_float", "str_decimal")
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
    bytes: int
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
        return np.frombuffer(pa.decompress(data, self.bytes, codec=_CODECS[compression]), np.uint8)

    def _check_size(self, size: int) -> None:
        if size != self.bytes:
            raise InputError(
                f"The shard {str(self.file)!r} has {size:,} bytes, and {INDEX} says "
                f"{self.bytes:,}: it was cut off or damaged."
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


class MdsSource:
    """One column of all samples of a folder of shards, in their order."""

    def __init__(self, name: str) -> None:
        """Read the folder `name`."""
        self.name = name
        self.shards = open_shards(Path(name))
        self.size: int | None = sum(shard.bytes for shard in self.shards)
        self.text_size: int | None = self.size

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents; a compressed shard is unpacked in memory."""
        first, row = (location["shard"], location["row"]) if location else (0, 0)
        stop = location.get("stop", len(self.shards)) if location else len(self.shards)
        before = sum(shard.bytes for shard in self.shards[:first])
        for number, shard in enumerate(self.shards[first:stop], first):
            column = _column(shard, options.text_column, self.name)
            group = None
            if options.group_column is not None:
                with finding_group_column():
                    group = _column(shard, options.group_column, self.name)
            data = shard.read()
            texts = _Values(data, *shard.column(data, column[0]), column, f"{shard.file}")
            keys = None
            if group is not None:
                keys = _Values(data, *shard.column(data, group[0]), group, f"{shard.file}")
            for start, end in pairwise(texts.bounds(row, options.batch_bytes)):
                groups = None
                if keys is not None:
                    where = partial(keys.where, start)
                    groups = Groups(partial(keys.decode, start, end), where)
                position = before + shard.bytes * end // max(1, shard.samples)
                here = {"shard": number, "row": start}
                yield Piece(partial(texts.decode, start, end), here, position, groups)
            before, row = before + shard.bytes, 0

    def fingerprint(self) -> dict[str, Any] | None:
        """Return a checksum of the index and of what lies beside it."""
        folder = Path(self.name)
        digest = hashlib.sha256((folder / INDEX).read_bytes())
        for shard in self.shards:
            file = shard.file if shard.file.is_file() or shard.packed is None else shard.packed
            stat = file.stat() if file.is_file() else None
            digest.update(f"{file.name} {stat and (stat.st_size, stat.st_mtime_ns)}".encode())
        return {"name": str(folder.resolve()), "kind": "mds", "sha256": digest.hexdigest()}

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


@dataclass(frozen=True)
class _Values:
    """The values of one column of a shard."""

    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    column: tuple[str, tuple[str, ...], str]
    """Name, path inside of its JSON, encoding."""
    name: str

    def bounds(self, row: int, batch_bytes: int) -> list[int]:
        """Return the rows at which pieces of about `batch_bytes` begin, and the number of rows."""
        sizes = np.cumsum((self.stops - self.starts)[row:])
        cuts = np.flatnonzero(np.diff(sizes // batch_bytes, prepend=0)) + row
        return sorted({row, *cuts.tolist(), len(self.starts)})

    def where(self, first: int, row: int) -> str:
        return f"{self.name}, sample {first + row + 1:,}"

    def decode(self, first: int, stop: int, options: ReadOptions) -> pa.Array:
        _, path, encoding = self.column
        values = [
            self.data[start:end].tobytes()
            for start, end in zip(
                self.starts[first:stop].tolist(), self.stops[first:stop].tolist(), strict=True
            )
        ]
        if encoding == "json":
            texts = [
                json_text(value, path, options, partial(self.where, first, row))
                for row, value in enumerate(values)
            ]
            return pa.array(texts, pa.large_string())
        number = _number_type(encoding)
        if number is not None:
            if not options.numbers_as_text:
                raise InputError(
                    f"{self.name}: the column {options.text_column!r} holds {encoding}, not text."
                )
            numbers = np.frombuffer(b"".join(values), number)
            return pa.array(numbers).cast(pa.large_string())
        return checked_text(
            pa.array(values, pa.large_binary()), options, partial(self.where, first)
        )


def _number_type(encoding: str) -> np.dtype | None:
    """Return the type of the numbers that an encoding holds; None if it holds text."""
    if encoding in _TEXT or encoding.startswith("str_"):
        return None
    return np.dtype("<i8" if encoding == "int" else encoding).newbyteorder("<")


def _column(shard: MdsShard, name: str, source: str) -> tuple[str, tuple[str, ...], str]:
    """Return the column that a name stands for, the path inside of its JSON, and its encoding."""
    path = resolve_column(list(shard.names), name)
    texts = [
        one for one, encoding in zip(shard.names, shard.encodings, strict=True) if encoding in _TEXT
    ]
    if path is None:
        raise unknown_column(source, name, list(shard.names), texts)
    encoding = shard.encodings[shard.names.index(path[0])]
    if encoding.startswith("ndarray"):
        raise InputError(
            f"{source}: the column {name!r} holds numbers ({encoding}), not text. Lists of token "
            "ids become a block store with `mlmfast convert --to store`."
        )
    known = encoding in {*_TEXT, *_NUMBERS} or encoding.startswith(("int", "uint", "float"))
    if not known or (len(path) > 1 and encoding != "json"):
        raise InputError(f"{source}: the column {name!r} holds {encoding}, not text.")
    return path[0], path[1:], encoding
