"""Sequences as overlapping k-mers, the words of DNABERT's tokenizers.

DNABERT was trained on text in which every letter but the last few begins a word: "ACGTA" is
"ACG CGT GTA". Spelled out, that is seven bytes for each letter of a sequence, and a look-up for
each word. Where every k-mer has one id whatever words are beside it, which is tried before it is
relied on, a table gives the same ids without spelling them out.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_numpy import arrow_texts, numpy_numbers
from mlmfast.data.tokenization.encoder import TextEncoder, Verifier, encode_with_core
from mlmfast.data.tokenization.hf_encoder import encode_pieces
from mlmfast.data.tokenization.ids_around import ids_around
from mlmfast.data.tokenization.load import id_dtype
from mlmfast.runtime.cpu import thread_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.data.tokenization.load import LoadedTokenizer

_ALPHABET = "ACGTN"
# The table has the id of every k-mer: up to 8-mers.
_MOST_KMERS = 1 << 20
_PIECE = 4096
_TRIED = 60
_ENGINE = "k-mers"


def spell_kmers(sequence: str, k: int, stride: int = 1) -> str:
    """Return the k-mers of a sequence, with blanks between them.

    With the stride 1 this is DNABERT's `seq2kmer`. A sequence shorter than `k` has none.

    >>> spell_kmers("ACGTA", 3)
    'ACG CGT GTA'
    """
    starts = range(0, len(sequence) + 1 - k, stride)
    return " ".join(sequence[start : start + k] for start in starts)


class KmerEncoder:
    """Encodes sequences as the tokenizer encodes their k-mers spelled out."""

    def __init__(
        self,
        loaded: LoadedTokenizer,
        k: int,
        stride: int = 1,
        *,
        add_special_tokens: bool = False,
        threads: int | None = None,
        engine: str = "auto",
        verify: int = 0,
    ) -> None:
        """Prepare `loaded` for encoding; the other arguments are those of `TextEncoder`.

        Args:
            loaded: The tokenizer.
            k: Letters in a k-mer.
            stride: Letters from the start of one k-mer to the start of the next.
            add_special_tokens: Wrap every sequence as the tokenizer's post-processor does.
            threads: Number of threads.
            engine: "auto" or "library".
            verify: Compare so many sequences with the library.
        """
        self._k, self._stride = k, stride
        self._dtype = id_dtype(loaded.id_bound)
        self._threads = thread_count(threads)
        around = ids_around(loaded.tokenizer) if add_special_tokens else ([], [])
        self._table = _verified_table(loaded, k, stride) if engine == "auto" and around else None
        self._before, self._after = around or ([], [])
        # With the table, it encodes what the table leaves, between the ids around a sequence.
        wraps = add_special_tokens and self._table is None
        self._spelled_out = TextEncoder(
            loaded, add_special_tokens=wraps, threads=threads, engine=engine
        )
        self._verifier = Verifier(
            loaded.tokenizer,
            verify if engine == "auto" else 0,
            add_special_tokens=add_special_tokens,
            as_read=self._spell,
        )

    @property
    def engine(self) -> str:
        """What encodes: the table of "k-mers", or the engine of `TextEncoder`."""
        return self._spelled_out.engine if self._table is None else _ENGINE

    def encode(self, texts: pa.Array | pa.ChunkedArray) -> pa.LargeListArray:
        """Encode the k-mers of sequences without nulls; as `TextEncoder.encode` otherwise."""
        if self._table is None:
            encoded = self._encode_spelled(texts.to_pylist())
        else:
            encoded = encode_with_core(
                self._table,
                texts,
                (self._before, self._after),
                dtype=self._dtype,
                threads=self._threads,
                encode_rest=self._encode_rest,
            )
        self._verifier.check(texts, encoded)
        return encoded

    def _encode_rest(self, sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        encoded = self._encode_spelled(sequences)
        return np.diff(numpy_numbers(encoded.offsets)), numpy_numbers(encoded.flatten())

    def _encode_spelled(self, sequences: list[str]) -> pa.LargeListArray:
        return self._spelled_out.encode(arrow_texts(map(self._spell, sequences)))

    def _spell(self, sequence: str) -> str:
        return spell_kmers(sequence, self._k, self._stride)


def _verified_table(loaded: LoadedTokenizer, k: int, stride: int) -> _core.KmerTable | None:
    """Return the ids of all k-mers of the bases; None if words do not have one id each."""
    if len(_ALPHABET) ** k > _MOST_KMERS:
        return None
    kmers = map("".join, itertools.product(_ALPHABET, repeat=k))
    lengths, ids = _encode(loaded, kmers)
    if (lengths != 1).any():
        return None
    table = _core.KmerTable(ids, k=k, stride=stride, alphabet=_ALPHABET.encode())
    tried = _trial_sequences(k)
    found = table.encode(arrow_texts(tried), before=[], after=[], narrow=False, threads=1)
    nothing = np.empty(0, np.uint32), np.empty(0, np.uintp)
    offsets, ids = found.finish(*nothing)
    lengths, expected = _encode(loaded, (spell_kmers(text, k, stride) for text in tried))
    same = np.array_equal(np.diff(offsets), lengths) and np.array_equal(ids, expected)
    return table if same else None


def _encode(loaded: LoadedTokenizer, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of ids of each text, and all ids."""
    return encode_pieces(loaded.tokenizer, _pieces(texts), dtype=np.dtype(np.uint32))


def _pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while piece := list(itertools.islice(left, _PIECE)):
        yield piece


def _trial_sequences(k: int) -> list[str]:
    draw = random.Random(k)  # noqa: S311 - no secret
    lengths = [*range(2 * k + 2), *(draw.randint(1, 60 * k) for _ in range(_TRIED))]
    letters = [draw.choice(("ACGT", "ACGT", "ACGTN", "AN", "C")) for _ in lengths]
    return [
        "".join(draw.choices(some, k=length)) for some, length in zip(letters, lengths, strict=True)
    ]
