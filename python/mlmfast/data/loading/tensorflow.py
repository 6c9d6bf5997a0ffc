"""Masked batches of a block store as a `tf.data.Dataset`, for Keras."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.batches import BatchMaker, NumpyAllocator
from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    import numpy as np

    from mlmfast.data.masking.options import MaskOptions


def to_tf_dataset(
    store: BlockStore,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    fixed_masks: bool = False,
    drop_remainder: bool = False,
    **masks: Unpack[MaskOptions],
) -> Any:
    """Return a data set of masked batches, the same ones that `BlockLoader` yields.

    Each pass that yields a first batch is the next epoch, with new masks and, if `shuffle` is set,
    a new order. Keras' `fit` makes one pass for each of its epochs.

    Args:
        store: The blocks, `[N, L]`.
        batch_size: Blocks in a batch.
        seed: Seed of the order and of the masks, 0 to 2^64 - 1.
        epoch: The epoch of the first pass.
        shuffle: Shuffle the blocks, into a new order in each epoch.
        fixed_masks: Stay in `epoch`, so that every pass is the same; for `validation_data`.
        drop_remainder: Drop the last batch if it is not full.
        masks: `mlm_probability`, `mode` and so on, as `mlmfast.mask_tokens` explains them.

    Returns:
        A `tf.data.Dataset` of pairs: a dict of `input_ids` int64 `[B, L]` (and `attention_mask`,
        where the store has padding), and the labels int64 `[B, L]`, -100 where nothing is chosen.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
        InputError: An option is unknown, out of its range, or does not fit another; or `store` is
            no store.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError(
            "to_tf_dataset() needs TensorFlow: pip install 'mlmfast[tf]'."
        ) from error
    if not isinstance(store, BlockStore):
        raise InputError(
            f"to_tf_dataset reads one block store, got {store!r}: mixtures are for BlockLoader."
        )
    masker = BlockMasker(store, seed=seed, options=masks)
    maker = BatchMaker(masker, NumpyAllocator(), masker.columns)
    sampler = BlockSampler(len(store), batch_size, 0, 1, shuffle, drop_remainder, seed)
    epochs = itertools.repeat(epoch) if fixed_masks else itertools.count(epoch)

    def batches() -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        current = next(epochs)
        for number in range(len(sampler)):
            batch = maker.make(sampler.block_ids(number, current), current)
            labels = batch.pop("labels")
            yield batch, labels

    rows = tf.TensorSpec((batch_size if drop_remainder else None, store.block_size), tf.int64)
    features = {name: rows for name in masker.columns if name != "labels"}
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(features, rows))
    sized = dataset.apply(tf.data.experimental.assert_cardinality(len(sampler)))
    return sized.prefetch(tf.data.AUTOTUNE)
