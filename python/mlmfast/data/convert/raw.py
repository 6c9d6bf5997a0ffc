"""Block stores to one file of little-endian ids, with a JSON file that describes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.convert.document_spans import document_spans

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore

# Bytes written at a time, so that progress is visible and Ctrl-C takes effect.
_CHUNK_BYTES = 1 << 24


def write_raw(
    store: BlockStore, folder: Path, name: str, advance: Callable[[int], object]
) -> list[str]:
    """Write `store` into `folder` as `name`.bin, ids [B, L] row by row, and `name`.json.

    `name`.documents.bin, if the store knows where documents begin, holds their positions among all
    ids, little-endian uint64, and one for each part of a document that continues in another block.

    Returns:
        The names of the files.
    """
    kind = store.dtype.newbyteorder("<")
    write_ids(store, folder / f"{name}.bin", kind, advance)
    manifest = store.manifest
    description: dict[str, Any] = {
        "file": f"{name}.bin",
        "dtype": kind.str,
        "shape": [len(store), store.block_size],
        "vocab_size": manifest.vocab_size,
        "special_ids": manifest.special_ids,
        "mask_token_id": manifest.mask_token_id,
        "pad_token_id": manifest.pad_token_id,
        "padding_tokens": manifest.padding_tokens,
        "special_tokens": manifest.special_tokens,
        "packing": manifest.packing,
        "tokenizer": manifest.tokenizer,
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "mlmfast_version": manifest.mlmfast_version,
    }
    names = [f"{name}.bin", f"{name}.json"]
    if store.document_starts is not None:
        names.append(f"{name}.documents.bin")
        count = 0
        with (folder / names[-1]).open("wb") as file:
            for starts, _ in document_spans(store):
                file.write(starts.astype("<u8").data)
                count += len(starts)
        description["documents"] = {"file": names[-1], "dtype": "<u8", "shape": [count]}
    text = json.dumps(description, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return names


def write_ids(
    store: BlockStore, path: Path, kind: np.dtype, advance: Callable[[int], object]
) -> None:
    """Write all ids of `store` to `path` as `kind`, row by row."""
    rows = max(1, _CHUNK_BYTES // (store.block_size * kind.itemsize))
    with path.open("wb") as file:
        for shard in store.shards:
            for start in range(0, len(shard), rows):
                chunk = shard[start : start + rows]
                file.write(np.ascontiguousarray(chunk, kind).data)
                advance(len(chunk))
