"""Encode the texts of a caller, and find their masks, or say what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlmfast.errors import InputError, NoMaskError, TooManyTokensError
from mlmfast.serving.types import MaskedText, SparseText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Encoding

    from mlmfast.serving.text.options import EncodeOptions
    from mlmfast.serving.text.tokenizer import ServingTokenizer

T = TypeVar("T")
# What people write for a mask, whatever the model's is: [MASK], <mask>, {mask}, <|mask|>, ___
_LIKE_A_MASK = re.compile(r"(?i)[\[<{(]\|?\s*mask\s*\|?[\]>})]|_{3,}")
SHOWN = 60
_AROUND_MASKS = (
    ' around its masks: tokenizer_kwargs={"truncation": "around_mask"}, on the command line '
    '--truncate, over HTTP "truncate": true'
)
_AT_THE_END = ': truncate=True, over HTTP "truncate": true'


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a model: tokens of a text (None: no limit), and distinct ids."""

    max_length: int | None
    vocab_size: int


def the_text(_number: int) -> str:
    """Name a single text in messages."""
    return "The text"


def text_number(number: int) -> str:
    """Name one of several texts in messages."""
    return f"Text {number}"


def encode_texts(
    texts: Sequence[Any],
    tokenizer: ServingTokenizer,
    limits: Limits,
    options: EncodeOptions,
    *,
    first: int = 1,
    names: Callable[[int], str] = text_number,
) -> list[MaskedText | InputError]:
    """Tokenize `texts` and find their masks.

    Args:
        texts: strings; anything else is refused.
        tokenizer: the model's tokenizer.
        limits: the model's limits.
        options: special tokens and truncation.
        first: the number of the first text in messages.
        names: what messages call the text of a number.

    Returns:
        For each text a masked text, or a NoMaskError (it has no mask, or truncation cut it away) or
        another InputError (it is no string, no valid Unicode, or longer than the model takes).
    """

    def masked(text: str, encoding: Encoding) -> MaskedText | InputError:
        return _masked_text(text, encoding, tokenizer, limits, options)

    return _encode(texts, tokenizer, limits, options, masked, first, names)


def encode_whole_texts(
    texts: Sequence[Any],
    tokenizer: ServingTokenizer,
    limits: Limits,
    options: EncodeOptions,
    *,
    first: int = 1,
    names: Callable[[int], str] = text_number,
) -> list[SparseText | InputError]:
    """Tokenize `texts` for a sparse encoder; the arguments are those of `encode_texts`.

    Returns:
        For each text its tokens, or an InputError (it is no string, no valid Unicode, or longer
        than the model takes).
    """

    def whole(_text: str, encoding: Encoding) -> SparseText | InputError:
        ids = np.array(encoding.ids, dtype=np.int64)
        error = check_length(ids, limits, _AT_THE_END)
        return error or SparseText(ids, np.array(encoding.type_ids, dtype=np.int64))

    return _encode(texts, tokenizer, limits, options, whole, first, names)


def _encode(
    texts: Sequence[Any],
    tokenizer: ServingTokenizer,
    limits: Limits,
    options: EncodeOptions,
    make: Callable[[str, Encoding], T | InputError],
    first: int,
    names: Callable[[int], str],
) -> list[T | InputError]:
    """Tokenize texts, and make of each encoding what a graph takes."""
    encoded: list[T | InputError] = [_not_a_text(text) or _PENDING for text in texts]
    valid = [index for index, error in enumerate(encoded) if error is _PENDING]
    strings = [texts[index] for index in valid]
    encodings = tokenizer.encode(strings, options, limits.max_length) if strings else []
    for index, encoding in zip(valid, encodings, strict=True):
        encoded[index] = (
            InputError(f"is too long, and cannot be cut: {encoding}")
            if isinstance(encoding, InputError)
            else make(texts[index], encoding)
        )
    return [
        _named(text, texts[index], names(first + index)) if isinstance(text, InputError) else text
        for index, text in enumerate(encoded)
    ]


def raise_first_error(encoded: Sequence[T | InputError]) -> list[T]:
    """Raise the first error, if there is one; missing masks come after all other errors."""
    errors = [text for text in encoded if isinstance(text, InputError)]
    if errors:
        raise next((e for e in errors if not isinstance(e, NoMaskError)), errors[0])
    return [text for text in encoded if not isinstance(text, InputError)]


def check_length(ids: np.ndarray, limits: Limits, cut: str = _AROUND_MASKS) -> InputError | None:
    """Return what is wrong with the ids of a text: too many, or unknown to the model.

    Args:
        ids: the ids.
        limits: the limits.
        cut: how a text is cut, for the message.
    """
    if limits.max_length is not None and len(ids) > limits.max_length:
        return TooManyTokensError(
            f"has {len(ids)} tokens, and this model takes at most {limits.max_length}. Shorten it, "
            f"or have it cut{cut}.",
            tokens=len(ids),
            max_tokens=limits.max_length,
        )
    if len(ids) and ids.max() >= limits.vocab_size:
        return InputError(
            f"has the token {int(ids.max())}, and this model knows {limits.vocab_size}: the "
            "tokenizer beside the graph belongs to another model."
        )
    return None


def check_text(text: object, name: str) -> InputError | None:
    """Return why `text` cannot be tokenized: it is no string, or no valid Unicode."""
    error = _not_a_text(text)
    return error and _named(error, text, name)


_PENDING = InputError("not encoded yet")


def _masked_text(
    text: str,
    encoding: Encoding,
    tokenizer: ServingTokenizer,
    limits: Limits,
    options: EncodeOptions,
) -> MaskedText | InputError:
    ids = np.array(encoding.ids, dtype=np.int64)
    masks = np.flatnonzero(ids == tokenizer.mask_id)
    if not len(masks):
        return NoMaskError(_no_mask(text, tokenizer.mask_token, options))
    error = check_length(ids, limits)
    return error or MaskedText(ids, np.array(encoding.type_ids, dtype=np.int64), masks)


def _named(error: InputError, text: object, name: str) -> InputError:
    """Put the text's name and its first characters before the message of an error."""
    if isinstance(text, str) and text.strip() and "surrogate" not in str(error):
        name += f' "{text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."}"'
    return error.prefixed(name)


def _not_a_text(text: object) -> InputError | None:
    if not isinstance(text, str):
        return InputError(
            f"must be a string, and is of type {type(text).__name__}. "
            "Give one string or a list of strings."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return InputError(
            f"is no valid Unicode: the character at {error.start} is half of a surrogate pair, as "
            "broken JSON or wrongly decoded bytes leave it."
        )
    return None


def _no_mask(text: str, mask: str, options: EncodeOptions) -> str:
    if not text.strip():
        return f"is empty: write {mask} in a text where this model shall fill in a word."
    if options.truncation and mask in text:
        return (
            f"has lost its mask: {mask} lies in the part that was cut off for its length. "
            'truncation="around_mask" keeps it.'
        )
    other = _LIKE_A_MASK.search(text)
    if other:
        return f"has no mask token: this model's is {mask}, so write {mask} for {other[0]}."
    return f"has no mask token: write {mask} where this model shall fill in a word."
