"""Text -> token ids in Arrow: the one place where tokenization happens."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenizers import Tokenizer

# One call into `tokenizers` gets about this much text: an encoding costs some 100 bytes a token
# until its ids are copied out, and shorter calls spread better over the threads.
PIECE_CHARACTERS = 1 << 19
PIECE_TEXTS = 4096


def tokenize(
    texts: Any,
    tokenizer: Any,
    *,
    add_special_tokens: bool = False,
    threads: int | None = None,
) -> pa.LargeListArray:
    """Token ids of `texts`, one list a text.

    Args:
        texts: A list of strings, or strings in Arrow (anything with `__arrow_c_array__` or
            `__arrow_c_stream__`: a pyarrow or polars column ...), without nulls.
        tokenizer: A folder, a `tokenizer.json`, a Hub name, a `tokenizers.Tokenizer` or a
            `transformers.PreTrainedTokenizerFast`.
        add_special_tokens: Wrap every text as the tokenizer's own post-processor does
            (`<s> ... </s>`).
        threads: How many threads; None takes all cores this process may use, or one where
            `TOKENIZERS_PARALLELISM` is false. The result is the same for any number.

    Returns:
        LargeList<uint16>, or LargeList<uint32> where the vocabulary has more than 65,536 ids.

    Raises:
        InputError: A text is null or no text, or the tokenizer cannot be used.
        NotFoundError: There is no such tokenizer.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "blue": 2}, unk_token="[UNK]"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenize(["red blue", "", "green"], words).to_pylist()
    [[1, 2], [], [0]]
    """
    from mlmfast.data.tokenizer_files import id_dtype, load_tokenizer

    loaded = load_tokenizer(tokenizer)
    return tokenize_batch(
        loaded.tokenizer,
        _pieces(texts),
        dtype=id_dtype(loaded.id_bound),
        add_special_tokens=add_special_tokens,
        threads=threads,
    )


def tokenize_batch(
    tokenizer: Tokenizer,
    pieces: Iterable[Sequence[str]],
    *,
    dtype: np.dtype,
    add_special_tokens: bool,
    threads: int | None,
) -> pa.LargeListArray:
    """Token ids of all texts in `pieces`, in order, as LargeList<`dtype`>."""
    count = thread_count(threads)

    def encode(piece: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        found = tokenizer.encode_batch_fast(piece, add_special_tokens=add_special_tokens)
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        ids = chain.from_iterable(encoding.ids for encoding in found)
        return lengths, np.fromiter(ids, dtype, int(lengths.sum()))

    with _own_threads():
        if count == 1:
            parts = [encode(piece) for piece in pieces]
        else:
            with ThreadPoolExecutor(count) as pool:
                try:
                    parts = list(pool.map(encode, pieces))
                except BaseException:
                    # Ctrl-C must not wait for the pieces that nobody wants any more.
                    pool.shutdown(cancel_futures=True)
                    raise
    lengths = np.concatenate([np.zeros(1, np.int64), *(part[0] for part in parts)])
    ids = np.concatenate([np.empty(0, dtype), *(part[1] for part in parts)])
    return pa.LargeListArray.from_arrays(np.cumsum(lengths), pa.array(ids))


def thread_count(threads: int | None) -> int:
    """`threads`, or for None what the environment and the cores of this process suggest."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a whole number from 1 up, or None; got {threads!r}.")
        return threads
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in {"0", "false", "off", "no", "n"}:
        return 1
    wanted = os.environ.get("RAYON_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pieces_of(array: pa.Array) -> Iterator[list[str]]:
    """Yield the strings of an Arrow array without nulls, in lists of bounded size."""
    start = 0
    while start < len(array):
        stop = min(start + PIECE_TEXTS, len(array))
        piece = array.slice(start, stop - start)
        while piece.nbytes > PIECE_CHARACTERS and len(piece) > 1:
            piece = piece.slice(0, len(piece) // 2)
        yield piece.to_pylist()
        start += len(piece)


def _pieces(texts: Any) -> Iterator[Sequence[str]]:
    if isinstance(texts, str):
        raise InputError("texts must be a list of strings, not one string: write [text].")
    if hasattr(texts, "__arrow_c_array__") or hasattr(texts, "__arrow_c_stream__"):
        column = (
            pa.chunked_array(texts)
            if hasattr(texts, "__arrow_c_stream__")
            else pa.chunked_array([pa.array(texts)])
        )
        if not _is_text(column.type):
            raise InputError(f"texts must be an Arrow column of strings; this is {column.type}.")
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise InputError(f"texts must hold no nulls; row {row} is null.")
        for chunk in column.cast(pa.large_string()).chunks:
            yield from pieces_of(chunk)
        return
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts must hold strings; row {row} is {type(text).__name__}.")
    yield from pieces_of(pa.array(texts, pa.large_string()))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


_switch_lock = threading.Lock()
_switch_users = 0
_switch_before: str | None = None


@contextmanager
def _own_threads() -> Iterator[None]:
    """Keep `tokenizers` from starting its own pool while our threads call it.

    Its pool has a size that is fixed at first use, and a process that used it can no longer fork
    safely (DataLoader workers); our threads end with the call. The switch is an environment
    variable, hence counted, so that calls which overlap leave it as the first one found it.
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
