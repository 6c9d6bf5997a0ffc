"""Masked batches of a block store as a `tf.data.Dataset`, for Keras."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from mlmfast.data.masking.options import MaskOptions
    from mlmfast.data.store.store import BlockStore


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
    """Give the blocks in masked batches, the same ones that `BlockLoader` gives.

    Each pass that gives a first batch is the next epoch, as in `fit`, which begins one for each
    of its own: with a new order, where `shuffle` is set, and new masks.

    Args:
        store: The blocks, `[N, L]`.
        batch_size: Blocks of a batch.
        seed: Seed of the order and of the masks, 0 to 2^64 - 1.
        epoch: The first pass's epoch.
        shuffle: Give the blocks in an order that is new in each epoch.
        fixed_masks: Stay in `epoch`, so that every pass gives the same; for `validation_data`.
        drop_remainder: Leave out the last batch where it is not full.
        masks: `mlm_probability`, `mode` and so on, as `mlmfast.mask_tokens` explains them.

    Returns:
        A `tf.data.Dataset` of pairs: a dict of `input_ids` int64 `[B, L]` (and `attention_mask`,
        where the store has padding), and the labels int64 `[B, L]`, -100 where nothing is asked.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
        InputError: An option that cannot be.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError(
            "to_tf_dataset() needs TensorFlow: pip install 'mlmfast[tf]'."
        ) from error
    masker = BlockMasker(store, seed=seed, options=masks)
    plan = BlockSampler(len(store), batch_size, 0, 1, shuffle, drop_remainder, seed)
    epochs = itertools.repeat(epoch) if fixed_masks else itertools.count(epoch)

    def batches() -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        this = next(epochs)
        for number in range(len(plan)):
            block_ids = plan.block_ids(number, this)
            shape = (len(block_ids), store.block_size)
            buffers = {name: np.empty(shape, np.int64) for name in masker.columns}
            masker.fill(block_ids, buffers, epoch=this)
            labels = buffers.pop("labels")
            yield buffers, labels

    rows = tf.TensorSpec((batch_size if drop_remainder else None, store.block_size), tf.int64)
    features = {name: rows for name in masker.columns if name != "labels"}
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(features, rows))
    known = dataset.apply(tf.data.experimental.assert_cardinality(len(plan)))
    return known.prefetch(tf.data.AUTOTUNE)
