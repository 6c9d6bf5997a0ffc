"""The keywords of a call, and their checks."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUNCATIONS = (True, "longest_first", "only_first")
# Not in transformers, whose truncation may remove the masks.
_AROUND_MASK = "around_mask"
_KEYWORDS = ("add_special_tokens", "truncation", "max_length")
_NO_TRUNCATION = (False, None, "do_not_truncate")


@dataclass(frozen=True)
class EncodeOptions:
    """How texts are encoded: the keywords of a tokenizer that can change an answer.

    Attributes:
        add_special_tokens: put the model's special tokens around the text.
        truncation: truncate a text that is too long.
        around_mask: truncate it at both ends, so that its masks stay.
        max_length: tokens to truncate to, special tokens included; None: as many as the model
            takes.
    """

    add_special_tokens: bool = True
    truncation: bool = False
    around_mask: bool = False
    max_length: int | None = None

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any] | None) -> EncodeOptions:
        """Read `tokenizer_kwargs`.

        Raises:
            TypeError: a keyword is not known, or `max_length` is no integer.
            InputError: a value is not allowed.
        """
        keywords = dict(keywords or {})
        unknown = sorted(keywords.keys() - set(_KEYWORDS))
        if unknown:
            raise TypeError(
                f"tokenizer_kwargs has no {unknown[0]!r}; known are {', '.join(_KEYWORDS)} "
                "(padding never changes an answer)"
            )
        length = keywords.get("max_length")
        if length is not None and (length := operator.index(length)) < 1:
            raise InputError(f"max_length must be at least 1, and is {length}.")
        # As in transformers, max_length without truncation truncates.
        truncation = keywords.get("truncation", None if length is None else True)
        if truncation not in (*TRUNCATIONS, _AROUND_MASK, *_NO_TRUNCATION):
            raise InputError(
                "truncation must be True, False, 'around_mask', 'longest_first', 'only_first' or "
                f"'do_not_truncate', and is {truncation!r}."
            )
        return cls(
            add_special_tokens=bool(keywords.get("add_special_tokens", True)),
            truncation=truncation in (*TRUNCATIONS, _AROUND_MASK),
            around_mask=truncation == _AROUND_MASK,
            max_length=length,
        )


def rows_per_mask(top_k: int | None, vocabulary: int, targets: int | None) -> int:
    """Return how many rows a mask gets: `top_k` (None: 5), at most one for each target.

    Raises:
        TypeError: `top_k` is no integer.
        InputError: `top_k` is below 0, or above the size of the vocabulary if there are no targets.
    """
    rows = 5 if top_k is None else operator.index(top_k)
    if rows < 0 or (targets is None and rows > vocabulary):
        raise InputError(
            f"top_k must lie between 0 and {vocabulary}, the size of the vocabulary, and is {rows}."
        )
    return rows if targets is None else min(rows, targets)


def keeps_errors(on_error: str) -> bool:
    """Return whether errors take the place of answers.

    Raises:
        InputError: `on_error` is neither "raise" nor "return".
    """
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error must be raise or return, and is {on_error!r}.")
    return on_error == "return"


def checked_batch_size(batch_size: int | None) -> int | None:
    """Check and return `batch_size`.

    Raises:
        TypeError: it is no integer.
        InputError: it is below 1.
    """
    if batch_size is not None and (batch_size := operator.index(batch_size)) < 1:
        raise InputError(f"batch_size must be at least 1, and is {batch_size}.")
    return batch_size
