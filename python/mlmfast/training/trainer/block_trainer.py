"""A Trainer on blocks that checks the loss and explains out-of-memory errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

from mlmfast.errors import DeviceMemoryError, NonFiniteLossError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.masked_rows import IGNORED
from mlmfast.training.trainer.block_batches import BlockBatches
from mlmfast.training.trainer.loss_guard import INTERVAL, LossGuard
from mlmfast.training.trainer.memory import Cost, advice, batch_that_fits, measure_cost
from mlmfast.training.trainer.optimizers.muon_trainer import MuonTrainer


class LossCheckCallback(transformers.TrainerCallback):
    """Checks the loss before it is logged or the model saved, and logs the last step.

    The Trainer averages the loss over processes when it logs: without a log at the last step, each
    process would end with a mean of its own.
    """

    def __init__(self, trainer: BlockTrainer) -> None:
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Check if the step synchronizes with the device anyway, or if that costs nothing."""
        if state.global_step >= state.max_steps:
            control.should_log = True
        syncs = control.should_log or control.should_save or control.should_evaluate
        if syncs or args.device.type == "cpu" or state.global_step % INTERVAL == 0:
            self._trainer.check_loss()

    def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Check before the evaluation and the checkpoint of the epoch."""
        if control.should_log or control.should_save or control.should_evaluate:
            self._trainer.check_loss()


class BlockTrainer(BlockBatches, MuonTrainer):
    """A Trainer for `MaskedBlocks` and `EvaluationBlocks`, with atomic checkpoints.

    See `BlockBatches` for the order of the blocks. Other data sets work as in the Trainer.
    """

    control: transformers.TrainerControl
    _accumulates = True  # as `gradient_accumulation_steps` says

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The filter synchronizes at every step, and hides what LossGuard reports.
        self.args.logging_nan_inf_filter = False
        self._guard = LossGuard()
        self.add_callback(LossCheckCallback(self))
        if self.args.world_size > 1:
            # With one seed for all processes, dropout would be the same on each of them.
            own = np.random.SeedSequence([self.args.seed, self.args.process_index])
            torch.manual_seed(int(own.generate_state(1)[0]))

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        args = self.args
        is_unset = args.ddp_find_unused_parameters is None and args.world_size > 1
        if training and is_unset and isinstance(self.train_dataset, MaskedBlocks):
            # Searching for unused parameters at every step would traverse the graph.
            args.ddp_find_unused_parameters = self._has_unused_parameters()
        return super()._wrap_model(model, training, dataloader)

    def _has_unused_parameters(self) -> bool:
        """Whether a step leaves parameters without a gradient, tested on one without an update."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return False
        batch = self._prepare_inputs(self.train_dataset.__getitems__([0]))
        # A `compute_loss_func` of the user divides by it.
        items = (batch["labels"] != IGNORED).sum()
        self.model.train()
        with torch.random.fork_rng(), self.compute_loss_context_manager():
            self.compute_loss(self.model, batch, num_items_in_batch=items).backward()
        unused = any(each.grad is None for each in self.model.parameters() if each.requires_grad)
        self.model.zero_grad(set_to_none=True)
        return unused

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as the Trainer does, with its arguments and result.

        Raises:
            NonFiniteLossError: the loss is NaN or Inf.
            DeviceMemoryError: a batch does not fit on the device.
        """
        self._guard = LossGuard()
        try:
            return super().train(*args, **kwargs)
        finally:
            self._close_step_batches()

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as the Trainer does, with its arguments and result.

        Raises:
            DeviceMemoryError: a batch does not fit on the device.
        """
        try:
            return super().evaluate(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            batch = self.args.per_device_eval_batch_size
            raise DeviceMemoryError(
                f"The device {self.args.device} has too little memory to evaluate batches of "
                f"{batch} blocks ({str(error).split('. ')[0]}): give --per-device-eval-batch-size "
                f"{max(batch // 2, 1)} or less."
            ) from error

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the Trainer's step on a batch; record the loss, explain an out-of-memory error."""
        try:
            loss = super().training_step(model, inputs, *args, **kwargs)
        except torch.OutOfMemoryError as error:
            if self.args.auto_find_batch_size:
                raise
            # The frames of the traceback hold the tensors of the step.
            text = str(error).split(". ")[0]
            error.__traceback__ = None
            failed = text
        else:
            self._guard.record(loss, self.state.global_step)
            return loss
        raise DeviceMemoryError(self._memory_message(model, inputs, failed))

    def check_loss(self) -> None:
        """Raise NonFiniteLossError if a loss since the last check was NaN or Inf; synchronizes."""
        gather = self.accelerator.gather if self.args.world_size > 1 else (lambda tensor: tensor)
        step = self._guard.first_bad(gather)
        if step is None:
            return
        about = f"Step {step + 1} gave a loss or weights of NaN or Inf"
        if self._step_batches is None:
            raise NonFiniteLossError(f"{about}.", step=step, epoch=0, block_ids=[])
        batches = self._step_batches
        blocks = batches.blocks.part_at(step)
        epoch, ids = batches.blocks_of(step)
        shown = ", ".join(map(str, ids[:8])) + (" ..." if len(ids) > 8 else "")
        raise NonFiniteLossError(
            f"{about}: epoch {epoch}, seed {blocks.seed}, {len(ids)} blocks "
            f"of {blocks.store.path}: {shown}. {batches.advice(step)}Often the learning rate "
            f"({self.args.learning_rate:g}) is too high.",
            step=step,
            epoch=epoch,
            block_ids=ids.tolist(),
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # A checkpoint with NaN or Inf must not replace a good one.
        self.check_loss()
        finite = torch.stack([torch.isfinite(each).all() for each in self.model.parameters()]).all()
        self._guard.record(torch.where(finite, 0.0, torch.nan), self.state.global_step - 1)
        self.check_loss()
        super()._save_checkpoint(model, trial)

    def _memory_message(self, model: Any, inputs: Any, failed: str) -> str:
        args = self.args
        model.zero_grad(set_to_none=True)
        fitting = None
        # With sharded weights, a forward pass on one process would wait for the others.
        if args.device.type == "cuda" and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            fitting = self._find_batch_size(inputs)
        return (
            f"The device {args.device} has too little memory for batches of "
            f"{args.per_device_train_batch_size} blocks ({failed}): "
            f"{advice(args, fitting, accumulates=self._accumulates)}."
        )

    def _find_batch_size(self, inputs: Any) -> int | None:
        """Measure the memory of small batches; return the largest batch size that fits."""
        device = self.args.device

        def forward(rows: int) -> Any:
            first_rows = {name: tensor[:rows] for name, tensor in inputs.items()}
            with self.compute_loss_context_manager():
                return self.compute_loss(self.model, self._prepare_inputs(first_rows))

        try:
            cost = measure_cost(forward, device)
        except torch.OutOfMemoryError:
            return 0
        trained = sum(each.nbytes for each in self.model.parameters() if each.requires_grad)
        # Gradients, and the two moments of AdamW before the first step has allocated them.
        pending = trained if self.optimizer.state else 3 * trained
        free, _ = torch.cuda.mem_get_info(device)
        total = free + torch.cuda.memory_reserved(device)
        return batch_that_fits(
            Cost(cost.fixed + pending, cost.row), total, self.args.per_device_train_batch_size
        )
