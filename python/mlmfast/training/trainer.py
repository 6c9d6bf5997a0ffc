"""`transformers.Trainer`, made to train masked language models on blocks."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
import transformers
from accelerate.utils import DynamoBackend
from transformers.trainer_utils import EvalLoopOutput

from mlmfast.training.blocks import EvaluationBlocks, MaskedBlocks, WithPositions, keep_batch
from mlmfast.training.evaluation import Evaluation, summarize
from mlmfast.training.loss import masked_loss_sum, row_counts
from mlmfast.training.sparse_head import MaskedHead, at_masks

logger = logging.getLogger(__name__)


class EpochKeys(transformers.TrainerCallback):
    """Tell the training blocks which epoch it is, before the first batch of each.

    Accelerate does so itself in one process, but not where it splits batches between several.
    """

    def on_epoch_begin(
        self,
        _args: Any,
        state: Any,
        _control: Any,
        train_dataloader: Any = None,
        **_kwargs: Any,
    ) -> None:
        """Set the epoch's number, which a resume inside of the epoch has a fraction added to."""
        blocks = getattr(train_dataloader, "dataset", None)
        if isinstance(blocks, MaskedBlocks):
            blocks.set_epoch(int(state.epoch))


class MLMTrainer(transformers.Trainer):
    """A `transformers.Trainer` for masked language models, with the Trainer's own arguments.

    It differs from the Trainer in this:

    - `train_dataset=MaskedBlocks(store)` and `eval_dataset=EvaluationBlocks(store)` need no data
      collator and no further option; any other data set with `labels` works as in the Trainer.
    - The model's head runs on the masked tokens only, wherever that gives the same logits.
    - The loss is the sum over the masked tokens divided by their number in the whole optimizer
      step, over all accumulated batches and all processes; a step without masked tokens has loss 0.
    - An evaluation on `EvaluationBlocks` divides the summed loss by the number of masked tokens,
      and adds `eval_perplexity`, `eval_top1`, `eval_top5` and `eval_bits_per_byte`;
      `evaluations` keeps them by step. With `compute_metrics`, the Trainer's own evaluation runs.
    """

    control: transformers.TrainerControl
    data_collator: Any

    def __init__(
        self,
        model: Any = None,
        args: transformers.TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        on_blocks = isinstance(train_dataset or eval_dataset, EvaluationBlocks)
        if on_blocks and args is not None:
            # There are no columns to remove, and the Trainer's filter wants a list of rows.
            args.remove_unused_columns = False
        if on_blocks and data_collator is None:
            data_collator = keep_batch
        super().__init__(model, args, data_collator, train_dataset, eval_dataset, **kwargs)
        # Makes the Trainer count the labels of a whole step, and leave the loss as it comes.
        self.model_accepts_loss_kwargs = True
        self.evaluations: dict[int, Evaluation] = {}
        self._head: MaskedHead | None = None
        self.data_collator = WithPositions(self.data_collator)
        given = [each for each in (train_dataset, eval_dataset) if each is not None]
        whole = all(isinstance(each, EvaluationBlocks) for each in given)
        # Where one process reads for all (streams), each gets rows of every tensor in a batch.
        self._cuts_batches = self.args.world_size > 1 and not (
            whole and not self.accelerator.dispatch_batches
        )
        self.add_callback(EpochKeys())

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Sum the loss over this batch's masked tokens; divide by those of the whole step."""
        inputs = dict(inputs)
        positions = self._positions(inputs)
        if self.compute_loss_func is not None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")
        smoothing = self.args.label_smoothing_factor
        outputs = model(**inputs) if return_outputs else None
        if outputs is None:
            masked = self._masked_head()(model, inputs, labels, positions)
        else:
            masked = at_masks(outputs.logits, labels, positions)
        loss = masked_loss_sum(masked, label_smoothing=smoothing)
        loss = loss / self._step_items(labels, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def _masked_head(self) -> MaskedHead:
        """The head of the present model, which `model_init` may have made anew."""
        if self._head is None or self._head.model is not self.model:
            # A hook does not know which rows the copies and shards that these make of a model get.
            spread = {
                "DataParallel (start one process a GPU, with torchrun)": self.args.n_gpu > 1,
                "FSDP": self.is_fsdp_enabled,
                "DeepSpeed": self.is_deepspeed_enabled,
            }
            over = [name for name, used in spread.items() if used]
            if over:
                logger.warning("under %s, the head runs on all rows", over[0])
            self._head = MaskedHead(
                self.model,
                allowed=not over,
                last_layer=not self.args.gradient_checkpointing,
                static=self.accelerator.state.dynamo_plugin.backend != DynamoBackend.NO,
            )
        return self._head

    def _positions(self, inputs: dict[str, Any]) -> torch.Tensor | None:
        """Take the positions out of a batch; None where they may have been cut like rows."""
        positions = inputs.pop("positions", None)
        return None if self._cuts_batches else positions

    def _step_items(
        self, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Count the masked tokens that the gradient of this step is a mean over."""
        if num_items_in_batch is None:
            return (labels != -100).sum().clamp(min=1)
        items = torch.as_tensor(num_items_in_batch, device=labels.device).flatten()[0]
        averaged = self.args.average_tokens_across_devices
        if self.args.n_gpu > 1 and not averaged:
            items = items * self.args.n_gpu  # one process, several GPUs: the loss sees all rows
        # The processes' gradients are averaged, so a sum over all of them needs this factor.
        processes = self.accelerator.num_processes if averaged else 1
        return items.clamp(min=1) / processes

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Measure on `EvaluationBlocks`; anything else is the Trainer's own loop."""
        blocks = getattr(dataloader, "dataset", None)
        others = self.compute_metrics is not None or description == "Prediction"
        if others or not isinstance(blocks, EvaluationBlocks):
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        started = time.perf_counter()
        model = self._wrap_model(self.model, training=False)
        model.eval()
        tally = torch.zeros(4, dtype=torch.float64)
        # Beginning a pass over a data loader draws a number from torch's generator; put back, the
        # training's dropout does not depend on whether there was an evaluation.
        with torch.random.fork_rng(devices=[]):
            for batch in dataloader:
                inputs = self._prepare_inputs(batch)
                labels = inputs.pop("labels")
                positions = self._positions(inputs)
                with torch.inference_mode(), self.accelerator.autocast():
                    masked = self._masked_head()(model, inputs, labels, positions)
                    counts = row_counts(masked, len(labels))
                # Drops the rows that were dealt twice to make the processes' shares equal.
                tally += self.accelerator.gather_for_metrics(counts).double().sum(0).cpu()
                self.control = self.callback_handler.on_prediction_step(
                    self.args, self.state, self.control
                )
        found = summarize(
            tally,
            blocks,
            precision="bf16" if self.args.bf16 else "fp16" if self.args.fp16 else "fp32",
            seconds=time.perf_counter() - started,
        )
        self.evaluations[self.state.global_step] = found
        names = ("loss", "perplexity", "top1", "top5", "bits_per_byte", "masked_tokens")
        metrics = {
            f"{metric_key_prefix}_{name}": getattr(found, name)
            for name in names
            if getattr(found, name) is not None
        }
        return EvalLoopOutput(
            predictions=None, label_ids=None, metrics=metrics, num_samples=len(blocks)
        )
