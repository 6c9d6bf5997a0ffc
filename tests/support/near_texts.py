"""Texts with planted near-duplicates, and the plain way to tell them."""

from __future__ import annotations

import itertools
import random
import re
import string

NGRAM = 5


def ngrams(text: str, size: int = NGRAM) -> set[tuple[str, ...]]:
    """Return the set of a text's word n-grams, in lower case and without punctuation."""
    words = re.findall(r"[a-z]+", text.lower())
    return {tuple(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}


def jaccard(one: str, other: str, size: int = NGRAM) -> float:
    """Return the exact Jaccard similarity of two texts' n-grams."""
    first, second = ngrams(one, size), ngrams(other, size)
    return len(first & second) / len(first | second)


def duplicates_of(texts: list[str], threshold: float = 0.8) -> list[int]:
    """Return which texts are not the first of their cluster, by comparing each two texts."""
    sets = [ngrams(text) for text in texts]
    first = list(range(len(texts)))
    for one, other in itertools.combinations(range(len(texts)), 2):
        shared = len(sets[one] & sets[other])
        if shared >= threshold * (len(sets[one]) + len(sets[other]) - shared):
            low, high = sorted((first[one], first[other]))
            first = [low if label == high else label for label in first]
    return [number for number, label in enumerate(first) if label != number]


def words(draw: random.Random, count: int) -> list[str]:
    """Return random words of five letters, which hardly ever come twice."""
    return ["".join(draw.choices(string.ascii_lowercase, k=5)) for _ in range(count)]


def pair(draw: random.Random, similarity: float, length: int = 104) -> tuple[str, str]:
    """Return two texts of about this similarity: the second ends in other words."""
    count = length - NGRAM + 1
    shared = round(2 * similarity * count / (1 + similarity))
    kept = shared + NGRAM - 1 if shared else 0
    one = words(draw, length)
    return " ".join(one), " ".join([*one[:kept], *words(draw, length - kept)])


def corpus(count: int = 60, *, seed: int = 0) -> list[str]:
    """Return texts of which some are near-duplicates or equal, far apart, and none are in between.

    The similarity of two texts is 0.95 or more, or below 0.1, so that MinHash finds what
    `duplicates_of` does.
    """
    draw = random.Random(seed)
    texts = [" ".join(words(draw, draw.randint(60, 90))) for _ in range(count)]
    for text in texts[: count // 3]:
        tokens = text.split()
        texts.append(" ".join([*tokens[:-1], *words(draw, 1)]).capitalize() + "!")
        texts.append(text.replace(" ", ", ", 3))
    texts += texts[count // 3 : count // 2]  # equal
    draw.shuffle(texts)
    return texts
