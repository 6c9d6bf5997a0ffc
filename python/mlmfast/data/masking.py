"""Masked batches: `mask_tokens`."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlmfast.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from mlmfast import _core


class MaskedBatch(NamedTuple):
    """A batch ready for a masked language model.

    Attributes:
        input_ids: int64 `[B, L]`, the ids with the chosen tokens replaced.
        labels: int64 `[B, L]`, the original ids of the chosen tokens, -100 elsewhere.
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
    seed: int = 0,
    epoch: int = 0,
    block_ids: Any = None,
    out: tuple[Any, Any] | None = None,
    threads: int | None = None,
) -> MaskedBatch:
    """Choose tokens and hide them, with the distribution of BERT and of Hugging Face's collator.

    Every token that is not special is chosen with `mlm_probability`; of the chosen ones a share of
    `mask_replace_prob` becomes the mask token, a share of `random_replace_prob` a word drawn
    uniformly from the vocabulary, and the rest stays as it is.

    The masks are a pure function of (seed, epoch, block id, position): they do not change with the
    number of threads, workers or ranks, the size of the batch or its order.

    Args:
        input_ids: Token ids `[B, L]`: a numpy array (uint8, uint16, uint32, int16, int32, int64),
            a torch tensor on the CPU, or an Arrow FixedSizeList array. It is not changed.
        mask_token_id: The mask token's id.
        vocab_size: Number of ids, the tokenizer's added tokens included (`len(tokenizer)`).
        special_ids: Ids that are never chosen.
        special_tokens_mask: `[B, L]`, true where a token must not be chosen, besides `special_ids`.
        mlm_probability: Share of the tokens to choose, in 0..1.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word.
        seed: Seed of the run, 0 to 2^64 - 1.
        epoch: Number of the epoch; another epoch gives other masks.
        block_ids: `[B]`, the rows' numbers in the whole data set; None for 0 to B - 1.
        out: Two int64 arrays (or tensors) `[B, L]` to write `input_ids` and `labels` to.
        threads: Threads at most; None for as many as the machine has and the batch is worth.

    Returns:
        A `MaskedBatch` of torch tensors where `input_ids` (or `out`) is a tensor, else of numpy
        arrays.

    Raises:
        InputError: A probability outside of 0..1, an id outside of the vocabulary (the message
            names row, position and value), shapes that do not fit.
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
    ids = as_id_matrix(input_ids)
    torch_out = _is_torch(input_ids) if out is None else _is_torch(out[0])
    out_ids, out_labels = (np.empty(ids.shape, np.int64) for _ in range(2))
    if out is not None:
        out_ids, out_labels = (_as_output(array, ids.shape) for array in out)
    keys = np.arange(len(ids), dtype=np.uint64) if block_ids is None else _as_keys(block_ids)
    flags = None
    if special_tokens_mask is not None:
        flags = np.ascontiguousarray(_as_numpy(special_tokens_mask), dtype=np.bool_)
    try:
        masker = make_masker(
            mask_token_id=mask_token_id,
            vocab_size=vocab_size,
            special_ids=tuple(sorted({int(special) for special in special_ids})),
            mlm_probability=float(mlm_probability),
            mask_replace_prob=float(mask_replace_prob),
            random_replace_prob=float(random_replace_prob),
        )
        positions = masker.mask(
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
            f"seed and epoch must be between 0 and 2^64 - 1, ids between 0 and 2^32 - 1; got "
            f"seed {seed}, epoch {epoch}, mask_token_id {mask_token_id}, vocab_size {vocab_size}"
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from None
    batch = MaskedBatch(out_ids, out_labels, positions)
    return _to_torch(batch) if torch_out else batch


@lru_cache(maxsize=32)
def make_masker(
    *,
    mask_token_id: int,
    vocab_size: int,
    special_ids: tuple[int, ...],
    mlm_probability: float,
    mask_replace_prob: float,
    random_replace_prob: float,
    word_starts: bytes | None = None,
) -> _core.Masker:
    """The core's masker for these options; options that were seen lately are not checked again.

    Args:
        word_starts: One byte an id of the vocabulary, 1 where it begins a word, for whole-word
            masking.
    """
    from mlmfast import _core

    starts = None if word_starts is None else np.frombuffer(word_starts, dtype=np.bool_)
    return _core.Masker(
        mask_token_id=mask_token_id,
        vocab_size=vocab_size,
        special_ids=list(special_ids),
        word_starts=starts,
        mlm_probability=mlm_probability,
        mask_replace_prob=mask_replace_prob,
        random_replace_prob=random_replace_prob,
    )


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
        return _arrow_matrix(data)
    return np.asarray(data)


def _arrow_matrix(data: Any) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    column = data if isinstance(data, pa.Array | pa.ChunkedArray) else pa.chunked_array(data)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        raise InputTypeError(
            f"expected an Arrow FixedSizeList of ids, got {column.type}: cut the lists into blocks "
            "with group_blocks first"
        )
    if column.null_count:
        raise InputError("the Arrow array has null rows: drop them first")
    # flatten() minds the offset of a slice, which `values` does not.
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)


def _as_output(array: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    buffer = array.numpy() if _is_torch(array) else array
    if not isinstance(buffer, np.ndarray) or buffer.dtype != np.int64 or buffer.shape != shape:
        found = f"{getattr(buffer, 'dtype', type(buffer).__name__)} {getattr(buffer, 'shape', '')}"
        raise InputError(f"out must hold two int64 arrays of shape {list(shape)}, got {found}")
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
