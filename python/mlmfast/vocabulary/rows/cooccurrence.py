"""Static vectors of tokens, from the company that they keep in texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlmfast.data.arrow_numpy import numpy_numbers

if TYPE_CHECKING:
    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.texts import SampleTexts

_WINDOW = 5
_DIMENSIONS = 128
# Tokens that occur less often get no vector: their neighbours say too little.
_MIN_COUNT = 5
# Context counts are raised to this power, which makes rare contexts weigh less.
_SMOOTHING = 0.75
_MOST_PENDING = 1 << 25

Counts = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def token_vectors(loaded: LoadedTokenizer, sample: SampleTexts) -> torch.Tensor:
    """Return a vector of length one for each token that occurs often enough, else zeros.

    The vectors are the truncated SVD of the positive pointwise mutual information of tokens and
    their neighbours, which is what skip-gram vectors factorize (Levy & Goldberg 2014, "Neural Word
    Embedding as Implicit Matrix Factorization"; the smoothing and the root of the singular values
    are those of Levy, Goldberg & Dagan 2015).

    Returns:
        float32 `[id_bound, D]`.
    """
    size = loaded.id_bound
    pairs, counts = _count_pairs(loaded, sample)
    rows, columns = np.divmod(pairs, size)
    totals = np.bincount(rows, counts, size)
    smooth = totals**_SMOOTHING
    expected = totals[rows] * smooth[columns] / smooth.sum()
    information = np.log(counts / expected)
    # Both tokens of a pair have to be frequent enough.
    frequent = totals >= 2 * _WINDOW * _MIN_COUNT
    chosen = (information > 0) & frequent[rows] & frequent[columns]
    vectors = torch.zeros(size, _DIMENSIONS)
    if not chosen.any():
        return vectors
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows[chosen], columns[chosen]])),
        torch.from_numpy(information[chosen]).float(),
        (size, size),
        is_coalesced=True,
        check_invariants=False,
    )
    width = min(_DIMENSIONS, int(frequent.sum()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the SVD begins with a random subspace
        left, values, _ = torch.svd_lowrank(matrix, q=width, niter=4)
    vectors[:, :width] = left * values.sqrt()
    vectors[torch.from_numpy(~frequent)] = 0
    return torch.nn.functional.normalize(vectors, dim=1)


def _count_pairs(loaded: LoadedTokenizer, sample: SampleTexts) -> Counts:
    """Count the pairs of tokens within a window of a text, both ways.

    Returns:
        The pairs as `id * id_bound + id of the neighbour`, ascending, and their counts.
    """
    encoder = sample.encoder(loaded)
    size = loaded.id_bound
    total: Counts = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    pending: list[Counts] = []
    held = 0
    for batch in sample.batches():
        encoded = encoder.encode(batch)
        ids = numpy_numbers(encoded.values).astype(np.int64)
        text = np.repeat(np.arange(len(batch)), np.diff(numpy_numbers(encoded.offsets)))
        for distance in range(1, _WINDOW + 1):
            within = text[distance:] == text[:-distance]
            first, second = ids[:-distance][within], ids[distance:][within]
            both = np.concatenate([first * size + second, second * size + first])
            pending.append(np.unique(both, return_counts=True))
            held += len(pending[-1][0])
        if held >= _MOST_PENDING:
            total, pending, held = _merged([total, *pending]), [], 0
    return _merged([total, *pending])


def _merged(parts: list[Counts]) -> Counts:
    keys = np.concatenate([keys for keys, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    unique, inverse = np.unique(keys, return_inverse=True)
    return unique, np.bincount(inverse, counts, len(unique)).astype(np.int64)
