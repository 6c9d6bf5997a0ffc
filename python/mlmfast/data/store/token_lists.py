"""Lists of token ids, cut at a number of tokens."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers


def count_tokens(lists: pa.LargeListArray) -> int:
    """Count the tokens of the lists, which may be a slice."""
    return lists.offsets[-1].as_py() - lists.offsets[0].as_py()


def one_list(ids: pa.Array) -> pa.LargeListArray:
    """Return all ids as a single list."""
    return _lists(np.array([0, len(ids)], np.int64), ids)


def cut(lists: pa.LargeListArray, tokens: int) -> tuple[pa.LargeListArray, pa.LargeListArray]:
    """Divide lists after so many tokens; a list that goes on there is divided too.

    >>> first, rest = cut(pa.array([[1, 2], [3, 4, 5]], pa.large_list(pa.int64())), 3)
    >>> first.to_pylist(), rest.to_pylist()
    ([[1, 2], [3]], [[4, 5]])
    """
    offsets = numpy_numbers(lists.offsets)
    at = offsets[0] + tokens
    number = int(np.searchsorted(offsets, at))
    whole = number < len(offsets) and offsets[number] == at
    rest = offsets[number:] if whole else np.concatenate([[at], offsets[number:]])
    first = np.concatenate([offsets[:number], [at]])
    return _lists(first, lists.values), _lists(rest, lists.values)


def _lists(offsets: np.ndarray, ids: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(arrow_numbers(offsets.astype(np.int64)), ids)
