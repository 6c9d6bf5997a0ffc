"""Encoding with the installed `tokenizers` library, whose ids are the reference."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import InputError
from mlmfast.runtime.cpu import thread_count
from mlmfast.tokenizers_compat import encoding_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa
    from tokenizers import Tokenizer

# About this much text is passed to `tokenizers` in one call: an encoding takes some 100 bytes per
# token until its ids are copied out, and short calls balance the threads better.
_PIECE_BYTES = 1 << 19
_PIECE_TEXTS = 4096


def encode_pieces(
    tokenizer: Tokenizer,
    pieces: Iterable[Sequence[str]],
    *,
    dtype: np.dtype,
    add_special_tokens: bool = False,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of ids of each text in `pieces` (int64), and all ids in order (`dtype`).

    Raises:
        InputError: The vocabulary does not cover a text, and the tokenizer has no unknown token.
    """
    count = thread_count(threads)

    def encode(piece: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        try:
            encodings = tokenizer.encode_batch_fast(piece, add_special_tokens=add_special_tokens)
        except Exception as error:
            if type(error) is not Exception:  # the library's own are bare
                raise
            raise InputError(encoding_error(error)) from error
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        ids = chain.from_iterable(encoding.ids for encoding in encodings)
        return lengths, np.fromiter(ids, dtype, int(lengths.sum()))

    with _without_library_threads():
        if count == 1:
            parts = [encode(piece) for piece in pieces]
        else:
            with ThreadPoolExecutor(count) as pool:
                try:
                    parts = list(pool.map(encode, pieces))
                except BaseException:
                    # Ctrl-C must not wait for the remaining pieces.
                    pool.shutdown(cancel_futures=True)
                    raise
    lengths = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    return lengths, np.concatenate([np.empty(0, dtype), *(part[1] for part in parts)])


def pieces_of(array: pa.Array) -> Iterator[list[str]]:
    """Yield the strings of an Arrow array without nulls, in lists of bounded size."""
    start = 0
    while start < len(array):
        stop = min(start + _PIECE_TEXTS, len(array))
        piece = array.slice(start, stop - start)
        while piece.nbytes > _PIECE_BYTES and len(piece) > 1:
            piece = piece.slice(0, len(piece) // 2)
        yield piece.to_pylist()
        start += len(piece)


_switch_lock = threading.Lock()
_switch_users = 0
_switch_before: str | None = None


@contextmanager
def _without_library_threads() -> Iterator[None]:
    """Keep `tokenizers` from starting its own thread pool while our threads call it.

    The size of its pool is fixed at first use, and a process that has used it can no longer fork
    safely (DataLoader workers); our threads end with the call. The switch is an environment
    variable. Overlapping calls are counted, so that the last one restores its original value.
    """
    global _switch_users, _switch_before  # noqa: PLW0603 - the environment is global as well
    with _switch_lock:
        if _switch_users == 0:
            _switch_before = os.environ.get("TOKENIZERS_PARALLELISM")
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
        _switch_users += 1
    try:
        yield
    finally:
        with _switch_lock:
            _switch_users -= 1
            if _switch_users == 0:
                if _switch_before is None:
                    os.environ.pop("TOKENIZERS_PARALLELISM", None)
                else:
                    os.environ["TOKENIZERS_PARALLELISM"] = _switch_before
