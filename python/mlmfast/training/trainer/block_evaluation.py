"""A Trainer that evaluates on `EvaluationBlocks`, with its present and its averaged weights."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from transformers.trainer_utils import EvalLoopOutput

from mlmfast.training.block_dataset import BlockDataset
from mlmfast.training.evaluation.totals import Totals
from mlmfast.training.model.loss import per_block_metrics
from mlmfast.training.model.masked_rows import find_positions
from mlmfast.training.trainer.averaging.averaged_weights import AVERAGED, AveragedWeights

if TYPE_CHECKING:
    import transformers

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.model.masked_head import MaskedHead


class BlockEvaluation(AveragedWeights):
    """A Trainer whose loss in an evaluation is a mean over masked tokens, not over batches.

    Attributes:
        evaluations: the evaluations on `EvaluationBlocks` by step.
        averaged_evaluations: those of the averaged weights.
    """

    control: transformers.TrainerControl

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evaluations: dict[int, Evaluation] = {}
        self.averaged_evaluations: dict[int, Evaluation] = {}

    def _masked_head(self) -> MaskedHead:
        """Return the head of the present model."""
        raise NotImplementedError

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Evaluate on `EvaluationBlocks`; run the Trainer's loop on any other data set.

        The averaged weights, if there are any, are evaluated after the present ones.
        """
        options = (dataloader, description, prediction_loss_only, ignore_keys)
        output = self._evaluate_weights(self.evaluations, *options, metric_key_prefix)
        if description == "Prediction":
            return output
        # A loader of other data draws from torch's generator: the steps must not depend on that.
        with torch.random.fork_rng(devices=[]), self.averaged_weights() as averaged:
            if averaged is None:
                return output
            prefix = f"{metric_key_prefix}_{AVERAGED}"
            second = self._evaluate_weights(self.averaged_evaluations, *options, prefix)
        # The Trainer divides the number of samples by the time for both.
        return output._replace(
            metrics=output.metrics | second.metrics,
            num_samples=output.num_samples + second.num_samples,
        )

    def _evaluate_weights(
        self,
        found: dict[int, Evaluation],
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None,
        ignore_keys: list[str] | None,
        metric_key_prefix: str,
    ) -> EvalLoopOutput:
        """Evaluate the model with its present weights; add the evaluation to those by step."""
        blocks = getattr(dataloader, "dataset", None)
        is_other = self.compute_metrics is not None or description == "Prediction"
        if is_other or not isinstance(blocks, BlockDataset):
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        started = time.perf_counter()
        untrained = not self.accelerator._models  # noqa: SLF001 (the Trainer checks the same)
        model = self._wrap_model(self.model, training=False)
        model.eval()
        prepared = time.perf_counter() - started
        totals = Totals(blocks, dataloader)
        # Iterating over a data loader draws a number from torch's generator. With the generator
        # restored, the dropout of the training does not depend on evaluations.
        with torch.random.fork_rng(devices=[]):
            for batch in dataloader:
                # On the CPU: on a GPU, this would synchronize.
                positions = find_positions(batch["labels"]).to(self.args.device)
                inputs = self._prepare_inputs(batch)
                labels = inputs.pop("labels")
                with torch.no_grad(), self.accelerator.autocast():
                    masked = self._masked_head()(model, inputs, labels, positions)
                    totals.add(per_block_metrics(masked, len(labels)))
                self.control = self.callback_handler.on_prediction_step(
                    self.args, self.state, self.control
                )
        if self.args.world_size > 1:
            device, reduce = self.args.device, self.accelerator.reduce
            totals.sum_over(lambda sums: reduce(sums.to(device), "sum").cpu())
        evaluation = totals.evaluation(
            precision="bf16" if self.args.bf16 else "fp16" if self.args.fp16 else "fp32",
            seconds=time.perf_counter() - started,
            documents="separate"
            if blocks.documents and self._masked_head().keeps_documents_apart
            else "joined",
        )
        found[self.state.global_step] = evaluation
        metrics = evaluation.logged(metric_key_prefix)
        metrics[f"{metric_key_prefix}_accuracy"] = evaluation.top1  # its name in run_mlm.py
        if untrained:  # as in the Trainer, unless a training has prepared the model
            metrics[f"{metric_key_prefix}_model_preparation_time"] = round(prepared, 4)
        return EvalLoopOutput(
            predictions=None, label_ids=None, metrics=metrics, num_samples=len(blocks)
        )
