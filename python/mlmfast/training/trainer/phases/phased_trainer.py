"""A Trainer that runs a training in phases: `PhasedTrainer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.trainer_utils import SaveStrategy

from mlmfast.errors import InputError
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.trainer.block_trainer import BlockTrainer
from mlmfast.training.trainer.phases.batches import PhaseBatches
from mlmfast.training.trainer.phases.callback import PhaseCallback
from mlmfast.training.trainer.phases.sampler import PhaseSampler
from mlmfast.training.trainer.saving.resume_states import set_step
from mlmfast.training.trainer.source_reads import SourceRead, phased_sources_read

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from mlmfast.training.recipes.schedule import PhaseSchedule


class PhasedTrainer(BlockTrainer):
    """A Trainer for `PhasedBlocks`, too: one optimizer and one count of steps over all phases.

    Batches, mask rates and learning rate of a step are pure functions of its number. A forward pass
    has at most as many positions as `per_device_train_batch_size` of the longest blocks; the
    batches of a step follow from that and from `gradient_accumulation_steps`, their largest number.
    """

    lr_scheduler: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._phases is None:
            return
        if self.is_deepspeed_enabled:
            raise InputError(
                "A training in phases does not work with DeepSpeed, which counts batches and sets "
                "the learning rate itself: start the processes with torchrun alone (DDP)."
            )
        self._accumulates = False
        self.add_callback(PhaseCallback(self._phases))

    @property
    def _phases(self) -> PhaseSchedule | None:
        """The phases of the training; None without."""
        blocks = self.train_dataset
        return blocks.phases if isinstance(blocks, PhasedBlocks) else None

    def get_train_dataloader(self) -> DataLoader:
        """Return the Trainer's loader; in phases, one over the batches of all steps."""
        blocks = self.train_dataset
        if not isinstance(blocks, PhasedBlocks):
            return super().get_train_dataloader()
        self._check_data_parallel()
        blocks.check_order_seed(self.args.data_seed)
        args = self.args
        positions = args.train_batch_size * args.world_size * max(blocks.block_lengths)
        accumulated = args.gradient_accumulation_steps
        needed = blocks.phases.most_micro_batches(positions)
        if accumulated < needed or args.max_steps != blocks.phases.steps:
            raise InputError(
                f"The phases have {blocks.phases.steps:,} steps of up to {needed} batches: give "
                f"max_steps={blocks.phases.steps} and gradient_accumulation_steps={needed} (they "
                f"are {args.max_steps} and {accumulated})."
            )
        sampler = PhaseSampler(
            blocks.phases, positions, accumulated, args.process_index, args.world_size
        )
        self._close_step_batches()
        self._step_batches = PhaseBatches(
            blocks,
            sampler,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
        )
        return self._step_batches.loader()

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """Create the Trainer's schedule of the learning rate, or that of the phases."""
        phases = self._phases
        if phases is None:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            chosen: Any = self.optimizer if optimizer is None else optimizer
            peak = self.args.learning_rate
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                chosen, lambda step: phases.learning_rate(step) / peak
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self._phases is not None:
            # A phase that begins at this step may have another rate than when that was saved.
            set_step(self.lr_scheduler, self.lr_scheduler.last_epoch)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the Trainer's step on a batch; a batch without rows costs nothing."""
        if self._phases is not None and not len(inputs["labels"]):
            return torch.zeros((), device=self.args.device)
        return super().training_step(model, inputs, *args, **kwargs)

    def sources_read(self, steps: int) -> tuple[SourceRead, ...]:
        """Count the blocks of each source in the first steps; empty for blocks of one store."""
        if isinstance(self.train_dataset, PhasedBlocks):
            return phased_sources_read(self.train_dataset, steps)
        return super().sources_read(steps)

    def _is_due(self) -> bool:
        """Whether a checkpoint of this step belongs to the options, and not to an interrupt."""
        by_epoch = self.args.save_strategy == SaveStrategy.EPOCH
        if self._phases is not None and by_epoch:
            return self.state.global_step in self._phases.ends
        return super()._is_due()
