"""One file of a block store: token lists in, a file of whole blocks out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.arrow_kinds import BARE
from mlmfast.data.group_arrow import group_columns
from mlmfast.data.manifest import Shard, file_sha256, frame_sha256
from mlmfast.data.store import COLUMN

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.group_options import GroupOptions


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
    """Group token lists and write the blocks into the file `path`.

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
        start, end = _ids_within(path)
        size, checksum = path.stat().st_size, file_sha256(path)
        frame = frame_sha256(path, start, end)
        shard = Shard(path.name, len(blocks), size, checksum, start, end, frame)
    return Written(shard, stats.dropped_tokens, stats.padding_tokens)


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
