"""A Trainer that reads its batches from block stores, and other data sets as usual."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.errors import InputError
from mlmfast.training.block_dataset import BlockDataset
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.masked_rows import find_positions
from mlmfast.training.trainer.saving.self_contained import SelfContainedTrainer
from mlmfast.training.trainer.source_reads import SourceRead, sources_read
from mlmfast.training.trainer.step_batches import StepBatches, rank_loader

if TYPE_CHECKING:
    import transformers
    from torch.utils.data import DataLoader

    from mlmfast.data.loading.buffer_pool import Batch

logger = logging.getLogger(__name__)


class BlockBatches(SelfContainedTrainer):
    """Distributes the blocks of `MaskedBlocks` and `EvaluationBlocks` over steps and processes.

    The blocks of a step are a function of seed and step: the processes share them without padding
    or repeated and dropped blocks, and a resume starts at its step. A data collator applies to the
    rows of other data sets; training and evaluation data may be of either kind.
    """

    def __init__(
        self,
        model: Any = None,
        args: transformers.TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            **kwargs,
        )
        given = [each for each in (train_dataset, eval_dataset) if each is not None]
        if data_collator is not None and all(isinstance(each, BlockDataset) for each in given):
            logger.warning(
                "data_collator=%s is not used: blocks come in whole batches, already masked. It is "
                "for the rows of other data sets.",
                type(data_collator).__name__,
            )
        self._step_batches: StepBatches | None = None
        # (labels, their version, masked positions) of each batch of the current step.
        self._positions: list[tuple[torch.Tensor, int, torch.Tensor]] = []

    def get_train_dataloader(self) -> DataLoader:
        """Return the Trainer's loader; for blocks, this process's share of an epoch."""
        if not isinstance(self.train_dataset, MaskedBlocks):
            return super().get_train_dataloader()
        self._check_data_parallel()
        seed = self.args.data_seed
        shuffle = getattr(self.args, "train_sampling_strategy", None) != "sequential"
        mixture = self.train_dataset.mixture
        if mixture is not None:
            mixture.check_order(shuffle=shuffle, group_by_length=groups_by_length(self.args))
            self.train_dataset.check_order_seed(seed)
        # On a resume, the Trainer puts the checkpoint's own batch size into `_train_batch_size`.
        searches = self.args.auto_find_batch_size
        sampler = BlockSampler(
            blocks=len(self.train_dataset),
            batch_size=self._train_batch_size if searches else self.args.train_batch_size,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            shuffle=shuffle and mixture is None,  # the mixture itself has the order
            drop_last=self.args.dataloader_drop_last,
            seed=self.train_dataset.seed if seed is None else seed,
            lengths=self.train_dataset.lengths() if groups_by_length(self.args) else None,
        )
        self._close_step_batches()
        self._step_batches = StepBatches(
            self.train_dataset,
            sampler,
            self.args.gradient_accumulation_steps,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
        )
        return self._step_batches.loader()

    def sources_read(self, steps: int) -> tuple[SourceRead, ...]:
        """Count the blocks of each source of a mixture in the first steps; empty without one."""
        return () if self._step_batches is None else sources_read(self._step_batches, steps)

    @property
    def fill_rate(self) -> float | None:
        """Share of the positions in this process's training batches that held a token."""
        return None if self._step_batches is None else self._step_batches.fill_rate

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Return the Trainer's loader; for blocks, this process's share, each block once."""
        blocks = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(blocks, str) and isinstance(self.eval_dataset, dict):
            blocks = self.eval_dataset[blocks]
        if not isinstance(blocks, BlockDataset):
            return super().get_eval_dataloader(eval_dataset)
        return self._each_block_once(blocks)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:
        """Return the Trainer's loader; for blocks, this process's share, each block once."""
        if not isinstance(test_dataset, BlockDataset):
            return super().get_test_dataloader(test_dataset)
        return self._each_block_once(test_dataset)

    def _each_block_once(self, blocks: BlockDataset) -> DataLoader:
        sampler = BlockSampler(
            blocks=len(blocks),
            batch_size=self.args.eval_batch_size,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            shuffle=False,
            drop_last=False,
            seed=0,
        )
        return rank_loader(blocks, sampler)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: Any
    ) -> tuple[list[Any], Any]:
        """Return the batches of an optimizer step, and the number of their masked tokens."""
        if self._step_batches is None:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        step = 0 if self.args.ignore_data_skip else self.state.global_step
        samples = self._step_batches.take(epoch_iterator, num_batches, step)
        # On the CPU: on a GPU, this would synchronize.
        positions = [find_positions(batch["labels"]) for batch in samples]
        if self.args.n_gpu > 1:
            items = self._get_num_items_in_batch(samples, device)
        else:
            items = self._sum_over_processes(sum(map(len, positions)), device)
        if device.type == "cuda":
            samples = [_to_device(batch, device) for batch in samples]
            # A copy of memory that is not pinned would wait for the device.
            positions = [each.pin_memory().to(device, non_blocking=True) for each in positions]
        self._positions = [
            (batch["labels"], batch["labels"]._version, each)  # noqa: SLF001
            for batch, each in zip(samples, positions, strict=True)
        ]
        return samples, items

    def positions_in(self, labels: torch.Tensor) -> torch.Tensor:
        """Return where labels are not -100, from a cache for the batches of the current step.

        The positions are not part of the batch, since accelerate, DataParallel and others slice and
        pad every tensor of it by rows. Labels that were sliced, copied or changed miss the cache.
        """
        for known, version, positions in self._positions:
            if known is labels and labels._version == version:  # noqa: SLF001
                return positions
        return find_positions(labels)

    def _sum_over_processes(self, items: int, device: Any) -> Any:
        if self.args.world_size == 1 or not self.args.average_tokens_across_devices:
            return items
        count = torch.tensor(items)
        if device.type == "cuda":
            count = count.pin_memory().to(device, non_blocking=True)
        return self.accelerator.gather(count[None]).sum()

    def _check_data_parallel(self) -> None:
        tensor_parallel = (getattr(self.model, "_tp_size", None) or 1) > 1
        if tensor_parallel or getattr(self.args, "parallelism_config", None) is not None:
            raise InputError(
                "MaskedBlocks supports data parallelism only: train without tensor and context "
                "parallelism."
            )

    def _close_step_batches(self) -> None:
        if self._step_batches is not None:
            self._step_batches.close()


def groups_by_length(args: transformers.TrainingArguments) -> bool:
    """Whether batches group rows of similar length, by the option of transformers 4 or 5."""
    strategy = getattr(args, "train_sampling_strategy", None)
    return getattr(args, "group_by_length", False) or strategy == "group_by_length"


def _to_device(batch: Batch, device: Any) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
