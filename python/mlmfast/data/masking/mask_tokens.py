"""Mask token ids of any library: `mask_tokens`."""

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
            with `labels_at_positions` `[M]`, the original ids at `positions` only.
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
    mlm_probability: float | str = 0.15,
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
    """Choose tokens and mask them, with the distribution of BERT and of Hugging Face's collator.

    Every token that is not special is chosen with `mlm_probability`. Of the chosen tokens, a share
    of `mask_replace_prob` becomes the mask token, a share of `random_replace_prob` a word drawn
    uniformly from the vocabulary, and the rest stays.

    The masks are a pure function of (seed, epoch, block id, position): they do not depend on the
    number of threads, workers or ranks, nor on the size or the order of the batch. The draws are a
    documented format (docs/masks.md).

    Args:
        input_ids: Token ids `[B, L]`: a numpy array (uint8, uint16, uint32, int16, int32, int64),
            a torch tensor on the CPU, or an Arrow column (pyarrow, polars ...) of lists of one
            length. Or a table with such a column `input_ids`: a pyarrow Table or RecordBatch, a
            polars DataFrame, a `datasets.Dataset`, a `BlockStore`, or anything else with
            `__arrow_c_stream__`. The input is not modified.
        mask_token_id: The mask token's id.
        vocab_size: Number of ids, the tokenizer's added tokens included (`len(tokenizer)`).
        special_ids: Ids that are never chosen.
        special_tokens_mask: `[B, L]`, true where a token must not be chosen, in addition to
            `special_ids`; None takes a table's column of this name.
        mlm_probability: Share of the tokens to choose, in 0..1; or `"uniform:LOW,HIGH"` or
            `"beta:A,B"`, for a share that is drawn for each row from its block id.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word.
        mode: The unit that is chosen: `"token"`; `"whole_word"`, all tokens of a word, each of them
            replaced independently; `"span"` (SpanBERT, Joshi et al. 2020), runs of tokens or words
            until the share of the row is reached, all tokens of a run replaced in the same way.
        word_starts: bool `[vocab_size]`, whether an id begins a word; for whole words, and for
            spans of words. `mlmfast.data.tokenization.word_boundaries.word_starts` makes it.
        span_probability: Parameter of the spans' geometric lengths.
        max_span_length: The longest span, in tokens or words.
        masks_per_row: Choose exactly this many tokens in each row (all tokens of a shorter row),
            uniformly, instead of with `mlm_probability`; not for whole words.
        at_least_one: Choose one token (or word) in a row where none would be chosen.
        random_ids: The ids that random words are drawn from: `"all"` of the vocabulary, as in
            Hugging Face's collator, or the `"ordinary"` ones, without `special_ids` and the mask
            token.
        seed: Seed of the run, 0 to 2^64 - 1.
        epoch: Number of the epoch; each epoch has its own masks.
        block_ids: `[B]`, the ids of the rows in the whole data set; None for 0 to B - 1.
        labels_at_positions: Return the labels at the chosen positions only, `[M]`.
        dtype: int64 (the default) or int32, of numpy or torch, for ids and labels.
        out: Two arrays (or tensors) `[B, L]`, both int64 or both int32, to write `input_ids` and
            `labels` to; with `labels_at_positions` the second is None.
        threads: Threads at most; None for as many as the machine has and are worth it.

    Returns:
        A `MaskedBatch` of torch tensors if `input_ids` (or `out`) is a tensor, else of numpy
        arrays. For a table, a table of the same library (for a `BlockStore`, a pyarrow Table): its
        column `input_ids` is masked, a column `labels` is added or replaced, the column
        `special_tokens_mask` is dropped, and the others are unchanged. The chosen positions are
        those where `labels` is not -100.

    Raises:
        InputError: A probability is outside of 0..1, an id is outside of the vocabulary (the
            message names row, position and value), shapes or options do not fit each other, rows
            differ in length, there are nulls, or a table has no `input_ids`.
        InputTypeError: The ids are not integers.

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
    """Return token ids of numpy, torch or Arrow as a C-contiguous numpy array `[B, L]`."""
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
    """Return the arrays for ids and for labels; the latter is None with labels_at_positions."""
    array_dtype = None if dtype is None else output_dtype(dtype)
    if out is None:
        array_dtype = array_dtype or np.dtype(np.int64)
        ids = np.empty(shape, array_dtype)
        return ids, None if labels_at_positions else np.empty(shape, array_dtype)
    if labels_at_positions != (out[1] is None):
        raise InputError(
            "out must be (input_ids, None) with labels_at_positions, else (input_ids, labels)"
        )
    buffers = [_as_output(array, shape, array_dtype) for array in out if array is not None]
    if len({buffer.dtype for buffer in buffers}) > 1:
        raise InputError(f"out must hold arrays of one type, got {[b.dtype for b in buffers]}")
    return buffers[0], None if labels_at_positions else buffers[1]


def output_dtype(dtype: Any) -> np.dtype[Any]:
    """Return int64 or int32 as a numpy dtype; `dtype` is of numpy, of torch, or a name."""
    try:
        numpy_dtype = np.dtype(
            dtype if isinstance(dtype, type) else str(dtype).removeprefix("torch.")
        )
    except TypeError:
        numpy_dtype = None
    if numpy_dtype not in (np.int64, np.int32):
        raise InputError(f"dtype must be int64 or int32, got {dtype}")
    return numpy_dtype


def _as_output(
    array: Any, shape: tuple[int, ...], dtype: np.dtype[Any] | None
) -> np.ndarray[Any, Any]:
    buffer = array.numpy() if _is_torch(array) else array
    dtypes = (np.int64, np.int32) if dtype is None else (dtype,)
    if not isinstance(buffer, np.ndarray) or buffer.dtype not in dtypes or buffer.shape != shape:
        actual = f"{getattr(buffer, 'dtype', type(buffer).__name__)} {getattr(buffer, 'shape', '')}"
        expected = "int64 (or int32)" if dtype is None else str(dtype)
        raise InputError(f"out must hold {expected} arrays of shape {list(shape)}, got {actual}")
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
