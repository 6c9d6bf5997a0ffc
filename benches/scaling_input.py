"""The inputs of the scaling bench on disk, made piece by piece: no size needs memory of its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import recipes

import mlmfast

CHUNKS = 16
LENGTH = 512
SCHEMA = pa.schema([("input_ids", pa.large_list(pa.uint16()))])


def documents_file(folder: Path, tokens: int) -> Path:
    """An Arrow stream of about `tokens` uint16: one chunk of random documents, 16 times over.

    Nothing here looks at the ids' values, and random numbers are what making them all would cost.
    """
    path = folder / f"documents-{tokens}.arrow"
    chunk = pa.record_batch([recipes.documents(tokens // CHUNKS)], schema=SCHEMA)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as writer:
        for _ in range(CHUNKS):
            writer.write_batch(chunk)
    return path


def mapped_table(path: Path) -> pa.Table:
    """The documents as a table over the mapped file."""
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def tokens_of(path: Path) -> int:
    """How many tokens the documents have."""
    chunks = mapped_table(path)["input_ids"].chunks
    return sum(chunk.offsets[-1].as_py() - chunk.offsets[0].as_py() for chunk in chunks)


def store_folder(folder: Path, documents: Path) -> Path:
    """A block store of the documents' tokens, with its tokenizer, for `bench_loader.opened`."""
    import bench_mask  # it loads torch, which most contenders do without

    target = folder / documents.stem
    target.mkdir()
    bench_mask.tokenizer().save_pretrained(target / "tokenizer")
    lists = target / "lists.parquet"
    with pq.ParquetWriter(lists, SCHEMA, compression="none", use_dictionary=False) as writer:
        for batch in mapped_table(documents).to_batches():
            writer.write_batch(batch)
    mlmfast.convert(
        lists,
        target / "blocks",
        to="store",
        tokenizer=target / "tokenizer",
        block_size=LENGTH,
        progress=False,
    )
    lists.unlink()
    return target
