"""Write a block store: token lists in, shards of whole blocks out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_interop import BARE
from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.blocks.arrow import group_columns
from mlmfast.data.store.manifest import COLUMN, Shard
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp, ends_sha256, file_sha256, frame_sha256, sync_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlmfast.data.blocks.options import GroupOptions


@dataclass(frozen=True)
class WrittenShard:
    """A shard that was written, and what happened to the token lists it was made of."""

    shard: Shard | None
    """None if the lists filled no block, so that no file was written."""
    dropped_tokens: int
    padding_tokens: int


def write_shard(
    path: Path, lists: pa.ChunkedArray, options: GroupOptions, *, threads: int | None = None
) -> WrittenShard:
    """Group token lists, write the blocks to the file `path`, and sync it to disk.

    Args:
        path: The file, which does not exist yet.
        lists: LargeList<uint16> or LargeList<uint32>.
        options: How to group; remainder="drop" or "pad", and no boundaries.
        threads: Threads at most; None for as many as the machine has.
    """
    columns, stats = group_columns({BARE: lists}, options, threads=threads)
    blocks = columns[BARE]
    shard = None
    if len(blocks):
        block_type = pa.list_(lists.type.value_type, options.block_size)
        features = json.dumps({"info": block_features(block_type)})
        schema = pa.schema([(COLUMN, block_type)], {"huggingface": features})
        batch = pa.record_batch([_compact(blocks, block_type)], schema=schema)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(batch)
        sync_file(path)
        start, end = _ids_range(path)
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
    return WrittenShard(shard, stats.dropped_tokens, stats.padding_tokens)


def map_shard(folder: Path, shard: Shard, block_size: int) -> np.ndarray:
    """Return the blocks of one shard as a read-only array [n, L] over the mapped file.

    Its size, header, row count and the ends of its ids are compared with the manifest; the ids in
    between are not read.

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
    for part, expected, checksum in (
        ("its header was", shard.frame_sha256, frame_sha256),
        ("its ids were", shard.ends_sha256, ends_sha256),
    ):
        if expected and expected != checksum(path, shard.ids_start, shard.ids_end):
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
    types = {pa.list_(pa.uint16(), block_size), pa.list_(pa.uint32(), block_size)}
    if reader.schema.names != [COLUMN] or reader.schema.field(COLUMN).type not in types:
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


def block_features(block_type: pa.FixedSizeListType) -> dict[str, Any]:
    """Describe the type of blocks as `datasets` does, in its `features`."""
    ids = {"dtype": str(block_type.value_type), "_type": "Value"}
    column = {"feature": ids, "length": block_type.list_size, "_type": "List"}
    return {"features": {COLUMN: column}}


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


def _ids_range(path: Path) -> tuple[int, int]:
    """Return where in a shard's file the ids begin and end, in bytes."""
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
        ids = pa.ipc.open_stream(content).read_next_batch().column(0).flatten()
        start = ids.buffers()[1].address - content.address
        return start, start + len(ids) * ids.type.bit_width // 8


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
            options: How to group; remainder="drop" or "pad", and no boundaries.
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
        self._pending_tokens = sum(map(_count_tokens, self._pending))
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
        if self._options.packing == "concat":
            tokens = _one_list(tokens.flatten())  # the ends of documents do not matter
        count = _count_tokens(tokens)
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
        missing = self.shard_tokens - (self._pending_tokens - _count_tokens(last))
        if self._options.packing == "concat":
            ids = last.flatten()
            taken.append(_one_list(ids.slice(0, missing)))
            rest = _one_list(ids.slice(missing))
        else:
            ends = numpy_numbers(last.offsets)[1:] - last.offsets[0].as_py()
            documents = int(np.searchsorted(ends, missing)) + 1
            taken.append(last.slice(0, documents))
            rest = last.slice(documents)
        self._pending, self._pending_tokens = [rest], _count_tokens(rest)
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
            (self._folder / name).write_text(json.dumps(values, indent=2), encoding="utf-8")


def _one_list(ids: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(arrow_numbers(np.array([0, len(ids)], np.int64)), ids)


def _count_tokens(lists: pa.LargeListArray) -> int:
    """Count the tokens of the lists, which may be a slice."""
    return lists.offsets[-1].as_py() - lists.offsets[0].as_py()
