"""Compare the core's encoder with the library that it stands in for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast import _core


def encoded(
    tokenizer: Any, texts: list[str], *, exceptions: tuple[int, ...] = (), threads: int = 1
) -> tuple[list[list[int]], list[str]]:
    """Encode with the core, pending stretches with the library; the ids and those stretches."""
    encoder = _core.Encoder(tokenizer.to_str(), [(point, point + 1) for point in exceptions])
    column = pa.array(texts, pa.large_utf8())
    found = encoder.encode(column, before=[], after=[], narrow=False, threads=threads)
    pending = found.pending()
    answers = [tokenizer.encode(text, add_special_tokens=False).ids for text in pending]
    ids = np.array([number for answer in answers for number in answer], np.uint32)
    lengths = np.array([len(answer) for answer in answers], np.uintp)
    offsets, ids = found.finish(ids, lengths)
    return [part.tolist() for part in np.split(ids, offsets[1:-1])][: len(texts)], pending


def assert_equal_ids(tokenizer: Any, texts: list[str], *, nothing_pending: bool = False) -> None:
    """Fail with the first text whose ids are not the library's, or that is left to it."""
    found, pending = encoded(tokenizer, texts)
    for text, ids in zip(texts, found, strict=True):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == expected, (text, ids, expected)
    assert not (nothing_pending and pending), pending[:3]
