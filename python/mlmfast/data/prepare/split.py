"""Which documents go to the test split."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.arrow_numpy import numpy_numbers

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmfast.data.prepare.options import PrepareOptions

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class HoldOut:
    """The rule that divides documents between the splits, one by one and without any state."""

    share: float
    seed: int
    begin: int | None = None
    """Number of the first document of a contiguous test split; None for a random one."""

    @classmethod
    def of(cls, options: PrepareOptions, documents: int | None = None) -> HoldOut | None:
        """Return the rule of `options`; None without a test split.

        Args:
            options: The options of `prepare`.
            documents: How many documents are read, which a split at the end needs.
        """
        if options.test_size is None:
            return None
        begin = None
        if options.test_from == "tail":
            if documents is None:
                raise ValueError("the last documents are unknown before all are counted")
            begin = documents - tail_of(documents, options.test_size)
        return cls(options.test_size, options.seed, begin)

    def is_test(self, numbers: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
        """Return for documents whether they belong to the test split, booleans [count].

        Args:
            numbers: Their numbers in the order of reading, uint64 [count].
            groups: Their `group_keys`, uint64 [count], where they are divided by groups.
        """
        if self.begin is not None:
            return numbers >= np.uint64(self.begin)
        if groups is not None:
            return _below(groups, self.share)
        return is_test_document(numbers, test_size=self.share, seed=self.seed)


def tail_of(documents: int, share: float) -> int:
    """Return how many of the last documents make up a share of all, rounded up.

    The share is the decimal number that was written: the tail of 100 documents at 0.07 has 7.
    """
    return math.ceil(Fraction(repr(share)) * documents)


def group_keys(values: pa.LargeStringArray, seed: int) -> np.ndarray:
    """Return for the group of each document a uniform random number that depends on the seed.

    It is the BLAKE2b hash of 8 bytes (little-endian) of the value's UTF-8, with the seed's 8 bytes
    (little-endian, modulo 2^64) as the key: the same wherever and in whatever order documents are
    read.

    Args:
        values: The groups' names [count]; nulls get any number.
        seed: Any integer.

    Returns:
        uint64 [count].
    """
    key = (seed & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
    coded = values.dictionary_encode()
    names = coded.dictionary.to_pylist()
    hashes = b"".join(
        hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names
    )
    keys = np.frombuffer(hashes or bytes(8), "<u8")
    return keys[numpy_numbers(coded.indices.fill_null(0))]


def is_test_document(numbers: np.ndarray, *, test_size: float, seed: int) -> np.ndarray:
    """Return for documents, by their numbers, whether they belong to the test split.

    The split of a document is a pure function of the seed and its number: it depends neither on
    how many documents there are nor on how they are read. Each is drawn independently, so the
    share of a small corpus differs from `test_size` by chance.

    Args:
        numbers: Unsigned 64-bit numbers [count].
        test_size: The share of the test split.
        seed: Any integer.

    Returns:
        Booleans [count].
    """
    return _below(hash_u64(numbers, seed), test_size)


def _below(draws: np.ndarray, share: float) -> np.ndarray:
    # 53 bits are exactly a float between 0 and 1.
    return (draws >> np.uint64(11)) * 2.0**-53 < share


def hash_u64(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Permute the 64-bit numbers; each seed is another permutation."""
    key = _mix(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64) + _GOLDEN)
    return _mix(_mix(numbers.astype(np.uint64) * _GOLDEN + key) + key)


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit moves every output bit."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
