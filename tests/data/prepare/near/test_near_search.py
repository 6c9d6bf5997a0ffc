"""Which documents are near-duplicates: MinHash against exact Jaccard similarities."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pyarrow as pa
import pytest

from mlmfast._core import DocumentClusters, MinHasher, equal_keys
from mlmfast.data.prepare.near.banding import HASHES, Banding
from near_texts import corpus, duplicates_of, jaccard, pair

PAIRS = 250


def found(texts, *, ngram=5, threshold=0.8):
    banding = Banding.of(threshold)
    hasher = MinHasher(ngram=ngram, bands=banding.bands, rows=banding.rows)
    numbers = np.arange(len(texts), dtype=np.uint64)
    records, bounds = hasher.records(pa.array(texts, pa.large_string()), numbers)
    assert len(bounds) == 257
    assert len(records) == bounds[-1] == 12 * banding.bands * len(texts)
    clusters = DocumentClusters(len(texts))
    for start, end in itertools.pairwise(bounds.tolist()):
        clusters.join(equal_keys(records[start:end]))
    return clusters.duplicates().tolist()


def test_the_bands_of_fineweb_at_eight_tenths():
    banding = Banding.of(0.8)
    assert (banding.bands, banding.rows) == (14, 8)
    assert banding.probability(0.8) == pytest.approx(0.924, abs=5e-4)
    for threshold in (0.5, 0.6, 0.7, 0.75, 0.9, 0.95, 1.0):
        chosen = Banding.of(threshold)
        assert chosen.bands * chosen.rows <= HASHES
        assert chosen.probability(threshold) >= 0.9
        more = Banding(HASHES // (chosen.rows + 1), chosen.rows + 1)
        assert threshold == 1.0 or more.probability(threshold) < 0.9


@pytest.mark.parametrize("threshold", [0.6, 0.8])
@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_pairs_are_found_as_often_as_their_similarity_says(similarity, threshold):
    draw = random.Random(int(100 * similarity))
    pairs = [pair(draw, similarity) for _ in range(PAIRS)]
    exact = [jaccard(one, other) for one, other in pairs]
    assert np.mean(exact) == pytest.approx(similarity, abs=0.01)
    texts = [text for two in pairs for text in two]
    numbers = found(texts, threshold=threshold)
    assert all(number % 2 for number in numbers)  # the second of a pair, and no other text
    chances = [Banding.of(threshold).probability(one) for one in exact]
    # Within four standard deviations; the texts and the hash functions are always the same.
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    assert abs(len(numbers) - sum(chances)) <= 4 * spread + 1e-6
    if threshold == 0.8:
        low, high = {0.5: (2, 30), 0.8: (215, 245), 1.0: (PAIRS, PAIRS)}.get(similarity, (0, PAIRS))
        assert low <= len(numbers) <= high


def test_clear_duplicates_are_those_of_exact_similarities():
    texts = corpus()
    expected = duplicates_of(texts)
    assert len(expected) == 50
    assert found(texts) == expected


def test_clusters_are_connected_by_way_of_others():
    draw = random.Random(1)
    one, other = pair(draw, 0.95)
    third = " ".join([*pair(draw, 0.5)[0].split()[:3], *other.split()[3:]])
    assert jaccard(one, third) < jaccard(one, other)
    assert found(["unrelated words", third, one, other]) == [2, 3]


def test_shorter_ngrams_find_what_shares_words_but_not_their_order():
    draw = random.Random(2)
    one, _ = pair(draw, 1.0)
    mixed = one.split()
    draw.shuffle(mixed)
    texts = [one, " ".join(mixed)]
    assert found(texts, ngram=1) == [1]
    assert found(texts) == []


def test_short_and_wordless_texts_are_found_if_they_are_equal():
    texts = [
        "",
        "a",
        "b",
        "",
        "a b",
        "A, b!",
        "?!",
        "...",
        "?!",
        "b a",
        "7 a",
        "12345 A",
        "東京",
        "東京",
    ]
    assert found(texts) == [3, 5, 8, 11, 13]


def test_what_is_not_text_is_refused():
    hasher = MinHasher(ngram=5, bands=14, rows=8)
    with pytest.raises(TypeError, match="LargeString"):
        hasher.records(pa.array(["a"]), np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="numbers has 2 elements, expected 1"):
        hasher.records(pa.array(["a"], pa.large_string()), np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="got 0-grams"):
        MinHasher(ngram=0, bands=14, rows=8)
    with pytest.raises(ValueError, match="no document 3 among 3"):
        DocumentClusters(3).join(np.array([0, 3], np.uint32))
    with pytest.raises(OverflowError):
        DocumentClusters(2**32 + 1)
