"""Masked batches: `mask_tokens`."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, NamedTuple, cast

import numpy as np

from mlmfast.data.masking.options import Mode, RandomIds, build_masker
from mlmfast.data.masking.table import TokenTable, bare_matrix
from mlmfast.errors import InputError, InputTypeError


class MaskedBatch(NamedTuple):
    """A batch ready for a masked language model.

    Attributes:
        input_ids: int64 or int32 `[B, L]`, the ids with the chosen tokens replaced.
        labels: The same type and shape, the original ids of the chosen tokens, -100 elsewhere;
            with `labels_at_positions` `[M]`, the original ids at the positions alone.
        positions: int64 `[M]`, the chosen positions, ascending, flat into `B * L`.
    """

    input_ids: Any
    labels: Any
    positions: Any


def mask_tokens(
    input_ids: Any,
    *,
    mask_token_id: int,
    vocab_size: int,
    special_ids: Collection[int] = (),
    special_tokens_mask: Any = None,
    mlm_probability: float = 0.15,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
    mode: Mode = "token",
    word_starts: Any = None,
    span_probability: float = 0.2,
    max_span_length: int = 10,
    masks_per_row: int | None = None,
    at_least_one: bool = False,
    random_ids: RandomIds = "all",
    seed: int = 0,
    epoch: int = 0,
    block_ids: Any = None,
    labels_at_positions: bool = False,
    dtype: Any = None,
    out: tuple[Any, Any] | None = None,
    threads: int | None = None,
) -> Any:
    """Choose tokens and hide them, with the distribution of BERT and of Hugging Face's collator.

    Every token that is not special is chosen with `mlm_probability`; of the chosen ones a share of
    `mask_replace_prob` becomes the mask token, a share of `random_replace_prob` a word drawn
    uniformly from the vocabulary, and the rest stays as it is.

    The masks are a pure function of (seed, epoch, block id, position): they do not change with the
    number of threads, workers or ranks, the size of the batch or its order. The draws are a
    documented format (docs/masks.md).

    Args:
        input_ids: Token ids `[B, L]`: a numpy array (uint8, uint16, uint32, int16, int32, int64),
            a torch tensor on the CPU, or an Arrow column (pyarrow, polars ...) of lists of one
            length. Or a table with such a column `input_ids`: a pyarrow Table or RecordBatch, a
            polars DataFrame, a `datasets.Dataset`, a `BlockStore`, or anything else with
            `__arrow_c_stream__`. It is not changed.
        mask_token_id: The mask token's id.
        vocab_size: Number of ids, the tokenizer's added tokens included (`len(tokenizer)`).
        special_ids: Ids that are never chosen.
        special_tokens_mask: `[B, L]`, true where a token must not be chosen, besides `special_ids`;
            None takes a table's column of that name.
        mlm_probability: Share of the tokens to choose, in 0..1.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word.
        mode: What is chosen as one: `"token"`; `"whole_word"`, all tokens of a word, each replaced
            on its own; `"span"` (SpanBERT, Joshi et al. 2020), runs of tokens or words until the
            share of the row is reached, each run replaced as one.
        word_starts: bool `[vocab_size]`, whether an id begins a word; for whole words, and for
            spans of words. `mlmfast.data.tokenization.word_boundaries.word_starts` makes it.
        span_probability: Parameter of the spans' geometric lengths.
        max_span_length: The longest span, in tokens or words.
        masks_per_row: Choose exactly so many tokens a row, every set of them alike (all where a row
            has fewer), in place of `mlm_probability`; not for whole words.
        at_least_one: Where nothing of a row would be chosen, choose one token (or word) of it.
        random_ids: What random words are drawn from: `"all"` ids of the vocabulary, as Hugging Face
            does, or the `"ordinary"` ones, without `special_ids` and the mask token.
        seed: Seed of the run, 0 to 2^64 - 1.
        epoch: Number of the epoch; another epoch gives other masks.
        block_ids: `[B]`, the rows' numbers in the whole data set; None for 0 to B - 1.
        labels_at_positions: Give the labels at the chosen positions alone, `[M]`.
        dtype: int64 (the default) or int32, of numpy or torch, for ids and labels.
        out: Two arrays (or tensors) `[B, L]`, both int64 or both int32, to write `input_ids` and
            `labels` to; with `labels_at_positions` the second is None.
        threads: Threads at most; None for as many as the machine has and the batch is worth.

    Returns:
        A `MaskedBatch` of torch tensors where `input_ids` (or `out`) is a tensor, else of numpy
        arrays. A table comes back as a table of its kind (a `BlockStore` as a pyarrow Table): the
        column `input_ids` masked, a column `labels` added or replaced, the others as they were, but
        for `special_tokens_mask`, which has done its work; the positions are those where `labels`
        is not -100.

    Raises:
        InputError: A probability outside of 0..1, an id outside of the vocabulary (the message
            names row, position and value), shapes or options that do not fit each other, rows of
            different lengths, nulls, a table without `input_ids`.
        InputTypeError: Ids that are no integers.

    Examples:
        >>> import numpy as np
        >>> ids = np.arange(5, 25, dtype=np.uint16).reshape(2, 10)
        >>> batch = mask_tokens(ids, mask_token_id=4, vocab_size=30, mlm_probability=0.3, seed=1)
        >>> bool(((batch.labels == ids) == (batch.labels != -100)).all())
        True
        >>> bool((batch.labels.ravel()[batch.positions] == ids.ravel()[batch.positions]).all())
        True
    """
    table = TokenTable.of(input_ids)
    if table is not None and (out is not None or labels_at_positions):
        raise InputError(
            "out and labels_at_positions go with arrays and tensors; a table comes back as a table"
        )
    ids = as_id_matrix(input_ids if table is None else table.ids)
    if special_tokens_mask is None and table is not None:
        special_tokens_mask = table.special_tokens_mask
    torch_out = _is_torch(input_ids if out is None else out[0])
    out_ids, out_labels = _outputs(out, ids.shape, dtype, labels_at_positions)
    keys = np.arange(len(ids), dtype=np.uint64) if block_ids is None else _as_keys(block_ids)
    flags = None
    if special_tokens_mask is not None:
        flags = np.ascontiguousarray(_as_numpy(special_tokens_mask), dtype=np.bool_)
    masker = build_masker(
        mask_token_id=mask_token_id,
        vocab_size=vocab_size,
        special_ids=special_ids,
        options={
            "mlm_probability": mlm_probability,
            "mask_replace_prob": mask_replace_prob,
            "random_replace_prob": random_replace_prob,
            "mode": mode,
            "word_starts": word_starts,
            "span_probability": span_probability,
            "max_span_length": max_span_length,
            "masks_per_row": masks_per_row,
            "at_least_one": at_least_one,
            "random_ids": random_ids,
        },
    )
    try:
        positions, labels = masker.mask(
            ids,
            out_ids,
            out_labels,
            seed=seed,
            epoch=epoch,
            block_ids=keys,
            special_tokens_mask=flags,
            pad_id=None,
            strict=True,
            threads=threads,
        )
    except OverflowError:
        raise InputError(
            f"seed and epoch must be between 0 and 2^64 - 1, got seed {seed}, epoch {epoch}"
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from None
    if table is not None:
        return table.masked(out_ids, cast("np.ndarray[Any, Any]", out_labels))
    batch = MaskedBatch(out_ids, out_labels if labels is None else labels, positions)
    return _to_torch(batch) if torch_out else batch


def as_id_matrix(ids: Any) -> np.ndarray[Any, Any]:
    """Token ids of numpy, torch or Arrow as a C-contiguous numpy array `[B, L]`."""
    array = _as_numpy(ids)
    if array.ndim != 2:
        raise InputError(f"input_ids must have the shape [B, L], got {list(array.shape)}")
    if array.dtype.kind not in "iu" or array.dtype in (np.int8, np.uint64):
        raise InputTypeError(
            f"input_ids must be uint8, uint16, uint32, int16, int32 or int64, got {array.dtype}"
        )
    return np.ascontiguousarray(array)


def _as_numpy(data: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, np.ndarray):
        return data
    if _is_torch(data):
        return data.detach().cpu().numpy()
    if hasattr(data, "__arrow_c_array__") or hasattr(data, "__arrow_c_stream__"):
        return bare_matrix(data)
    return np.asarray(data)


def _outputs(
    out: tuple[Any, Any] | None, shape: tuple[int, ...], dtype: Any, labels_at_positions: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """The arrays for ids and, unless they are wanted at the positions alone, labels."""
    kind = None if dtype is None else output_dtype(dtype)
    if out is None:
        kind = kind or np.dtype(np.int64)
        ids = np.empty(shape, kind)
        return ids, None if labels_at_positions else np.empty(shape, kind)
    if labels_at_positions != (out[1] is None):
        raise InputError(
            "out must be (input_ids, None) with labels_at_positions, else (input_ids, labels)"
        )
    buffers = [_as_output(array, shape, kind) for array in out if array is not None]
    if len({buffer.dtype for buffer in buffers}) > 1:
        raise InputError(f"out must hold arrays of one type, got {[b.dtype for b in buffers]}")
    return buffers[0], None if labels_at_positions else buffers[1]


def output_dtype(dtype: Any) -> np.dtype[Any]:
    """int64 or int32, given as a type of numpy or torch or by name."""
    try:
        kind = (
            np.dtype(str(dtype).removeprefix("torch."))
            if not isinstance(dtype, type)
            else (np.dtype(dtype))
        )
    except TypeError:
        kind = None
    if kind not in (np.int64, np.int32):
        raise InputError(f"dtype must be int64 or int32, got {dtype}")
    return kind


def _as_output(
    array: Any, shape: tuple[int, ...], dtype: np.dtype[Any] | None
) -> np.ndarray[Any, Any]:
    buffer = array.numpy() if _is_torch(array) else array
    kinds = (np.int64, np.int32) if dtype is None else (dtype,)
    if not isinstance(buffer, np.ndarray) or buffer.dtype not in kinds or buffer.shape != shape:
        found = f"{getattr(buffer, 'dtype', type(buffer).__name__)} {getattr(buffer, 'shape', '')}"
        wanted = "int64 (or int32)" if dtype is None else str(dtype)
        raise InputError(f"out must hold {wanted} arrays of shape {list(shape)}, got {found}")
    if not (buffer.flags.c_contiguous and buffer.flags.writeable):
        raise InputError("out must hold writable C-contiguous arrays")
    return buffer


def _as_keys(block_ids: Any) -> np.ndarray[Any, Any]:
    keys = _as_numpy(block_ids)
    if keys.dtype.kind not in "iu" or (keys.size and keys.min() < 0):
        raise InputError("block_ids must be whole numbers from 0 on")
    return np.ascontiguousarray(keys, dtype=np.uint64)


def _is_torch(data: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.Tensor)


def _to_torch(batch: MaskedBatch) -> MaskedBatch:
    import torch

    return MaskedBatch(*(torch.from_numpy(array) for array in batch))
