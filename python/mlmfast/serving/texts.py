"""Texts as they come from a caller, turned into ids with known masks, or refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, NoMaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.options import EncodeOptions
    from mlmfast.serving.vocabulary import Vocabulary

# What people type for a mask, whatever the model: [MASK], <mask>, {mask}, <|mask|>, ___
LIKE_A_MASK = re.compile(r"(?i)[\[<{(]\|?\s*mask\s*\|?[\]>})]|_{3,}")
SHOWN = 60


@dataclass(frozen=True, slots=True)
class MaskedText:
    """One text, ready for the graph.

    Attributes:
        ids: token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        masks: positions of the masks, int64 [masks], ascending, at least one.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True, slots=True)
class Limits:
    """What the model takes: tokens in a text (None: no limit) and distinct ids."""

    max_length: int | None
    vocab_size: int


def read_texts(
    texts: Sequence[Any],
    vocabulary: Vocabulary,
    limits: Limits,
    options: EncodeOptions,
    *,
    first: int | None,
) -> list[MaskedText]:
    """Tokenize `texts` and find their masks.

    Args:
        texts: strings; anything else is refused.
        vocabulary: the model's tokenizer.
        limits: what the model takes.
        options: special tokens and truncation.
        first: the number of the first text in messages, counted from 1; None: it is the only one.

    Raises:
        NoMaskError: a text has no mask, or truncation cut it away.
        InputError: a text is no string, no valid Unicode, or longer than the model takes.
    """
    names = [_name(text, first and first + index) for index, text in enumerate(texts)]
    for name, text in zip(names, texts, strict=True):
        _require_text(name, text)
    read = []
    for name, text, encoding in zip(
        names, texts, vocabulary.encode(texts, options) if texts else [], strict=True
    ):
        ids = np.array(encoding.ids, dtype=np.int64)
        masks = np.flatnonzero(ids == vocabulary.mask_id)
        if not len(masks):
            raise NoMaskError(_no_mask(name, text, vocabulary.mask_token, options))
        if limits.max_length is not None and len(ids) > limits.max_length:
            raise InputError(
                f"{name} has {len(ids)} tokens, and this model takes at most {limits.max_length}. "
                'Shorten it, or have it cut: tokenizer_kwargs={"truncation": True}, on the command '
                "line --truncate."
            )
        if ids.max() >= limits.vocab_size:
            raise InputError(
                f"{name} has the token {int(ids.max())}, and this model knows {limits.vocab_size}: "
                "the tokenizer beside model.onnx belongs to another model."
            )
        read.append(MaskedText(ids, np.array(encoding.type_ids, dtype=np.int64), masks))
    return read


def _name(text: object, number: int | None) -> str:
    """How a message calls a text: `The text "..."` or `Text 3 "..."`."""
    called = "The text" if number is None else f"Text {number}"
    if not isinstance(text, str):
        return called
    return f'{called} "{text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."}"'


def _require_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise InputError(
            f"{name} must be a string, and is of type {type(text).__name__}. "
            "Give one string or a list of strings."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        called = name.partition(' "')[0]
        raise InputError(
            f"{called} is no valid Unicode: the character at {error.start} is half of a surrogate "
            "pair, as broken JSON or wrongly decoded bytes leave it."
        ) from error


def _no_mask(name: str, text: str, mask: str, options: EncodeOptions) -> str:
    if options.truncation and mask in text:
        return f"{name} has lost its mask: {mask} lies in the part that was cut off for its length."
    other = LIKE_A_MASK.search(text)
    if other:
        return f"{name} has no mask token: this model's is {mask}, so write {mask} for {other[0]}."
    return f"{name} has no mask token: write {mask} where this model shall fill in a word."
