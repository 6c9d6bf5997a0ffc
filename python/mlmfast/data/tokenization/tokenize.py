"""Text -> token ids in Arrow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mlmfast.data.arrow_text import plain_text
from mlmfast.data.tokenization.encoder import MIN_BYTES_FOR_CORE, TextEncoder, is_ready
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError


def tokenize(
    texts: Any,
    tokenizer: Any,
    *,
    add_special_tokens: bool = False,
    threads: int | None = None,
) -> pa.LargeListArray:
    """Encode `texts` into one list of token ids per text.

    Args:
        texts: A list of strings, or strings in Arrow (anything with `__arrow_c_array__` or
            `__arrow_c_stream__`: a pyarrow or polars column ...), without nulls.
        tokenizer: A folder, a `tokenizer.json`, a Hub name, a `tokenizers.Tokenizer` or a
            `transformers.PreTrainedTokenizerFast`.
        add_special_tokens: Wrap every text as the tokenizer's own post-processor does
            (`<s> ... </s>`).
        threads: Number of threads; None uses all cores available to this process, or one if
            `TOKENIZERS_PARALLELISM` is false. The result does not depend on it.

    Returns:
        LargeList<uint16>, or LargeList<uint32> where the vocabulary has more than 65,536 ids.

    Raises:
        InputError: A text is null or not a string, or the tokenizer cannot be used.
        NotFoundError: The tokenizer does not exist.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "blue": 2}, unk_token="[UNK]"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenize(["red blue", "", "green"], words).to_pylist()
    [[1, 2], [], [0]]
    """
    column = _column(texts)
    loaded = load_tokenizer(tokenizer)
    use_library = column.nbytes < MIN_BYTES_FOR_CORE and not is_ready(loaded)
    encoder = TextEncoder(
        loaded,
        add_special_tokens=add_special_tokens,
        threads=threads,
        engine="library" if use_library else "auto",
    )
    return encoder.encode(column)


def _column(texts: Any) -> pa.Array | pa.ChunkedArray:
    """Return `texts` as an Arrow column of strings without nulls."""
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
        if pa.types.is_dictionary(column.type):
            column = pa.chunked_array(map(plain_text, column.chunks), pa.large_string())
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise InputError(f"texts must hold no nulls; row {row} is null.")
        return column.cast(pa.large_string()) if pa.types.is_null(column.type) else column
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts must hold strings; row {row} is {type(text).__name__}.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"texts: row {row} holds half of a surrogate pair "
                f"(\\u{ord(text[error.start]):04x}), which is no character: replace it first."
            ) from None
    return pa.array(texts, pa.large_string())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )
