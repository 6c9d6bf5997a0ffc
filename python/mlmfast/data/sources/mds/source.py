"""One column of a folder of shards as a source."""

from __future__ import annotations

import hashlib
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
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.mds.shards import INDEX, MdsShard, open_shards
from mlmfast.data.sources.readers.json_text import json_text
from mlmfast.data.sources.readers.utf8 import checked_text
from mlmfast.errors import InputError

_TEXT = ("str", "bytes", "json")
_NUMBERS = ("int", "str_int", "str_float", "str_decimal")


class MdsSource:
    """One column of all samples of a folder of shards, in their order."""

    def __init__(self, name: str) -> None:
        """Read the folder `name`."""
        self.name = name
        self.shards = open_shards(Path(name))
        self.size: int | None = sum(shard.raw_bytes for shard in self.shards)
        self.text_size: int | None = self.size

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents; a compressed shard is unpacked in memory."""
        first, row = (location["shard"], location["row"]) if location else (0, 0)
        stop = location.get("stop", len(self.shards)) if location else len(self.shards)
        before = sum(shard.raw_bytes for shard in self.shards[:first])
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
                position = before + shard.raw_bytes * end // max(1, shard.samples)
                here = {"shard": number, "row": start}
                yield Piece(partial(texts.decode, start, end), here, position, groups)
            before, row = before + shard.raw_bytes, 0

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
