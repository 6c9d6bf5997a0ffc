"""Encoding much text: by the core where it is exact, by the `tokenizers` library elsewhere."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_numpy import arrow_numbers
from mlmfast.data.tokenization.hf_encoder import encode_pieces, pieces_of
from mlmfast.data.tokenization.ids_around import ids_around
from mlmfast.data.tokenization.load import id_dtype
from mlmfast.data.tokenization.options import ENGINES
from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer
from mlmfast.data.tokenization.verification.parity import Unsupported, verified_encoder
from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.runtime.cpu import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

    from mlmfast.data.tokenization.load import LoadedTokenizer

# For less text than this, verifying the core would take longer than encoding by the library.
MIN_BYTES_FOR_CORE = 1 << 21
LIBRARY = "library"

# The texts to verify are spread over this many calls.
_VERIFYING_CALLS = 8

# Encoders of this process in the order of their last use, the most recent one last.
_ready: OrderedDict[tuple[str, bool], _core.Encoder | Unsupported] = OrderedDict()
_MAX_READY = 4

logger = logging.getLogger(__name__)


class TextEncoder:
    """Encodes Arrow strings with exactly the ids of the `tokenizers` library."""

    def __init__(
        self,
        loaded: LoadedTokenizer,
        *,
        add_special_tokens: bool = False,
        threads: int | None = None,
        engine: str = "auto",
        verify: int = 0,
    ) -> None:
        """Prepare `loaded` for encoding.

        Args:
            loaded: The tokenizer.
            add_special_tokens: Wrap every text as the tokenizer's own post-processor does.
            threads: Number of threads; None uses all cores available to this process.
            engine: "auto" uses the core for tokenizers that it encodes exactly, and the library for
                texts that the core cannot decide; "library" uses the `tokenizers` library for
                everything. The ids are the same.
            verify: Also encode this many of the texts with the library, spread over the calls, and
                compare the ids.

        Raises:
            InputError: `engine` is unknown, or `threads` is not a valid number.
        """
        check_choice("engine", engine, ENGINES)
        self._tokenizer = loaded.tokenizer
        self._dtype = id_dtype(loaded.id_bound)
        self._threads = thread_count(threads)
        self._add_special_tokens = add_special_tokens
        self._core: _core.Encoder | None = None
        self._verifier = Verifier(loaded.tokenizer, verify, add_special_tokens=add_special_tokens)
        self._before: list[int] = []
        self._after: list[int] = []
        self.reason: str | None = None
        """Why the core is not used; None if it is."""
        if engine == "auto":
            self._enable_core(loaded)
        else:
            self.reason = "engine='library' was requested"

    @property
    def engine(self) -> str:
        """What encodes: the name of a family of the core, such as "WordPiece", or "library"."""
        return LIBRARY if self._core is None else self._core.family

    def _enable_core(self, loaded: LoadedTokenizer) -> None:
        if isinstance(loaded.tokenizer, SlowTokenizer):
            self.reason = "it is written in Python"
            return
        core = _core_for(loaded)
        if isinstance(core, Unsupported):
            self.reason = core.reason
            return
        around = ((), ()) if not self._add_special_tokens else ids_around(loaded.tokenizer)
        if around is None:
            self.reason = "its post-processor does more than put ids around a text"
            return
        self._core = core
        self._before, self._after = list(around[0]), list(around[1])

    def encode(self, texts: pa.Array | pa.ChunkedArray) -> pa.LargeListArray:
        """Encode strings without nulls into one list of token ids per text.

        Args:
            texts: Utf8, LargeUtf8 or Utf8View.

        Returns:
            LargeList<uint16>, or LargeList<uint32> where the vocabulary has more than 65,536 ids.

        Raises:
            InputError: A text is null or not UTF-8, or verification found a text whose ids differ
                from the library's.
        """
        if self._core is None:
            return self._encode_all_with_library(texts)
        encoded = encode_with_core(
            self._core,
            texts,
            (self._before, self._after),
            dtype=self._dtype,
            threads=self._threads,
            encode_rest=lambda rest: self._encode_with_library(_strings(rest), special=False),
        )
        self._verifier.check(texts, encoded)
        return encoded

    def _encode_all_with_library(self, texts: pa.Array | pa.ChunkedArray) -> pa.LargeListArray:
        try:
            lengths, ids = self._encode_with_library(texts, special=self._add_special_tokens)
        except UnicodeDecodeError:
            row = next(row for row in range(len(texts)) if not _is_utf8(texts[row]))
            raise InputError(f"texts: row {row} is not UTF-8: decode the text first") from None
        return _lists(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), ids)

    def _encode_with_library(
        self, texts: pa.Array | pa.ChunkedArray, *, special: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
        return encode_pieces(
            self._tokenizer,
            (piece for chunk in chunks for piece in pieces_of(chunk)),
            dtype=self._dtype,
            add_special_tokens=special,
            threads=self._threads,
        )


class Verifier:
    """Compares a sample of texts with the library, spread over the first calls."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        count: int,
        *,
        add_special_tokens: bool,
        as_read: Callable[[str], str] = str,
    ) -> None:
        """Compare `count` texts in all, each as `as_read` makes it of the document."""
        self._tokenizer = tokenizer
        self._left = count
        self._at_once = -(-count // _VERIFYING_CALLS)
        self._add_special_tokens = add_special_tokens
        self._as_read = as_read

    def check(self, texts: pa.Array | pa.ChunkedArray, encoded: pa.LargeListArray) -> None:
        """Raise InputError if the library encodes one of the texts otherwise."""
        count = min(self._left, self._at_once, len(texts))
        self._left -= count
        for row in np.linspace(0, len(texts) - 1, count).astype(int).tolist():
            text = self._as_read(texts[row].as_py())
            special = self._add_special_tokens
            expected = self._tokenizer.encode(text, add_special_tokens=special).ids
            if encoded[row].as_py() != expected:
                raise InputError(
                    f"The fast path encodes this text otherwise than tokenizers: {text[:200]!r}. "
                    "Please report it, and use --tokenizer-engine library until it is mended."
                )


def encode_with_core(
    core: _core.Encoder | _core.KmerTable,
    texts: pa.Array | pa.ChunkedArray,
    around: tuple[list[int], list[int]],
    *,
    dtype: np.dtype,
    threads: int,
    encode_rest: Callable[[list[str]], tuple[np.ndarray, np.ndarray]],
) -> pa.LargeListArray:
    """Encode strings with the core, and what it leaves with `encode_rest`.

    Args:
        core: An encoder of the core.
        texts: Strings without nulls.
        around: The ids before and after those of each text.
        dtype: uint16 or uint32, of the ids.
        threads: Number of threads.
        encode_rest: From parts of texts to the number of ids of each, and all ids.

    Raises:
        InputError: A text is null or not UTF-8.
    """
    before, after = around
    try:
        partial = core.encode(
            texts, before=before, after=after, narrow=dtype == np.uint16, threads=threads
        )
    except ValueError as error:
        raise InputError(f"texts: {error}") from None
    lengths, ids = encode_rest(partial.pending())
    return _lists(*partial.finish(ids.astype(np.uint32), lengths.astype(np.uintp)))


def is_ready(loaded: LoadedTokenizer) -> bool:
    """Whether this process has already prepared an encoder for this tokenizer."""
    return _key(loaded) in _ready


def _lists(offsets: np.ndarray, ids: np.ndarray) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(arrow_numbers(offsets), arrow_numbers(ids))


def _is_utf8(text: pa.Scalar) -> bool:
    try:
        text.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _strings(texts: list[str]) -> pa.Array:
    if not texts:
        return pa.nulls(0, pa.large_string())
    return pa.array(texts, pa.large_string())


def _key(loaded: LoadedTokenizer) -> tuple[str, bool]:
    return loaded.sha256, loaded.splits_special_tokens


def _core_for(loaded: LoadedTokenizer) -> Any:
    key = _key(loaded)
    core = _ready.pop(key, None)
    if core is None:
        core = verified_encoder(loaded.tokenizer)
        if isinstance(core, Unsupported) and core.unexpected:
            logger.warning(
                "The tokenizer %r is encoded by the tokenizers library: %s", loaded.name, core
            )
    _ready[key] = core
    while len(_ready) > _MAX_READY:
        _ready.popitem(last=False)
    return core
