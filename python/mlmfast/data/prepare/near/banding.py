"""How many hash functions a band has, from the similarity at which documents are duplicates."""

from __future__ import annotations

from dataclasses import dataclass

HASHES = 112
"""Hash functions of all bands at most, as FineWeb and datatrove have them (14 bands of 8)."""
_RECALL = 0.9


@dataclass(frozen=True)
class Banding:
    """The bands of LSH: two documents are near-duplicates if all rows of any band are equal."""

    bands: int
    rows: int
    """Hash functions of a band."""

    @classmethod
    def of(cls, threshold: float) -> Banding:
        """Return the bands with the most rows that find 9 of 10 pairs at `threshold` or more.

        The more rows, the fewer pairs below the threshold are found. At 0.8 these are the 14 bands
        of 8 of FineWeb (Penedo et al. 2024), which find such a pair with a probability of 0.924.
        """
        bandings = (cls(HASHES // rows, rows) for rows in range(HASHES, 0, -1))
        return next(one for one in bandings if one.probability(threshold) >= _RECALL)

    def probability(self, similarity: float) -> float:
        """Return the probability that a pair of this Jaccard similarity is found."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands
