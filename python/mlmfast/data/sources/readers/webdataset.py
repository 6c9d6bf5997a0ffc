"""WebDataset: tar archives whose files are the fields of samples.

Files in a row that share their path up to the first dot of the name are a sample; the rest of the
name, in lower case, is the field ("a/0001.seg.txt" is the field "seg.txt" of "a/0001").
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.arrow_text import unknown_column
from mlmfast.data.sources.base import Groups, Location, Piece
from mlmfast.data.sources.byte_streams.compression import damages
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.readers.json_text import json_text
from mlmfast.data.sources.readers.utf8 import decoded
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.byte_streams.streams import ByteStream

_KEY = "__key__"
_MOST_SAMPLES = 4096  # of a piece, so that a field that no sample has is soon missed
_TEXT_FIELDS = ("txt", "text", "md", "cls", "json")


@dataclass
class _Sample:
    key: str
    offset: int
    """Of its first file in the tar archive."""
    fields: dict[str, bytes | None] = field(default_factory=dict)
    """The bytes of the fields that are needed, None for the others."""
    size: int = 0


def read_webdataset(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield one field of all samples, in the order of the archive.

    `text_column` names the field; "json.a.b" is the field b of a in the sample's JSON. A sample
    without the field has no text.

    Raises:
        InputError: This is no tar archive, or no sample of the first piece has the field.
    """
    start, number = (location["offset"], location["sample"]) if location else (0, 0)
    if start:
        stream.skip(start)
    columns = [name for name in (options.text_column, options.group_column) if name is not None]
    found = location is not None
    held: list[_Sample] = []
    size = 0
    try:
        for sample in _samples(stream, start, columns):
            if len(held) == _MOST_SAMPLES or (held and size + sample.size > options.batch_bytes):
                found = found or _check_columns(held, options, stream.name)
                yield _piece(held, options, stream, number)
                number += len(held)
                held, size = [], 0
            held.append(sample)
            size += sample.size
    except damages() as error:
        raise InputError(
            f"{stream.name!r} is no whole tar archive, as WebDataset has them: "
            f"{str(error).rstrip('.')}."
        ) from error
    if held:
        if not found:
            _check_columns(held, options, stream.name)
        yield _piece(held, options, stream, number)


def _samples(stream: ByteStream, start: int, columns: list[str]) -> Iterator[_Sample]:
    sample: _Sample | None = None
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
        for entry in tar:
            folder, _, name = entry.name.rpartition("/")
            stem, dot, suffix = name.partition(".")
            if not entry.isfile() or not dot or stem.startswith("__"):
                continue
            key = f"{folder}/{stem}" if folder else stem
            if sample is None or key != sample.key:
                if sample is not None:
                    yield sample
                sample = _Sample(key, start + entry.offset)
            suffix = suffix.lower()
            needed = any(_field(column, [suffix]) for column in columns)
            file = tar.extractfile(entry) if needed else None
            sample.fields[suffix] = None if file is None else file.read()
            sample.size += entry.size if needed else 0
            tar.members.clear()  # it would keep every header
    if sample is not None:
        yield sample


def _piece(samples: list[_Sample], options: ReadOptions, stream: ByteStream, number: int) -> Piece:
    here = {"offset": samples[0].offset, "sample": number}
    groups = None
    if options.group_column is not None:
        groups = Groups(
            partial(_decode, samples, stream.name), lambda row: _where(samples[row], stream.name)
        )
    return Piece(partial(_decode, samples, stream.name), here, stream.position, groups)


def _check_columns(samples: list[_Sample], options: ReadOptions, name: str) -> bool:
    """Raise InputError unless some sample has the field; return True."""
    names = list(dict.fromkeys(suffix for sample in samples for suffix in sample.fields))
    texts = [suffix for suffix in names if suffix.rpartition(".")[2] in _TEXT_FIELDS]
    if options.text_column != _KEY and _field(options.text_column, names) is None:
        raise unknown_column(name, options.text_column, names, texts)
    group = options.group_column
    if group is not None and group != _KEY and _field(group, names) is None:
        with finding_group_column():
            raise unknown_column(name, group, [_KEY, *names])
    return True


def _field(column: str, names: Any) -> tuple[str, tuple[str, ...]] | None:
    """Return the file's field that holds a column, and the path inside of its JSON."""
    for name in (column, f"{column}.gz"):
        if name in names:
            return name, ()
    parts = column.split(".")
    for length in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:length])
        for name in (prefix, f"{prefix}.gz"):
            if name in names and _is_json(name):
                return name, tuple(parts[length:])
    return None


def _decode(samples: list[_Sample], name: str, options: ReadOptions) -> pa.Array:
    texts = [_text(sample, name, options) for sample in samples]
    return pa.array(texts, pa.large_string())


def _text(sample: _Sample, name: str, options: ReadOptions) -> str | None:
    if options.text_column == _KEY:
        return sample.key
    found = _field(options.text_column, sample.fields)
    data = None if found is None else sample.fields[found[0]]
    if found is None or data is None:
        return None
    suffix, path = found
    where = _where(sample, name)
    if suffix.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{where}.{suffix} cannot be unpacked: {error}.") from error
    if _is_json(suffix):
        return json_text(data, path, options, lambda: f"{where}.{suffix}")
    return decoded(data, options, lambda: f"{where}.{suffix}")


def _is_json(suffix: str) -> bool:
    return suffix.removesuffix(".gz").rpartition(".")[2] == "json"


def _where(sample: _Sample, name: str) -> str:
    return f"{name}: {sample.key}"
