"""Write a block store: token lists in, shards of whole blocks out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.group import group_blocks
from mlmfast.data.manifest import Shard, file_sha256
from mlmfast.data.store import COLUMN

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class StoreWriter:
    """Cuts a stream of token lists into blocks and writes a shard whenever one is full.

    Blocks run on across the lists and the calls; what is held in memory is one shard at most.
    """

    def __init__(
        self, folder: Path, *, block_size: int, dtype: np.dtype, shard_tokens: int
    ) -> None:
        """Write into `folder`, which exists and is empty.

        Args:
            folder: Where the shards go.
            block_size: Tokens in a block.
            dtype: Type of the ids, uint16 or uint32.
            shard_tokens: About how many tokens a file holds; rounded down to whole blocks.
        """
        self._folder = folder
        self._block_size = block_size
        self._ids = pa.from_numpy_dtype(dtype)
        self._shard_tokens = max(1, shard_tokens // block_size) * block_size
        self._pending: list[pa.Array] = []
        self._pending_tokens = 0
        self._shards: list[tuple[Path, int]] = []
        self.tokens = 0
        """Tokens that came in."""
        self.blocks = 0
        """Blocks that were written."""

    def add(self, tokens: pa.LargeListArray) -> None:
        """Take token lists, in order."""
        ids = tokens.flatten()
        self.tokens += len(ids)
        self._pending.append(ids)
        self._pending_tokens += len(ids)
        while self._pending_tokens >= self._shard_tokens:
            self._write(self._take(self._shard_tokens), remainder="drop", pad_id=None)

    def close(self, *, pad_id: int | None = None) -> tuple[Shard, ...]:
        """Write what is left, as whole blocks, and make a `datasets` folder of the files.

        Args:
            pad_id: Fills the last block up; with None the tokens short of a block are dropped.

        Returns:
            The shards, under their final names. There is none if no block came together.
        """
        left = self._take(self._pending_tokens)
        self._write(left, remainder="drop" if pad_id is None else "pad", pad_id=pad_id)
        shards = []
        for number, (path, blocks) in enumerate(self._shards):
            name = f"data-{number:05d}-of-{len(self._shards):05d}.arrow"
            final = path.rename(path.with_name(name))
            shards.append(Shard(name, blocks, final.stat().st_size, file_sha256(final)))
        self._describe(shards)
        return tuple(shards)

    def _take(self, count: int) -> list[pa.Array]:
        """Take the first `count` of the pending tokens."""
        taken, self._pending = self._pending, []
        excess = self._pending_tokens - count
        self._pending_tokens = excess
        if excess:
            last = taken.pop()
            cut = len(last) - excess
            taken.append(last.slice(0, cut))
            self._pending.append(last.slice(cut))
        return taken

    def _write(self, ids: list[pa.Array], *, remainder: str, pad_id: int | None) -> None:
        lists = [
            pa.LargeListArray.from_arrays(pa.array([0, len(part)], pa.int64()), part)
            for part in ids
        ]
        column = pa.chunked_array(lists, pa.large_list(self._ids))
        grouped = group_blocks(column, self._block_size, remainder=remainder, pad_id=pad_id)
        chunks = grouped.chunks if isinstance(grouped, pa.ChunkedArray) else [grouped]
        blocks = pa.concat_arrays(chunks) if len(chunks) != 1 else chunks[0]
        if not len(blocks):
            return
        path = self._folder / f"data-{len(self._shards):05d}.arrow"
        kind = pa.list_(self._ids, self._block_size)
        schema = pa.schema([(COLUMN, kind)], {"huggingface": _json({"info": self._features()})})
        batch = pa.record_batch([blocks.cast(kind)], schema=schema)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(batch)
        self._shards.append((path, len(blocks)))
        self.blocks += len(blocks)

    def _describe(self, shards: list[Shard]) -> None:
        """Write the two files by which `datasets.load_from_disk` knows the folder."""
        # The fingerprint names the content, so that caches of `datasets` hold for equal stores.
        content = "".join(shard.sha256 for shard in shards)
        info = {
            "citation": "",
            "description": "",
            **self._features(),
            "homepage": "",
            "license": "",
        }
        state: dict[str, Any] = {
            "_data_files": [{"filename": shard.file} for shard in shards],
            "_fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        for name, values in (("dataset_info.json", info), ("state.json", state)):
            (self._folder / name).write_text(_json(values, indent=2), encoding="utf-8")

    def _features(self) -> dict:
        ids = {"dtype": str(self._ids), "_type": "Value"}
        column = {"feature": ids, "length": self._block_size, "_type": "List"}
        return {"features": {COLUMN: column}}


def _json(content: dict, indent: int | None = None) -> str:
    return json.dumps(content, indent=indent)
