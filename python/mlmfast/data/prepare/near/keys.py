"""The keys of documents: near-duplicates have an equal one in any band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast._core import MinHasher
from mlmfast.data.prepare.near.banding import Banding
from mlmfast.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from mlmfast.data.prepare.options import PrepareOptions

_MOST_DOCUMENTS = 1 << 32


class DocumentKeys:
    """Makes the keys of documents, by MinHash; may be used in any thread."""

    def __init__(self, options: PrepareOptions) -> None:
        """Make keys of the n-grams, and for the threshold, that `options` name."""
        banding = Banding.of(options.near_threshold)
        self._hasher = MinHasher(ngram=options.near_ngram, bands=banding.bands, rows=banding.rows)

    def records(self, texts: pa.LargeStringArray, numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Return the records of documents, and where their 256 buckets begin and end, [257].

        A record is a key, 64 bits, and the number of the document that has it, 32 bits, both
        little-endian. Records are sorted by bucket, the first byte of the key.

        Args:
            texts: Without nulls.
            numbers: The documents' numbers, uint64, ascending.

        Raises:
            InputError: A number has more than 32 bits.
        """
        if len(numbers):
            check_count(int(numbers[-1]) + 1)
        return self._hasher.records(texts, numbers)


def check_count(documents: int) -> None:
    """Raise InputError if there are more documents than can be compared."""
    if documents > _MOST_DOCUMENTS:
        raise InputError(
            f"deduplicate='near' works on up to {_MOST_DOCUMENTS:,} documents at a time: "
            "prepare the text in parts."
        )
