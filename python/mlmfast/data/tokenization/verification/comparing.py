"""Encoding texts with the core and with the library, and comparing the ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast.data.tokenization.hf_encoder import encode_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenizers import Tokenizer

    from mlmfast import _core

# Texts passed to the library in one call.
_TEXTS_PER_CALL = 64


@dataclass(frozen=True)
class Comparison:
    """What the core and the library make of some texts, one entry a text."""

    equal: list[bool]
    """Whether the ids are equal."""
    left: list[int]
    """Bytes that the core left to the library."""


def compare(
    tokenizer: Tokenizer,
    core: _core.Encoder,
    texts: Sequence[str],
    *,
    threads: int | None = None,
) -> Comparison:
    """Encode `texts` with both.

    Raises:
        InputError: The library cannot encode a text.
    """
    encoded = core.encode(
        pa.array(texts, pa.large_string()), before=[], after=[], narrow=False, threads=threads
    )
    pending = encoded.pending()
    left = np.zeros(len(texts), np.int64)
    np.add.at(left, encoded.pending_rows(), [len(text.encode()) for text in pending])
    lengths, answers = encode_with_library(tokenizer, pending, threads=threads)
    offsets, ids = encoded.finish(answers, lengths.astype(np.uintp))
    ours = np.split(ids, offsets[1:-1])
    lengths, ids = encode_with_library(tokenizer, texts, threads=threads)
    theirs = np.split(ids, np.cumsum(lengths)[:-1])
    equal = [np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    return Comparison(equal, left.tolist())


def differing_texts(
    tokenizer: Tokenizer, core: _core.Encoder, texts: Sequence[str]
) -> Iterable[str]:
    """Yield the texts for which `core` and `tokenizer` give different ids."""
    equal = compare(tokenizer, core, texts).equal
    return (text for text, same in zip(texts, equal, strict=True) if not same)


def encode_with_library(
    tokenizer: Tokenizer, texts: Sequence[str], *, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of ids of each text, and all ids in order (uint32)."""
    pieces = (texts[at : at + _TEXTS_PER_CALL] for at in range(0, len(texts), _TEXTS_PER_CALL))
    return encode_pieces(tokenizer, pieces, dtype=np.dtype(np.uint32), threads=threads)
