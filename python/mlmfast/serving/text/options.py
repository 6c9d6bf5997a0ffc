"""The keywords of a call, checked once."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

CUTS = (True, "longest_first", "only_first")
# Ours: the cut leaves the masks in the middle, where transformers' may cut them away.
_AROUND_MASK = "around_mask"
_KEYWORDS = ("add_special_tokens", "truncation", "max_length")
_NO_CUTS = (False, None, "do_not_truncate")


@dataclass(frozen=True)
class EncodeOptions:
    """How texts become ids: the part of a tokenizer's keywords that can change an answer.

    Attributes:
        add_special_tokens: put the model's own tokens around the text.
        truncation: cut a text that is too long.
        around_mask: cut both of its ends, so that its masks stay.
        max_length: tokens to cut to, special tokens included; None: as long as the model takes.
    """

    add_special_tokens: bool = True
    truncation: bool = False
    around_mask: bool = False
    max_length: int | None = None

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any] | None) -> EncodeOptions:
        """Read `tokenizer_kwargs`.

        Raises:
            TypeError: a keyword that is not known, or a `max_length` that is no integer.
            InputError: a value that means nothing.
        """
        given = dict(keywords or {})
        unknown = sorted(given.keys() - set(_KEYWORDS))
        if unknown:
            raise TypeError(
                f"tokenizer_kwargs has no {unknown[0]!r}; known are {', '.join(_KEYWORDS)} "
                "(padding never changes an answer)"
            )
        length = given.get("max_length")
        if length is not None and (length := operator.index(length)) < 1:
            raise InputError(f"max_length must be at least 1, and is {length}.")
        # A max_length alone cuts, as in transformers.
        truncation = given.get("truncation", None if length is None else True)
        if truncation not in (*CUTS, _AROUND_MASK, *_NO_CUTS):
            raise InputError(
                "truncation must be True, False, 'around_mask', 'longest_first', 'only_first' or "
                f"'do_not_truncate', and is {truncation!r}."
            )
        return cls(
            add_special_tokens=bool(given.get("add_special_tokens", True)),
            truncation=truncation in (*CUTS, _AROUND_MASK),
            around_mask=truncation == _AROUND_MASK,
            max_length=length,
        )


def rows_wanted(top_k: int | None, vocabulary: int, targets: int | None) -> int:
    """How many rows a mask gets: `top_k` (None: 5), never more than there are targets.

    Raises:
        TypeError: `top_k` is no integer.
        InputError: `top_k` is below 0, or above the vocabulary where no targets cap it.
    """
    rows = 5 if top_k is None else operator.index(top_k)
    if rows < 0 or (targets is None and rows > vocabulary):
        raise InputError(
            f"top_k must lie between 0 and {vocabulary}, the size of the vocabulary, and is {rows}."
        )
    return rows if targets is None else min(rows, targets)


def keeps_errors(on_error: str) -> bool:
    """Tell whether errors take the place of answers.

    Raises:
        InputError: `on_error` is neither "raise" nor "return".
    """
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error must be raise or return, and is {on_error!r}.")
    return on_error == "return"


def checked_batch_size(batch_size: int | None) -> int | None:
    """Return `batch_size`.

    Raises:
        TypeError: it is no integer.
        InputError: it is below 1.
    """
    if batch_size is not None and (batch_size := operator.index(batch_size)) < 1:
        raise InputError(f"batch_size must be at least 1, and is {batch_size}.")
    return batch_size
