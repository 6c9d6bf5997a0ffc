"""Block stores to Parquet: one file per shard, named like the files of data sets on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlmfast.data.store.manifest import COLUMN, STARTS
from mlmfast.data.store.shard_file import starts_column

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore

# Tokens per row group, the unit that readers decompress at a time.
_GROUP_TOKENS = 1 << 22


def write_parquet(
    store: BlockStore, folder: Path, name: str, advance: Callable[[int], object]
) -> list[str]:
    """Write `store` into `folder` as `name`-00000-of-00002.parquet and so on.

    The column input_ids has the Arrow type FixedSizeList<uint16 or uint32>[L]; document_starts, if
    the store has it, List<int32>.

    Returns:
        The names of the files.
    """
    import pyarrow.parquet as pq

    files = []
    for number, shard in enumerate(store.shards):
        ids = pa.array(shard.reshape(-1))
        columns = {COLUMN: pa.FixedSizeListArray.from_arrays(ids, store.block_size)}
        if store.document_starts is not None:
            columns[STARTS] = starts_column(store.document_starts[number])
        file = f"{name}-{number:05d}-of-{len(store.shards):05d}.parquet"
        pq.write_table(
            pa.table(columns),
            folder / file,
            compression="zstd",
            row_group_size=max(1, _GROUP_TOKENS // store.block_size),
        )
        files.append(file)
        advance(len(shard))
    return files
