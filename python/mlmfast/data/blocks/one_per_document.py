"""Blocks of one document each: truncated at the block's length, padded up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.tokenization.ids_around import ids_around

if TYPE_CHECKING:
    from mlmfast.data.tokenization.load import LoadedTokenizer


class PadDocuments:
    """Puts each document into a block of its own, as `line_by_line` of run_mlm.py does.

    Args:
        tokenizer: A tokenizer with a padding token.
        block_size: Tokens per block L.
        special_tokens: Whether documents come with the tokenizer's special tokens; truncation keeps
            those at the end.
    """

    def __init__(
        self, tokenizer: LoadedTokenizer, block_size: int, *, special_tokens: bool
    ) -> None:
        assert tokenizer.pad_token_id is not None  # noqa: S101 - `group_options` has checked
        self._pad_id = tokenizer.pad_token_id
        self._length = block_size
        end = _tokens_at_end(tokenizer) if special_tokens else []
        self._end = end[-block_size:]

    def __call__(self, tokens: pa.LargeListArray) -> tuple[pa.LargeListArray, int, int]:
        """Return the blocks of documents; a document without tokens gets none.

        Returns:
            Lists of L ids each, the number of padding ids, and the number of tokens cut off.
        """
        blocks, padding, truncated = _core.pad_documents(
            numpy_numbers(tokens.offsets),
            numpy_numbers(tokens.values),
            block_size=self._length,
            pad_id=self._pad_id,
            end=self._end,
        )
        ends = np.arange(0, len(blocks) + 1, self._length, dtype=np.int64)
        lists = pa.LargeListArray.from_arrays(arrow_numbers(ends), arrow_numbers(blocks))
        return lists, padding, truncated


def _tokens_at_end(tokenizer: LoadedTokenizer) -> list[int]:
    """Return the special tokens that follow a document."""
    around = ids_around(tokenizer.tokenizer)
    return [] if around is None else around[1]
