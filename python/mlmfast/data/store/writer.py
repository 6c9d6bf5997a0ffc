"""Write a block store: token lists in, shards of whole blocks out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import numpy_numbers
from mlmfast.data.store.manifest import COLUMN, Shard
from mlmfast.data.store.shard_file import WrittenShard, block_features, write_shard
from mlmfast.data.store.token_lists import count_tokens, cut, one_list
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.blocks.options import GroupOptions


_COUNTS = ("tokens", "blocks", "dropped_tokens", "padding_tokens")


class StoreWriter:
    """Cuts a stream of token lists into blocks, and writes a shard whenever one is full.

    With packing="concat" blocks continue across lists and calls. With "best_fit" the documents of a
    shard are packed together, each whole. Memory holds at most one shard and the last lists added.
    The shards do not depend on how the documents are spread over the calls.
    """

    def __init__(
        self, folder: Path, options: GroupOptions, *, dtype: np.dtype, shard_tokens: int
    ) -> None:
        """Write to `folder`.

        Args:
            folder: Folder of the shards, which exists and is empty.
            options: How to group; remainder="drop" or "pad", and boundaries="document_starts" to
                write where documents begin, or None.
            dtype: Type of the ids, uint16 or uint32.
            shard_tokens: Tokens of a file, rounded down to whole blocks.
        """
        self._folder = folder
        self._options = options
        self._block_size = options.block_size
        self._ids = pa.from_numpy_dtype(dtype)
        self.capacity = options.capacity
        """Tokens that fill a block."""
        self.shard_tokens = max(1, shard_tokens // options.block_size) * options.capacity
        """Tokens that fill a file of whole blocks."""
        self._pending: list[pa.LargeListArray] = []
        self._pending_tokens = 0
        self._shards: list[Shard] = []
        self.tokens = 0
        """Tokens that were added."""
        self.blocks = 0
        """Blocks that were written."""
        self.dropped_tokens = 0
        """Tokens that are in no block; final after `close`."""
        self.padding_tokens = 0
        """Positions of the blocks that hold padding."""

    @property
    def shards(self) -> int:
        """Number of finished files."""
        return len(self._shards)

    @property
    def pending(self) -> pa.ChunkedArray:
        """The tokens that were added and are in no file yet."""
        return pa.chunked_array(self._pending, pa.large_list(self._ids))

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, beside `pending`, to continue from here."""
        return {
            "shards": [asdict(shard) for shard in self._shards],
            **{name: getattr(self, name) for name in _COUNTS},
        }

    def restore(self, state: dict[str, Any], pending: pa.ChunkedArray) -> None:
        """Continue where another writer stopped, whose finished files are in the folder.

        Raises:
            StoreError: A file is missing, or differs from what was written.
        """
        self._shards = [Shard(**shard) for shard in state["shards"]]
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._pending = pending.chunks
        self._pending_tokens = sum(map(count_tokens, self._pending))
        for shard in self._shards:
            path = self._folder / shard.file
            # A run that was killed in `close` may have renamed some files already.
            for renamed in self._folder.glob(f"{path.stem}-of-*.arrow"):
                renamed.rename(path)
            if not FileStamp(shard.file, shard.bytes, shard.sha256).matches(self._folder):
                raise StoreError(f"{str(path)!r} is not what was written.")
        finished = {shard.file for shard in self._shards}
        for path in self._folder.iterdir():
            if path.is_file() and path.name not in finished:
                path.unlink()  # part of a shard, or a file that `close` writes again

    def add(self, tokens: pa.LargeListArray) -> None:
        """Add token lists, in order."""
        if self._options.packing == "concat" and self._options.boundaries is None:
            tokens = one_list(tokens.flatten())  # the ends of documents do not matter
        count = count_tokens(tokens)
        self.tokens += count
        self._pending.append(tokens)
        self._pending_tokens += count
        while self._pending_tokens >= self.shard_tokens:
            self._write(self._take_shard(), last=False)

    @property
    def next_path(self) -> Path:
        """The path of the next shard."""
        return self._folder / f"data-{len(self._shards):05d}.arrow"

    def add_shard(self, written: WrittenShard) -> None:
        """Add a shard that was written to `next_path`."""
        self.dropped_tokens += written.dropped_tokens
        self.padding_tokens += written.padding_tokens
        if written.shard is not None:
            self._shards.append(written.shard)
            self.blocks += written.shard.blocks

    def close(self) -> tuple[Shard, ...]:
        """Write the pending tokens as whole blocks, and turn the folder into one of `datasets`.

        Returns:
            The shards, under their final names; none if the tokens filled no block.
        """
        pending, self._pending, self._pending_tokens = self._pending, [], 0
        self._write(pending, last=True)
        shards = []
        for number, shard in enumerate(self._shards):
            name = f"data-{number:05d}-of-{len(self._shards):05d}.arrow"
            (self._folder / shard.file).rename(self._folder / name)
            shards.append(replace(shard, file=name))
        self._describe(shards)
        return tuple(shards)

    def _take_shard(self) -> list[pa.LargeListArray]:
        """Remove and return the pending lists that fill one shard; best fit cuts no document."""
        taken, self._pending = self._pending, []
        last = taken.pop()
        missing = self.shard_tokens - (self._pending_tokens - count_tokens(last))
        if self._options.packing == "concat":
            first, rest = cut(last, missing)
            taken.append(first)
        else:
            ends = numpy_numbers(last.offsets)[1:] - last.offsets[0].as_py()
            documents = int(np.searchsorted(ends, missing)) + 1
            taken.append(last.slice(0, documents))
            rest = last.slice(documents)
        self._pending, self._pending_tokens = [rest], count_tokens(rest)
        return taken

    def _write(self, lists: list[pa.LargeListArray], *, last: bool) -> None:
        column = pa.chunked_array(lists, pa.large_list(self._ids))
        # All shards but the last are whole blocks, so that nothing is padded or dropped there.
        options = self._options if last else replace(self._options, remainder="drop")
        self.add_shard(write_shard(self.next_path, column, options))

    def _describe(self, shards: list[Shard]) -> None:
        """Write the two files that `datasets.load_from_disk` needs."""
        # The fingerprint depends on the content alone: equal stores share the caches of `datasets`.
        content = "".join(shard.sha256 for shard in shards)
        info = {
            "citation": "",
            "description": "",
            **block_features(
                pa.list_(self._ids, self._block_size),
                document_starts=self._options.boundaries is not None,
            ),
            "homepage": "",
            "license": "",
        }
        state: dict[str, Any] = {
            "_data_files": [{"filename": shard.file} for shard in shards],
            "_fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
            # `datasets` gives rows without the document starts, which a collator could not batch.
            "_format_columns": None if self._options.boundaries is None else [COLUMN],
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        for name, values in (("dataset_info.json", info), ("state.json", state)):
            (self._folder / name).write_text(json.dumps(values, indent=2), encoding="utf-8")
