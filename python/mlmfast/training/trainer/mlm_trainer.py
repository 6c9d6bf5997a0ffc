"""A `transformers.Trainer` for masked language models on blocks."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate.utils import DynamoBackend

from mlmfast.errors import InputError
from mlmfast.training.block_dataset import BlockDataset
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.model.documents.mode import DocumentMode, check_document_mode
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import DOCUMENT_IDS, MaskedHead
from mlmfast.training.model.masked_rows import MaskedLogits, at_masks
from mlmfast.training.options.averaging import Averaging
from mlmfast.training.trainer.block_evaluation import BlockEvaluation
from mlmfast.training.trainer.mask_rate import MaskRateCallback
from mlmfast.training.trainer.mixture import MixtureCallback
from mlmfast.training.trainer.phases.phased_trainer import PhasedTrainer
from mlmfast.training.trainer.saving.adapters import AdapterSaving
from mlmfast.training.trainer.throughput import ThroughputCallback

logger = logging.getLogger(__name__)


class MLMTrainer(BlockEvaluation, AdapterSaving, PhasedTrainer):
    """A `transformers.Trainer` for masked language models, with the Trainer's own arguments.

    It differs from the Trainer in these points:

    - `train_dataset=MaskedBlocks(store)` and `eval_dataset=EvaluationBlocks(store)` need no data
      collator and no other option; any other data set with `labels` works as in the Trainer.
    - The head of the model runs on the masked tokens only, if that gives the same logits.
    - The loss is the sum over the masked tokens divided by their number in the whole optimizer
      step, over all accumulated batches and all processes; a step without masked tokens has loss 0.
    - Several processes, and a resumed training, read the same blocks under the same masks as one
      uninterrupted process; checkpoints are atomic; a loss of NaN or Inf ends the training.
    - An evaluation on `EvaluationBlocks` divides the summed loss by the number of masked tokens,
      and adds `eval_perplexity`, `eval_top1`, `eval_top5` and `eval_bits_per_byte`;
      `evaluations` holds them by step. With `compute_metrics`, the Trainer's own evaluation runs.
    - Batches may have `document_ids`, int32 `[B, L]` (0, 1, 2 ... in each row, -1 at padding):
      attention then stays inside documents and positions restart, if the first batch proves that
      the model gives the logits of each document alone. `documents="separate"` raises InputError
      for a model that does not; `"joined"` lets attention cross documents; None separates them
      where that is proved, and otherwise warns. `MaskedBlocks(store, documents=True)` and
      `EvaluationBlocks(store, documents=True)` make such batches.
    - `average_checkpoints="last:5"` averages the weights at the last five checkpoints,
      `"ema:0.999"` those of all steps. Every evaluation also measures the average, as
      `eval_averaged_loss` and so on (`averaged_evaluations`), and a resume continues it.
      `with trainer.averaged_weights(): trainer.save_model(folder)` saves it.
    """

    _keeps_hidden = False

    def __init__(
        self,
        *args: Any,
        documents: DocumentMode | None = None,
        average_checkpoints: str | Averaging | None = None,
        **kwargs: Any,
    ) -> None:
        self._head: MaskedHead | None = None
        self._documents = check_document_mode(documents)
        super().__init__(*args, **kwargs)
        if self._documents == "separate":
            _check_numbered(self.train_dataset, self.eval_dataset)
        averaging = Averaging.parse(average_checkpoints)
        if averaging is not None:
            self.start_averaging(averaging)
        self._in_step = self._own_loss = False
        self.throughput: ThroughputCallback | None = None
        if isinstance(self.train_dataset, MaskedBlocks):
            # With sharded weights, no process can run the model on its own; and the operations of
            # blocks of several lengths are not those of one block.
            counts = not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
            counts &= len(self.train_dataset.block_lengths) == 1
            self.throughput = ThroughputCallback(
                self.train_dataset,
                self._head_of_steps if counts else None,
                self._heads_without_backward,
            )
            self.add_callback(self.throughput)
            self.add_callback(MaskRateCallback(self.train_dataset))
            if self.train_dataset.mixture is not None:
                self.add_callback(MixtureCallback(self))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with `tokens_per_second` and `mfu` since the last logged loss."""
        if self.throughput is not None and "loss" in logs:
            logs |= self.throughput.since_last(self.state.epoch or 0.0)
        super().log(logs, *args, **kwargs)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Sum the loss over the masked tokens of a batch; divide by those of the whole step."""
        inputs = dict(inputs)
        if self.compute_loss_func is not None:
            with self._separated(inputs) as given:
                return super().compute_loss(model, given, return_outputs, num_items_in_batch)
        if self._in_step:
            # This method divides the loss, so the Trainer must not.
            self._own_loss = self.model_accepts_loss_kwargs = True
        labels = inputs.pop("labels")
        positions = self.positions_in(labels)
        outputs = None
        if return_outputs:
            with self._separated(inputs) as given:
                outputs = model(**given)
        if outputs is None:
            masked = self._masked_head()(model, inputs, labels, positions)
        else:
            masked = at_masks(outputs.logits, labels, positions)
        items = self._step_items(labels, num_items_in_batch)
        loss = self._masked_loss(masked, inputs, labels, positions, items)
        return (loss, outputs) if return_outputs else loss

    def _masked_loss(
        self,
        masked: MaskedLogits,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor,
        items: torch.Tensor | int,
    ) -> torch.Tensor:
        """Return the loss of a batch, divided by the masked tokens of the whole step."""
        return masked_loss_sum(masked, label_smoothing=self.args.label_smoothing_factor) / items

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the Trainer's step on a batch, with its arguments and result."""
        accepts = self.model_accepts_loss_kwargs
        self._in_step, self._own_loss = True, False
        try:
            return super().training_step(*args, **kwargs)
        finally:
            self._in_step = False
            # A `compute_loss` of a subclass is divided as in the Trainer.
            self.model_accepts_loss_kwargs = accepts

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        accepts = self.model_accepts_loss_kwargs
        self.model_accepts_loss_kwargs = True  # otherwise the Trainer does not count
        try:
            return super()._get_num_items_in_batch(batch_samples, device)
        finally:
            self.model_accepts_loss_kwargs = accepts

    def remove_hooks(self) -> None:
        """Remove the hooks of the masked head, which stay on a compiled model between calls."""
        if self._head is not None:
            self._head.remove_hooks()

    def _masked_head(self) -> MaskedHead:
        """Return the head of the present model, which `model_init` may have replaced."""
        if self._head is None or self._head.model is not self.model:
            # A hook cannot know the rows that a replica gets; DeepSpeed has not been tried.
            unsupported = {
                "DataParallel (start one process a GPU, with torchrun)": self.args.n_gpu > 1,
                "DeepSpeed": self.is_deepspeed_enabled,
            }
            plugin = self.accelerator.state.fsdp_plugin if self.is_fsdp_enabled else None
            version = getattr(plugin, "fsdp_version", 1)
            active = [name for name, used in unsupported.items() if used]
            if active:
                logger.warning("under %s, the head runs on all rows", active[0])
            static = self.accelerator.state.dynamo_plugin.backend != DynamoBackend.NO
            self._head = MaskedHead(
                self.model,
                allowed=not active,
                # A layer of FSDP 1 cannot be run apart from the model.
                last_layer=plugin is None or version == 2,
                sharded=None if plugin is None else f"FSDP {version}",
                static=static,
                hidden=self._keeps_hidden,
                documents=self._document_attention(
                    [*active, *([] if plugin is None else [f"FSDP {version}"])], static=static
                ),
            )
        return self._head

    def _separated(self, inputs: dict[str, Any]) -> AbstractContextManager[dict[str, Any]]:
        """Keep documents apart inside the context, where the inputs have `document_ids`."""
        if DOCUMENT_IDS not in inputs:
            return nullcontext(inputs)
        return self._masked_head().separated(inputs)

    def _document_attention(
        self, unsupported: list[str], *, static: bool = False, model: torch.nn.Module | None = None
    ) -> DocumentAttention | None:
        """Return what keeps documents apart in a model; None where attention crosses them."""
        if self._documents == "joined":
            return None
        required = self._documents == "separate"
        if unsupported and required:
            raise InputError(
                f"documents=separate does not work under {unsupported[0]}, where a process has "
                "only a part of the model or of the batch: train with documents=joined "
                "(--documents joined)."
            )
        if unsupported:
            data = (self.train_dataset, self.eval_dataset)
            if any(getattr(each, "documents", False) for each in data):
                logger.warning("under %s, attention crosses documents", unsupported[0])
            return None
        return DocumentAttention(model or self.model, required=required, static=static)

    def _head_of_steps(self) -> MaskedHead:
        """Return the head of the last step; a `compute_loss` of a subclass uses all logits."""
        if self._own_loss:
            return self._masked_head()
        return MaskedHead(self.model, allowed=False)

    def _heads_without_backward(self) -> list[MaskedHead]:
        """Return the heads of further models that a step runs forward only."""
        return []

    def _step_items(
        self, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor | int:
        """Return the number of masked tokens that the loss of this step is divided by."""
        if num_items_in_batch is None:
            return (labels != -100).sum().clamp(min=1)
        if isinstance(num_items_in_batch, int):  # from get_batch_samples, of this process only
            return max(num_items_in_batch, 1)
        items = torch.as_tensor(num_items_in_batch, device=labels.device).flatten()[0]
        averaged = self.args.average_tokens_across_devices
        if self.args.n_gpu > 1 and not averaged:
            items = items * self.args.n_gpu  # DataParallel: the loss is over all rows
        # DistributedDataParallel averages gradients over processes; this makes it a sum.
        processes = self.accelerator.num_processes if averaged else 1
        return items.clamp(min=1) / processes


def _check_numbered(*data: Any) -> None:
    """Raise InputError if blocks whose documents shall be separate do not number them."""
    for blocks in data:
        if isinstance(blocks, BlockDataset) and not blocks.documents:
            if blocks.store.manifest.packing == "none":  # one document per block
                continue
            blocks.store.check_document_starts()
            raise InputError(
                f"documents=separate needs batches with document_ids: give "
                f"{type(blocks).__name__}(store, documents=True)."
            )
