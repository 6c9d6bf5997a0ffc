"""Documents -> token ids, as one run of `prepare` wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.tokenize import pieces_of, tokenize_batch
from mlmfast.data.tokenizer_files import LoadedTokenizer, id_dtype

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmfast.data.prepare_options import PrepareOptions


class Encoder:
    """A tokenizer with the options of a run. The one place where `prepare` tokenizes."""

    def __init__(self, tokenizer: LoadedTokenizer, options: PrepareOptions) -> None:
        """Encode with `tokenizer`, on as many threads as `options` allow."""
        self._tokenizer = tokenizer
        self._dtype = id_dtype(tokenizer.id_bound)
        self._add_special_tokens = options.special_tokens == "document"
        self._threads = options.threads

    def encode(self, texts: pa.LargeStringArray) -> pa.LargeListArray:
        """Return the ids of documents without nulls, one list each: uint16 or uint32."""
        return tokenize_batch(
            self._tokenizer.tokenizer,
            pieces_of(texts),
            dtype=self._dtype,
            add_special_tokens=self._add_special_tokens,
            threads=self._threads,
        )
