"""A tokenizer made ready for much text: the fast core where it is exact, the library elsewhere."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_numpy import arrow_numbers
from mlmfast.data.tokenization.hf_encoder import encode_pieces, pieces_of
from mlmfast.data.tokenization.load import id_dtype
from mlmfast.data.tokenization.options import ENGINES
from mlmfast.data.tokenization.parity import Unsupported, verified_encoder
from mlmfast.data.tokenization.slow import SlowTokenizer
from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.runtime.cpu import thread_count

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mlmfast.data.tokenization.load import LoadedTokenizer

# Less text than this is encoded by the library sooner than a tokenizer is made ready for more.
LITTLE = 1 << 21
LIBRARY = "library"

# Texts to verify are spread over so many calls.
_VERIFYING_CALLS = 8

# Tokenizers that were made ready in this process, the last used last.
_ready: OrderedDict[tuple[str, bool], _core.Encoder | Unsupported] = OrderedDict()
_READY_AT_MOST = 4

logger = logging.getLogger(__name__)


class TextEncoder:
    """Encodes Arrow strings with one tokenizer, exactly as its library does."""

    def __init__(
        self,
        loaded: LoadedTokenizer,
        *,
        add_special_tokens: bool = False,
        threads: int | None = None,
        engine: str = "auto",
        verify: int = 0,
    ) -> None:
        """Make `loaded` ready.

        Args:
            loaded: The tokenizer.
            add_special_tokens: Wrap every text as the tokenizer's own post-processor does.
            threads: How many threads; None takes all cores this process may use.
            engine: "auto" takes the fast core where the tokenizer is one that it encodes exactly,
                and the library for whatever the core is not certain of; "library" takes the
                `tokenizers` library for everything. The ids are the same.
            verify: Encode so many of the texts by the library as well, spread over the calls, and
                compare.

        Raises:
            InputError: No such engine, or no such number of threads.
        """
        check_choice("engine", engine, ENGINES)
        self._tokenizer = loaded.tokenizer
        self._dtype = id_dtype(loaded.id_bound)
        self._threads = thread_count(threads)
        self._add_special_tokens = add_special_tokens
        self._core: _core.Encoder | None = None
        self._to_verify = verify
        self._verify_at_once = -(-verify // _VERIFYING_CALLS)
        self._before: list[int] = []
        self._after: list[int] = []
        self.reason: str | None = None
        """Why the library does it all, where it does."""
        if engine == "auto":
            self._make_fast(loaded)
        else:
            self.reason = "it was asked for"

    @property
    def engine(self) -> str:
        """Who encodes: "byte-level BPE", "WordPiece" or "Unigram" of our core, or "library"."""
        return LIBRARY if self._core is None else self._core.family

    def _make_fast(self, loaded: LoadedTokenizer) -> None:
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
        """Token ids of strings without nulls, one list a text.

        Args:
            texts: Utf8, LargeUtf8 or Utf8View.

        Returns:
            LargeList<uint16>, or LargeList<uint32> where the vocabulary has more than 65,536 ids.

        Raises:
            InputError: A null, or a text that is not UTF-8; a text that was to be verified, and is
                encoded otherwise by the library.
        """
        if self._core is None:
            return self._encode_by_library(texts)
        try:
            found = self._core.encode(
                texts,
                before=self._before,
                after=self._after,
                narrow=self._dtype == np.uint16,
                threads=self._threads,
            )
        except ValueError as error:
            raise InputError(f"texts: {error}") from None
        lengths, ids = self._by_library(_strings(found.pending()), special=False)
        encoded = _lists(*found.finish(ids.astype(np.uint32), lengths.astype(np.uintp)))
        if self._to_verify:
            self._verify(texts, encoded)
        return encoded

    def _verify(self, texts: pa.Array | pa.ChunkedArray, encoded: pa.LargeListArray) -> None:
        """Raise InputError where the library answers otherwise."""
        count = min(self._to_verify, self._verify_at_once, len(texts))
        self._to_verify -= count
        for row in np.linspace(0, len(texts) - 1, count).astype(int).tolist():
            text = texts[row].as_py()
            special = self._add_special_tokens
            expected = self._tokenizer.encode(text, add_special_tokens=special).ids
            if encoded[row].as_py() != expected:
                raise InputError(
                    f"The fast path encodes this text otherwise than tokenizers: {text[:200]!r}. "
                    "Please report it, and use --tokenizer-engine library until it is mended."
                )

    def _encode_by_library(self, texts: pa.Array | pa.ChunkedArray) -> pa.LargeListArray:
        try:
            lengths, ids = self._by_library(texts, special=self._add_special_tokens)
        except UnicodeDecodeError:
            row = next(row for row in range(len(texts)) if not _is_utf8(texts[row]))
            raise InputError(f"texts: row {row} is not UTF-8: decode the text first") from None
        return _lists(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), ids)

    def _by_library(
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


def is_ready(loaded: LoadedTokenizer) -> bool:
    """Tell if this tokenizer was made ready in this process before."""
    return _key(loaded) in _ready


def ids_around(tokenizer: Tokenizer) -> tuple[list[int], list[int]] | None:
    """Ids that the post-processor puts before and after a text; None where it does more."""

    def ids(text: str, special: bool) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=special).ids

    plain, whole = ids("a b", False), ids("a b", True)
    for at in range(len(whole) - len(plain) + 1):
        before, after = whole[:at], whole[at + len(plain) :]
        if all(ids(text, True) == [*before, *ids(text, False), *after] for text in _PROBES):
            return before, after
    return None


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


_PROBES = ("a b", "", " ", "Ein Satz, und noch einer.", "b", "a a a a a a a a")


def _key(loaded: LoadedTokenizer) -> tuple[str, bool]:
    return loaded.sha256, loaded.splits_special_tokens


def _core_for(loaded: LoadedTokenizer) -> Any:
    key = _key(loaded)
    found = _ready.pop(key, None)
    if found is None:
        found = verified_encoder(loaded.tokenizer)
        if isinstance(found, Unsupported) and found.surprising:
            logger.warning("The tokenizer %r is encoded by its library: %s", loaded.name, found)
    _ready[key] = found
    while len(_ready) > _READY_AT_MOST:
        _ready.popitem(last=False)
    return found
