"""Mask options, and the core's masker that they make: `build_masker`."""

from __future__ import annotations

from dataclasses import astuple
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.errors import InputError
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast import _core
    from mlmfast.data.tokenization.word_boundaries import WordBoundaries

_PROBABILITIES = {"mask_replace_prob", "random_replace_prob", "span_probability"}

Mode = Literal["token", "whole_word", "span"]
RandomIds = Literal["all", "ordinary"]


class ModeOptions(TypedDict, total=False):
    """What is masked as a unit, and how much of it; all are optional, see `mask_tokens`."""

    mode: Mode
    word_starts: Any
    span_probability: float
    max_span_length: int
    masks_per_row: int | None
    at_least_one: bool
    random_ids: RandomIds


class StoreModeOptions(ModeOptions, total=False):
    """Those for blocks of a store, whose tokenizer tells where words begin."""

    word_boundaries: WordBoundaries


class MaskOptions(StoreModeOptions, total=False):
    """How masks are drawn; all are optional, see `mask_tokens`."""

    mlm_probability: float | str
    mask_replace_prob: float
    random_replace_prob: float


def build_masker(
    *, mask_token_id: int, vocab_size: int, special_ids: Iterable[int], options: MaskOptions
) -> _core.Masker:
    """Return the core's masker for a vocabulary and options; a repeated call is cheap.

    Args:
        mask_token_id: The mask token's id.
        vocab_size: Number of ids that random words are drawn from.
        special_ids: Ids that are never chosen.
        options: How masks are drawn. `word_starts` may be bytes, one for each id of the vocabulary.

    Raises:
        InputError: An option is unknown, out of its range, or does not fit another.
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
    try:
        if "mlm_probability" in values:
            rate = parse_mask_rate(values["mlm_probability"])
            values["mlm_probability"] = astuple(rate) if isinstance(rate, RowRates) else rate
        for name in _PROBABILITIES & values.keys():
            values[name] = float(values[name])
        return _cached_masker(
            mask_token_id=mask_token_id,
            vocab_size=vocab_size,
            special_ids=tuple(sorted({int(special) for special in special_ids})),
            word_starts=None if starts is None else _as_bytes(starts),
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
def _cached_masker(
    *,
    mask_token_id: int,
    vocab_size: int,
    special_ids: tuple[int, ...],
    mlm_probability: float | tuple[str, float, float] = 0.15,
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


def _as_bytes(starts: Any) -> bytes:
    """Return `word_starts` as bytes, which are hashable: 1 for each id that begins a word."""
    if isinstance(starts, bytes):
        return starts
    array = np.asarray(starts)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise InputError(
            "word_starts must be booleans [vocab_size], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    return array.tobytes()
