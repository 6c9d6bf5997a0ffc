"""Write a block store: token lists in, shards of whole blocks out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.store._merge_data__shard_file import Written, block_features, write_shard
from mlmfast.data.store.manifest import Shard
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.blocks.options import GroupOptions

_COUNTS = ("tokens", "blocks", "dropped_tokens", "padding_tokens")


class StoreWriter:
    """Cuts a stream of token lists into blocks and writes a shard whenever one is full.

    With packing="concat" blocks run on across the lists and the calls. With "best_fit" the
    documents of one shard are packed together, whole. What is held in memory is one shard at most,
    and what was handed in last. How the documents are spread over the calls changes nothing.
    """

    def __init__(
        self, folder: Path, options: GroupOptions, *, dtype: np.dtype, shard_tokens: int
    ) -> None:
        """Write into `folder`, which exists and is empty.

        Args:
            folder: Where the shards go.
            options: How to group; remainder="drop" or "pad", and no boundaries.
            dtype: Type of the ids, uint16 or uint32.
            shard_tokens: About how many tokens a file holds; rounded down to whole blocks.
        """
        self._folder = folder
        self._options = options
        self._block_size = options.block_size
        self._ids = pa.from_numpy_dtype(dtype)
        self.room = options.room
        """Tokens that fill a block."""
        self.shard_tokens = max(1, shard_tokens // options.block_size) * options.room
        """Tokens that fill a file: those of whole blocks."""
        self._pending: list[pa.LargeListArray] = []
        self._pending_tokens = 0
        self._shards: list[Shard] = []
        self.tokens = 0
        """Tokens that came in."""
        self.blocks = 0
        """Blocks that were written."""
        self.dropped_tokens = 0
        """Tokens that came into no block; known after `close`."""
        self.padding_tokens = 0
        """Positions of the blocks that were filled up."""

    @property
    def shards(self) -> int:
        """How many files are finished."""
        return len(self._shards)

    @property
    def pending(self) -> pa.ChunkedArray:
        """The tokens that wait for the next file."""
        return pa.chunked_array(self._pending, pa.large_list(self._ids))

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs beside `pending` to go on from here."""
        return {
            "shards": [asdict(shard) for shard in self._shards],
            **{name: getattr(self, name) for name in _COUNTS},
        }

    def restore(self, state: dict[str, Any], pending: pa.ChunkedArray) -> None:
        """Go on where another writer was; its files lie in the folder, whole.

        Raises:
            StoreError: They do not.
        """
        self._shards = [Shard(**shard) for shard in state["shards"]]
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._pending = pending.chunks
        self._pending_tokens = sum(map(_tokens_of, self._pending))
        for shard in self._shards:
            path = self._folder / shard.file
            # A run that was killed while it closed the store had begun to rename its files.
            for renamed in self._folder.glob(f"{path.stem}-of-*.arrow"):
                renamed.rename(path)
            if not FileStamp(shard.file, shard.bytes, shard.sha256).matches(self._folder):
                raise StoreError(f"{str(path)!r} is not what was written.")
        finished = {shard.file for shard in self._shards}
        for path in self._folder.iterdir():
            if path.is_file() and path.name not in finished:
                path.unlink()  # half a shard, or what closing writes anew

    def add(self, tokens: pa.LargeListArray) -> None:
        """Take token lists, in order."""
        if self._options.packing == "concat":
            ids = tokens.flatten()  # where a document ends does not matter
            tokens = _one_list(ids)
        count = _tokens_of(tokens)
        self.tokens += count
        self._pending.append(tokens)
        self._pending_tokens += count
        while self._pending_tokens >= self.shard_tokens:
            self._write(self._take_shard(), last=False)

    @property
    def next_path(self) -> Path:
        """The file that is to be written next."""
        return self._folder / f"data-{len(self._shards):05d}.arrow"

    def adopt(self, written: Written) -> None:
        """Count what was written into `next_path`."""
        self.dropped_tokens += written.dropped_tokens
        self.padding_tokens += written.padding_tokens
        if written.shard is not None:
            self._shards.append(written.shard)
            self.blocks += written.shard.blocks

    def close(self) -> tuple[Shard, ...]:
        """Write what is left, as whole blocks, and make a `datasets` folder of the files.

        Returns:
            The shards, under their final names. There is none if no block came together.
        """
        left, self._pending, self._pending_tokens = self._pending, [], 0
        self._write(left, last=True)
        shards = []
        for number, shard in enumerate(self._shards):
            name = f"data-{number:05d}-of-{len(self._shards):05d}.arrow"
            (self._folder / shard.file).rename(self._folder / name)
            shards.append(replace(shard, file=name))
        self._describe(shards)
        return tuple(shards)

    def _take_shard(self) -> list[pa.LargeListArray]:
        """Take the pending lists that fill one shard; best fit cuts no document in two."""
        taken, self._pending = self._pending, []
        last = taken.pop()
        missing = self.shard_tokens - (self._pending_tokens - _tokens_of(last))
        if self._options.packing == "concat":
            ids = last.flatten()
            taken.append(_one_list(ids.slice(0, missing)))
            rest = _one_list(ids.slice(missing))
        else:
            ends = numpy_numbers(last.offsets)[1:] - last.offsets[0].as_py()
            documents = int(np.searchsorted(ends, missing)) + 1
            taken.append(last.slice(0, documents))
            rest = last.slice(documents)
        self._pending, self._pending_tokens = [rest], _tokens_of(rest)
        return taken

    def _write(self, lists: list[pa.LargeListArray], *, last: bool) -> None:
        column = pa.chunked_array(lists, pa.large_list(self._ids))
        # All shards but the last are whole blocks, so that nothing is padded or dropped there.
        options = self._options if last else replace(self._options, remainder="drop")
        self.adopt(write_shard(self.next_path, column, options))

    def _describe(self, shards: list[Shard]) -> None:
        """Write the two files by which `datasets.load_from_disk` knows the folder."""
        # The fingerprint names the content, so that caches of `datasets` hold for equal stores.
        content = "".join(shard.sha256 for shard in shards)
        info = {
            "citation": "",
            "description": "",
            **block_features(pa.list_(self._ids, self._block_size)),
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


def _one_list(ids: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(arrow_numbers(np.array([0, len(ids)], np.int64)), ids)


def _tokens_of(lists: pa.LargeListArray) -> int:
    """How many tokens the lists hold; the offsets of a slice begin where it does."""
    return lists.offsets[-1].as_py() - lists.offsets[0].as_py()


def _json(content: dict, indent: int | None = None) -> str:
    return json.dumps(content, indent=indent)
