"""Which tokens texts use, and which texts keep their tokens with another tokenizer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.arrow_numpy import numpy_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.families.family import Family
    from mlmfast.vocabulary.texts import SampleTexts

_LEFT_OUT = -1


@dataclass(frozen=True)
class Usage:
    """The tokens that texts use.

    Attributes:
        counts: int64 `[id_bound]`, the occurrences of each id.
        before_unknown: ids that unknown words pass through.
        letters: characters of the tokens, and of words that are unknown as a whole.
    """

    counts: np.ndarray[Any, np.dtype[np.int64]]
    before_unknown: set[int]
    letters: set[str]


def count_usage(loaded: LoadedTokenizer, family: Family, sample: SampleTexts) -> Usage:
    """Count the tokens of texts, without the special tokens around them."""
    encoder = sample.encoder(loaded)
    unknown = loaded.tokenizer.token_to_id(loaded.tokens.get("unk_token", ""))
    counts = np.zeros(loaded.id_bound, np.int64)
    words: Counter[str] = Counter()
    for batch in sample.batches():
        encoded = encoder.encode(batch)
        ids, _ = _ids_and_ends(encoded)
        counts += np.bincount(ids, minlength=loaded.id_bound)
        if unknown is not None and family.whole_words:
            for row in _rows_with(encoded, unknown):
                words.update(_words(loaded.tokenizer, batch[row].as_py()))
    before = set().union(*(family.before_unknown(word) for word in words))
    found = np.flatnonzero(counts).tolist()
    used = (family.spelled(number) for number in found if number in family.tokens)
    return Usage(counts, before, set().union(*used, *words))


@dataclass(frozen=True)
class Kept:
    """How many texts keep all their tokens."""

    texts: int
    same: int

    @property
    def share(self) -> float:
        """The share of the texts."""
        return self.same / self.texts if self.texts else 1.0


def compare_tokens(
    old: LoadedTokenizer, new: LoadedTokenizer, new_ids: dict[int, int], sample: SampleTexts
) -> Kept:
    """Encode texts with both tokenizers, and count those whose tokens are the same.

    Args:
        old: the tokenizer before.
        new: the tokenizer after.
        new_ids: old id -> new id.
        sample: the texts.
    """
    table = np.full(old.id_bound, _LEFT_OUT, np.int64)
    table[list(new_ids)] = list(new_ids.values())
    encoders = sample.encoder(old), sample.encoder(new)
    same = 0
    for batch in sample.batches():
        (before, starts), (after, ends) = (_ids_and_ends(one.encode(batch)) for one in encoders)
        same += _equal_rows(table[before], starts, after.astype(np.int64), ends)
    return Kept(sample.texts, same)


def _equal_rows(
    one: np.ndarray, one_ends: np.ndarray, other: np.ndarray, other_ends: np.ndarray
) -> int:
    """Count the equal rows of two ragged arrays, given as values and offsets `[N + 1]`."""
    lengths, other_lengths = np.diff(one_ends), np.diff(other_ends)
    alike = lengths == other_lengths
    one = one[np.repeat(alike, lengths)]
    other = other[np.repeat(alike, other_lengths)]
    differing = np.concatenate([np.zeros(1, np.int64), np.cumsum(one != other)])
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[alike])])
    return int((np.diff(differing[ends]) == 0).sum())


def _ids_and_ends(encoded: pa.LargeListArray) -> tuple[np.ndarray, np.ndarray]:
    return numpy_numbers(encoded.values), numpy_numbers(encoded.offsets)


def _rows_with(encoded: pa.LargeListArray, number: int) -> list[int]:
    ids, ends = _ids_and_ends(encoded)
    places = np.flatnonzero(ids == number)
    return np.unique(np.searchsorted(ends, places, side="right") - 1).tolist()


def _words(tokenizer: Any, text: str) -> Iterator[str]:
    """Yield the words that the model is given of a text."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        yield text
        return
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
        yield word
