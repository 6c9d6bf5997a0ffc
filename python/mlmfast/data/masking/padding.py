"""Pad rows of different lengths to a batch, as transformers' collators do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mlmfast.data.masking.frameworks import Framework, to_tensor
from mlmfast.errors import InputError


def pad_mappings(
    examples: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    multiple: int | None,
    framework: Framework,
) -> Any:
    """Pad rows of named columns with the tokenizer's own `pad`.

    Args:
        examples: One mapping per row; columns that `pad` does not know must have one shape.
        tokenizer: A transformers tokenizer.
        multiple: Pad to a multiple of this many tokens.
        framework: The kind of tensors to return.

    Returns:
        A `BatchEncoding` of tensors or arrays `[B, L]`.
    """
    if (stacked := _stack(examples, tokenizer, multiple, framework)) is not None:
        from transformers import BatchEncoding

        return BatchEncoding({name: to_tensor(rows, framework) for name, rows in stacked.items()})
    # `pad` warns once that calling the tokenizer itself would be quicker, which does not help users
    # whose text is tokenized already.
    warned = getattr(tokenizer, "deprecation_warnings", {})
    name = "Asking-to-pad-a-fast-tokenizer"
    was_warned = warned.get(name, False)
    warned[name] = True
    try:
        return tokenizer.pad(list(examples), return_tensors=framework, pad_to_multiple_of=multiple)
    finally:
        warned[name] = was_warned


def _stack(
    examples: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    multiple: int | None,
    framework: Framework,
) -> dict[str, np.ndarray] | None:
    """Stack rows that need no padding, ten times as fast as `pad`; None for other rows."""
    first = examples[0]
    length = len(first.get("input_ids", ()))
    stackable = (
        length > 0
        and length % (multiple or 1) == 0
        and all(example.keys() == first.keys() for example in examples)
        and all(len(example["input_ids"]) == length for example in examples)
        # A tokenizer with its own `pad` may add columns of its own.
        and _has_standard_pad(type(tokenizer))
    )
    if not stackable:
        return None
    columns = {name: [example[name] for example in examples] for name in first}
    try:
        stacked = {name: np.asarray(rows) for name, rows in columns.items()}
    except ValueError:  # ragged: `pad` raises the better error
        return None
    if any(array.dtype.kind not in "iu" for array in stacked.values()):
        return None
    # Lists of Python's numbers become int32 in TensorFlow, and int64 in torch.
    list_type = np.int32 if framework == "tf" else np.int64
    types = {name: np.int64 if hasattr(first[name], "dtype") else list_type for name in first}
    if "attention_mask" not in stacked and "attention_mask" in tokenizer.model_input_names:
        stacked["attention_mask"] = np.ones_like(stacked["input_ids"])
        types["attention_mask"] = list_type
    return {name: array.astype(types[name], copy=False) for name, array in stacked.items()}


def _has_standard_pad(tokenizer_class: type) -> bool:
    from transformers import PreTrainedTokenizerBase

    return all(
        getattr(tokenizer_class, name) is getattr(PreTrainedTokenizerBase, name)
        for name in ("pad", "_pad")
    )


def without_columns(
    rows: Sequence[Mapping[str, Any]], names: Collection[str]
) -> Sequence[Mapping[str, Any]]:
    """Return the rows without the columns `names`; unchanged rows are not copied."""
    if not any(name in row for row in rows for name in names):
        return rows
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def pad_offsets(
    rows: Sequence[Mapping[str, Any]], length: int, padding_side: str
) -> np.ndarray | None:
    """Pad the rows' `offset_mapping` with (0, 0); return None if a row has none.

    Args:
        rows: One mapping per row, offsets `[tokens, 2]`.
        length: Tokens in a padded row.
        padding_side: `"right"` or `"left"`.

    Returns:
        int64 `[B, length, 2]`.
    """
    if not all("offset_mapping" in row for row in rows):
        return None
    batch = np.zeros((len(rows), length, 2), np.int64)
    for out, row in zip(batch, rows, strict=True):
        offsets = np.asarray(row["offset_mapping"]).reshape(-1, 2)
        if padding_side == "right":
            out[: len(offsets)] = offsets
        else:
            out[length - len(offsets) :] = offsets
    return batch


def pad_lists(rows: Sequence[Any], tokenizer: Any, multiple: int | None) -> np.ndarray:
    """Stack rows of ids (lists, numpy arrays, tensors), and pad the shorter ones.

    Returns:
        `[B, L]`, where L is the length of the longest row, rounded up to a multiple of `multiple`.
        The dtype is that of the rows; for lists int64.

    Raises:
        InputError: Padding is needed and the tokenizer has no padding token.
    """
    arrays = [np.asarray(row) if hasattr(row, "dtype") else np.array(row, np.int64) for row in rows]
    longest = max(len(row) for row in arrays)
    length = longest if multiple is None else -(-longest // multiple) * multiple
    if all(len(row) == length for row in arrays):
        return np.stack(arrays)
    if tokenizer.pad_token is None:
        raise InputError(
            "the rows differ in length and the tokenizer "
            f"{tokenizer.name_or_path or type(tokenizer).__name__!r} has no padding token: add "
            "one, or give rows of equal length (group_blocks cuts them)"
        )
    batch = np.full((len(arrays), length), tokenizer.pad_token_id, dtype=arrays[0].dtype)
    for out, row in zip(batch, arrays, strict=True):
        if tokenizer.padding_side == "right":
            out[: len(row)] = row
        else:
            out[length - len(row) :] = row
    return batch
