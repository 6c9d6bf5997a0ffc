"""One file of a block store: token lists in, a file of whole blocks out, and opened again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.arrow_interop import BARE
from mlmfast.data.arrow_numpy import numpy_numbers
from mlmfast.data.blocks.arrow import group_columns
from mlmfast.data.store.manifest import COLUMN, Shard
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import ends_sha256, file_sha256, frame_sha256, sync_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlmfast.data.blocks.options import GroupOptions


@dataclass(frozen=True)
class Written:
    """What became of the token lists of one file."""

    shard: Shard | None
    """None where they filled no block, and there is no file."""
    dropped_tokens: int
    padding_tokens: int


def write_shard(
    path: Path, lists: pa.ChunkedArray, options: GroupOptions, *, threads: int | None = None
) -> Written:
    """Group token lists and write the blocks into the file `path`; the disk has it in the end.

    Args:
        path: A file that is not there.
        lists: LargeList<uint16> or LargeList<uint32>.
        options: How to group; remainder="drop" or "pad", and no boundaries.
        threads: Threads at most; None for as many as the machine has.
    """
    found, stats = group_columns({BARE: lists}, options, threads=threads)
    blocks = found[BARE]
    shard = None
    if len(blocks):
        kind = pa.list_(lists.type.value_type, options.block_size)
        features = json.dumps({"info": block_features(kind)})
        schema = pa.schema([(COLUMN, kind)], {"huggingface": features})
        batch = pa.record_batch([_alone(blocks, kind)], schema=schema)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(batch)
        sync_file(path)
        start, end = _ids_within(path)
        shard = Shard(
            path.name,
            len(blocks),
            path.stat().st_size,
            file_sha256(path),
            ids_start=start,
            ids_end=end,
            frame_sha256=frame_sha256(path, start, end),
            ends_sha256=ends_sha256(path, start, end),
        )
    return Written(shard, stats.dropped_tokens, stats.padding_tokens)


def map_shard(folder: Path, shard: Shard, block_size: int) -> np.ndarray:
    """Return the blocks of one shard as a read-only array [n, L] over the mapped file.

    Its size, header, row count and the ends of its ids are compared with what was written; the ids
    between are not read.

    Raises:
        StoreError: The file is gone, or it is not what was written.
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
    for part, checksum, found in (
        ("its header was", shard.frame_sha256, frame_sha256),
        ("its ids were", shard.ends_sha256, ends_sha256),
    ):
        if checksum and checksum != found(path, shard.ids_start, shard.ids_end):
            raise StoreError(
                f"{str(path)!r} is damaged: {part} changed after it was written. Copy it again, "
                "or prepare the store again."
            )
    try:
        reader = pa.ipc.open_stream(pa.memory_map(str(path)))
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} is damaged: {error}") from error
    kinds = {pa.list_(pa.uint16(), block_size), pa.list_(pa.uint32(), block_size)}
    if reader.schema.names != [COLUMN] or reader.schema.field(COLUMN).type not in kinds:
        raise StoreError(
            f"{str(path)!r} should hold one column {COLUMN!r} of {block_size} ids a row; "
            f"it holds {reader.schema.to_string(show_schema_metadata=False)!r}."
        )
    if len(batches) != 1 or len(batches[0]) != shard.blocks or batches[0].column(0).null_count:
        raise StoreError(
            f"{str(path)!r} should hold one record batch of {shard.blocks:,} blocks; "
            f"it holds {len(batches)} of {sum(map(len, batches)):,}."
        )
    ids = batches[0].column(0).flatten()
    return numpy_numbers(ids).reshape(-1, block_size)


def block_features(kind: pa.FixedSizeListType) -> dict[str, Any]:
    """Tell the blocks' type in the words of `datasets`."""
    ids = {"dtype": str(kind.value_type), "_type": "Value"}
    column = {"feature": ids, "length": kind.list_size, "_type": "List"}
    return {"features": {COLUMN: column}}


def _alone(blocks: pa.FixedSizeListArray, kind: pa.DataType) -> pa.FixedSizeListArray:
    """Return the blocks over their own ids alone.

    Blocks may share the memory of the tokens they were cut from, and Arrow writes up to 63 bytes of
    what lies behind them: the file would tell how the tokens came.
    """
    ids = blocks.flatten()
    width = ids.type.bit_width // 8
    buffer = ids.buffers()[1].slice(ids.offset * width, len(ids) * width)
    bare = pa.Array.from_buffers(kind.value_type, len(ids), [None, buffer])
    return pa.FixedSizeListArray.from_arrays(bare, type=kind)


def _ids_within(path: Path) -> tuple[int, int]:
    """Where in a shard's file its ids begin and end, in bytes."""
    with pa.memory_map(str(path)) as file:
        whole = file.read_buffer()
        ids = pa.ipc.open_stream(whole).read_next_batch().column(0).flatten()
        start = ids.buffers()[1].address - whole.address
        return start, start + len(ids) * ids.type.bit_width // 8
