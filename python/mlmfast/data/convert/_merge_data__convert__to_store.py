"""Token lists -> block store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast.data.prepare.options import PrepareOptions, counted
from mlmfast.data.prepare.split_writer import SplitWriter
from mlmfast.data.tokenization.load import LoadedTokenizer, id_dtype
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.data.convert.from_lists import TokenLists

_USUAL_BLOCK_SIZE = 128


def write_store(
    splits: dict[str, TokenLists],
    folder: Path,
    tokenizer: LoadedTokenizer,
    options: PrepareOptions,
    *,
    block_size: int | None,
    advance: Callable[[int], object],
) -> None:
    """Write the splits into `folder` as stores, ids as they are.

    Args:
        splits: As `open_token_lists` gives them.
        folder: Exists and is empty.
        tokenizer: The one that made the ids.
        options: How to group; its block size does not count.
        block_size: Tokens a block; None takes the rows' length where their type fixes it, else 128.
        advance: Is told how many rows were read.

    Raises:
        InputError: A null, an id outside of the vocabulary, or not one block.
    """
    for name, lists in splits.items():
        size = block_size or lists.width or _USUAL_BLOCK_SIZE
        writer = SplitWriter(
            name,
            folder if len(splits) == 1 else folder / name,
            tokenizer,
            replace(options, block_size=size),
        )
        first = 0
        for batch in lists.read():
            ids = _checked(batch, first, lists.name, tokenizer)
            writer.add_tokens(ids, documents=len(batch))
            first += len(batch)
            advance(len(batch))
        tokens = writer.writer.tokens
        writer.close({"inputs": [lists.name]})
        if not writer.writer.blocks:
            raise InputError(
                f"{counted(first, 'row')} of {lists.name!r} hold {counted(tokens, 'token')}, which "
                f"is less than one block of {size}. Use a smaller --block-size or --remainder pad."
            )
    if len(splits) > 1:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))


def _checked(
    batch: pa.Array, first: int, name: str, tokenizer: LoadedTokenizer
) -> pa.LargeListArray:
    """The batch as LargeList of the type of a store's ids; row number `first` is its first."""
    if batch.null_count:
        row = batch.is_null().index(True).as_py()
        raise InputError(f"{name}, row {first + row:,} is null.")
    lists = batch.cast(pa.large_list(batch.type.value_type))
    offsets = lists.offsets.to_numpy()
    offsets = offsets - offsets[0]
    values = lists.flatten()
    if values.null_count:
        at = values.is_null().index(True).as_py()
    else:
        ids = values.to_numpy(zero_copy_only=False)
        wrong = ids >= tokenizer.id_bound
        if ids.dtype.kind == "i":
            wrong |= ids < 0
        if not wrong.any():
            kind = id_dtype(tokenizer.id_bound)
            return pa.LargeListArray.from_arrays(offsets, pa.array(ids.astype(kind)))
        at = int(np.argmax(wrong))
    row = int(np.searchsorted(offsets, at, side="right")) - 1
    raise InputError(
        f"{name}, row {first + row:,}, position {at - offsets[row]:,}: {values[at].as_py()} is no "
        f"id of the tokenizer {tokenizer.name!r}, whose ids are below {tokenizer.id_bound:,}."
    )
