"""Which documents go to the test split."""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


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
    # 53 bits are exactly a float between 0 and 1.
    return (hash_u64(numbers, seed) >> np.uint64(11)) * 2.0**-53 < test_size


def hash_u64(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Permute the 64-bit numbers; each seed is another permutation."""
    key = _mix(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64) + _GOLDEN)
    return _mix(_mix(numbers.astype(np.uint64) * _GOLDEN + key) + key)


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit moves every output bit."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
