"""The forms in which callers get sparse vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import MissingDependencyError, first_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.types import SparseVector

FORMATS = ("dict", "csr", "arrow")
STREAMED = ("dict", "lists")


def csr_matrix(vectors: Sequence[SparseVector], vocab_size: int) -> Any:
    """Return vectors as the rows of a SciPy matrix float32 [texts, vocabulary].

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    try:
        from scipy.sparse import csr_matrix as matrix_of
    except ImportError as error:
        raise MissingDependencyError(
            f'returns="csr" needs SciPy ({first_sentence(error)}) pip install scipy brings it.'
        ) from error
    starts, ids, weights = _columns(vectors)
    return matrix_of((weights, ids, starts), shape=(len(vectors), vocab_size))


def struct_array(vectors: Sequence[SparseVector]) -> Any:
    """Return vectors as a pyarrow array of struct<ids: list<int32>, weights: list<float>>.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependencyError(
            f'returns="arrow" needs pyarrow ({first_sentence(error)}) pip install pyarrow brings '
            "it."
        ) from error
    starts, ids, weights = _columns(vectors)
    kind = pa.LargeListArray if starts[-1] >= 2**31 else pa.ListArray
    bounds = pa.array(starts, pa.int64() if kind is pa.LargeListArray else pa.int32())
    return pa.StructArray.from_arrays(
        [
            kind.from_arrays(bounds, pa.array(ids, pa.int32())),
            kind.from_arrays(bounds, pa.array(weights, pa.float32())),
        ],
        names=["ids", "weights"],
    )


def _columns(vectors: Sequence[SparseVector]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each vector starts and the last ends, all ids, and all weights."""
    starts = np.zeros(len(vectors) + 1, np.int64)
    np.cumsum([len(vector) for vector in vectors], out=starts[1:])
    if not vectors:
        return starts, np.zeros(0, np.int32), np.zeros(0, np.float32)
    ids = np.concatenate([vector.ids for vector in vectors]).astype(np.int32)
    return starts, ids, np.concatenate([vector.weights for vector in vectors])
