"""One file of a block store: whole blocks in, a file of Arrow out, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.blocks.arrow import group_columns
from mlmfast.data.store.manifest import COLUMN, STARTS, Shard
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import ends_sha256, frame_sha256
from mlmfast.fs.hashed_file import HashedFile

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.blocks.options import GroupOptions

_STARTS_TYPE = pa.list_(pa.int32())


@dataclass(frozen=True)
class WrittenShard:
    """A shard that was written, and what happened to the token lists it was made of."""

    shard: Shard | None
    """None if the lists filled no block, so that no file was written."""
    dropped_tokens: int
    padding_tokens: int


class MappedShard(NamedTuple):
    """The content of a shard, read-only arrays over the mapped file."""

    ids: np.ndarray
    """uint16 or uint32 `[n, L]`."""
    starts: tuple[np.ndarray, np.ndarray] | None
    """Where documents begin in each block: offsets int32 `[n + 1]` into positions int32; None if
    the store does not know."""


def write_shard(
    path: Path, lists: pa.ChunkedArray, options: GroupOptions, *, threads: int | None = None
) -> WrittenShard:
    """Group token lists, write the blocks to the file `path`, and sync it to disk.

    Args:
        path: The file, which does not exist yet.
        lists: LargeList<uint16> or LargeList<uint32>, one for each document.
        options: How to group; remainder="drop" or "pad", and boundaries="document_starts" to write
            where documents begin, or None.
        threads: Threads at most; None for as many as the machine has.
    """
    columns, stats = group_columns({COLUMN: lists}, options, threads=threads)
    blocks = columns[COLUMN]
    shard = None
    if len(blocks):
        block_type = pa.list_(lists.type.value_type, options.block_size)
        arrays = {COLUMN: _compact(blocks, block_type)}
        if STARTS in columns:
            arrays[STARTS] = _compact_starts(columns[STARTS])
        info = json.dumps({"info": block_features(block_type, document_starts=STARTS in arrays)})
        kinds = [(name, array.type) for name, array in arrays.items()]
        schema = pa.schema(kinds, {"huggingface": info})
        batch = pa.record_batch(list(arrays.values()), schema=schema)
        with HashedFile(path) as file:
            with pa.ipc.new_stream(pa.PythonFile(file, "w"), schema) as writer:
                writer.write_batch(batch)
            file.sync()
            sha256 = file.sha256()
        shard = _described(path, len(blocks), sha256)
    return WrittenShard(shard, stats.dropped_tokens, stats.padding_tokens)


def map_shard(folder: Path, shard: Shard, block_size: int) -> MappedShard:
    """Open one shard over the mapped file.

    Its size, header, row count, and the ends of its ids and document starts are compared with the
    manifest; what lies in between is not read.

    Raises:
        StoreError: The file is missing, or differs from what was written.
    """
    path = folder / shard.file
    if not path.is_file():
        raise StoreError(f"The block store {str(folder)!r} lacks its file {shard.file!r}.")
    size = path.stat().st_size
    if size != shard.bytes:
        raise StoreError(
            f"{str(path)!r} has {size:,} bytes, but {shard.bytes:,} were written: it was cut off "
            "or changed. Copy it again, or prepare the store again."
        )
    ids, starts = (shard.ids_start, shard.ids_end), (shard.starts_start, shard.starts_end)
    for part, expected, found in (
        ("its header was", shard.frame_sha256, lambda: frame_sha256(path, ids, starts)),
        ("its ids were", shard.ends_sha256, lambda: ends_sha256(path, *ids)),
        ("its document starts were", shard.starts_sha256, lambda: ends_sha256(path, *starts)),
    ):
        if expected and expected != found():
            raise StoreError(
                f"{str(path)!r} is damaged: {part} changed after it was written. Copy it again, "
                "or prepare the store again."
            )
    try:
        reader = pa.ipc.open_stream(pa.memory_map(str(path)))
        batches = list(reader)
        for batch in batches:
            batch.validate()  # not every value: of document starts, each is checked when it is used
            batch.column(0).validate(full=True)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise StoreError(f"{str(path)!r} is damaged: {error}") from error
    _check_schema(path, reader.schema, block_size)
    columns = batches[0].columns if len(batches) == 1 else []
    if not columns or len(columns[0]) != shard.blocks or any(each.null_count for each in columns):
        raise StoreError(
            f"{str(path)!r} should hold one record batch of {shard.blocks:,} blocks; "
            f"it holds {len(batches)} of {sum(map(len, batches)):,}."
        )
    blocks = numpy_numbers(columns[0].flatten()).reshape(-1, block_size)
    if len(columns) == 1:
        return MappedShard(blocks, None)
    offsets, positions = numpy_numbers(columns[1].offsets), numpy_numbers(columns[1].values)
    return MappedShard(blocks, (offsets, positions))


def block_features(
    block_type: pa.FixedSizeListType, *, document_starts: bool = False
) -> dict[str, Any]:
    """Describe the columns of a store as `datasets` does, in its `features`."""
    ids = {"dtype": str(block_type.value_type), "_type": "Value"}
    features: dict[str, Any] = {
        COLUMN: {"feature": ids, "length": block_type.list_size, "_type": "List"}
    }
    if document_starts:
        position = {"dtype": "int32", "_type": "Value"}
        features[STARTS] = {"feature": position, "_type": "List"}
    return {"features": features}


def starts_column(starts: tuple[np.ndarray, np.ndarray]) -> pa.ListArray:
    """Return document starts (offsets, positions) as an Arrow column `list<int32>`."""
    return pa.ListArray.from_arrays(arrow_numbers(starts[0]), arrow_numbers(starts[1]))


def _check_schema(path: Path, schema: pa.Schema, block_size: int) -> None:
    blocks = {pa.list_(pa.uint16(), block_size), pa.list_(pa.uint32(), block_size)}
    kinds = schema.types
    if (
        schema.names not in ([COLUMN], [COLUMN, STARTS])
        or kinds[0] not in blocks
        or kinds[1:] not in ([], [_STARTS_TYPE])
    ):
        raise StoreError(
            f"{str(path)!r} should hold one column {COLUMN!r} of {block_size} ids a row, and maybe "
            f"{STARTS!r}; it holds {schema.to_string(show_schema_metadata=False)!r}."
        )


def _compact(blocks: pa.FixedSizeListArray, block_type: pa.DataType) -> pa.FixedSizeListArray:
    """Return the blocks over a buffer that ends where their ids end.

    Blocks may share the memory of the tokens that they were cut from, and Arrow pads a buffer in a
    file with up to 63 bytes of what follows: equal blocks would not always give equal files.
    """
    ids = blocks.flatten()
    width = ids.type.bit_width // 8
    buffer = ids.buffers()[1].slice(ids.offset * width, len(ids) * width)
    bare = pa.Array.from_buffers(block_type.value_type, len(ids), [None, buffer])
    return pa.FixedSizeListArray.from_arrays(bare, type=block_type)


def _compact_starts(starts: pa.LargeListArray) -> pa.ListArray:
    """Return the starts with 32-bit offsets."""
    if len(starts.values) > np.iinfo(np.int32).max:
        raise StoreError(
            f"{len(starts.values):,} documents in one file of a store are more than 2,147,483,647: "
            "use a smaller --shard-tokens."
        )
    return starts_column(
        (numpy_numbers(starts.offsets).astype(np.int32), numpy_numbers(starts.values))
    )


def _described(path: Path, blocks: int, sha256: str) -> Shard:
    """Return the manifest's entry for a shard that was written."""
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
        columns = pa.ipc.open_stream(content).read_next_batch().columns
        values = [columns[0].flatten()]
        if len(columns) > 1:
            values += [columns[1].offsets, columns[1].values]
        ranges = [_range_in(content, each) for each in values]
    ids = ranges[0]
    starts = (ranges[1][0], ranges[2][1]) if len(columns) > 1 else (0, 0)
    return Shard(
        path.name,
        blocks,
        path.stat().st_size,
        sha256,
        ids_start=ids[0],
        ids_end=ids[1],
        frame_sha256=frame_sha256(path, ids, starts),
        ends_sha256=ends_sha256(path, *ids),
        starts_start=starts[0],
        starts_end=starts[1],
        starts_sha256=ends_sha256(path, *starts) if len(columns) > 1 else "",
    )


def _range_in(content: pa.Buffer, numbers: pa.Array) -> tuple[int, int]:
    """Return where in the content of a file an array of it begins and ends, in bytes."""
    start = numbers.buffers()[1].address - content.address
    return start, start + len(numbers) * numbers.type.bit_width // 8
