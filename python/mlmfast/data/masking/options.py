"""The options of the masks, and the core's masker made from them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from mlmfast import _core

Mode = Literal["token", "whole_word", "span"]
RandomIds = Literal["all", "ordinary"]


class ModeOptions(TypedDict, total=False):
    """What is chosen as one, and how much; each may be left out. `mask_tokens` explains each."""

    mode: Mode
    word_starts: Any
    span_probability: float
    max_span_length: int
    masks_per_row: int | None
    at_least_one: bool
    random_ids: RandomIds


class MaskOptions(ModeOptions, total=False):
    """How masks are drawn; every option may be left out."""

    mlm_probability: float
    mask_replace_prob: float
    random_replace_prob: float


def masker_for(
    *, mask_token_id: int, vocab_size: int, special_ids: Any, options: MaskOptions
) -> _core.Masker:
    """The core's masker for the vocabulary and options.

    Raises:
        InputError: An option that is unknown, out of its range, or does not fit another.
    """
    values: dict[str, Any] = dict(options)
    starts = values.pop("word_starts", None)
    mode = values.get("mode", "token")
    if mode == "whole_word" and starts is None:
        raise InputError(
            "mode='whole_word' needs word_starts: mlmfast.data.tokenization.word_boundaries."
            "word_starts(tokenizer, vocab_size) makes them from the vocabulary"
        )
    if mode == "token" and starts is not None:
        raise InputError("word_starts goes with mode='whole_word' or mode='span', not 'token'")
    random_ids = values.pop("random_ids", "all")
    check_choice("random_ids", random_ids, ("all", "ordinary"), quoted=True)
    for name in ("mlm_probability", "mask_replace_prob", "random_replace_prob", "span_probability"):
        if name in values:
            values[name] = float(values[name])
    try:
        return make_masker(
            mask_token_id=mask_token_id,
            vocab_size=vocab_size,
            special_ids=tuple(sorted({int(special) for special in special_ids})),
            word_starts=None if starts is None else _flags(starts),
            random_specials=random_ids == "all",
            **values,
        )
    except OverflowError:
        raise InputError(
            "ids and counts must be between 0 and 2^32 - 1; got "
            f"mask_token_id {mask_token_id}, vocab_size {vocab_size}, {values}"
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from None


@lru_cache(maxsize=32)
def make_masker(
    *,
    mask_token_id: int,
    vocab_size: int,
    special_ids: tuple[int, ...],
    mlm_probability: float = 0.15,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
    mode: str = "token",
    word_starts: bytes | None = None,
    span_probability: float = 0.2,
    max_span_length: int = 10,
    masks_per_row: int | None = None,
    at_least_one: bool = False,
    random_specials: bool = True,
) -> _core.Masker:
    """The core's masker for these options; options that were seen lately are not checked again.

    Args:
        word_starts: One byte an id of the vocabulary, 1 where it begins a word.
        random_specials: Whether random words may be special.

    Raises:
        ValueError, TypeError, OverflowError: An option that cannot be.
    """
    from mlmfast import _core

    starts = None if word_starts is None else np.frombuffer(word_starts, dtype=np.bool_)
    return _core.Masker(
        mask_token_id=mask_token_id,
        vocab_size=vocab_size,
        special_ids=list(special_ids),
        mode=mode,
        word_starts=starts,
        span_probability=span_probability,
        max_span_length=max_span_length,
        mlm_probability=mlm_probability,
        masks_per_row=masks_per_row,
        at_least_one=at_least_one,
        mask_replace_prob=mask_replace_prob,
        random_replace_prob=random_replace_prob,
        random_specials=random_specials,
    )


def _flags(starts: Any) -> bytes:
    if isinstance(starts, bytes):
        return starts
    array = np.asarray(starts)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise InputError(
            "word_starts must be booleans [vocab_size], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    return array.tobytes()
