"""A trainer whose model learns from a teacher, too."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError
from mlmfast.torch_models import text_config
from mlmfast.training.model.distillation.loss import distillation_sums, weighted
from mlmfast.training.model.distillation.teacher import Teacher, check_same_vocabulary
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.trainer.mlm_trainer import MLMTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mlmfast.training.model.masked_head import MaskedHead
    from mlmfast.training.model.masked_rows import MaskedLogits

logger = logging.getLogger(__name__)


class DistillationTrainer(MLMTrainer):
    """An `MLMTrainer` whose loss compares the model with a teacher at the masked tokens.

    The loss of a step is the mean over its masked tokens, over all accumulated batches and all
    processes, of the weighted sum of three parts: the divergence from the teacher, the
    cross-entropy with the labels, and 1 - cosine of the last hidden states. It logs the means of
    the parts beside the loss: `distillation_loss`, `mlm_loss` and `hidden_loss`, each without its
    weight. Evaluations are those of the model alone.

    The teacher runs without dropout and gradients, in the precision of the training, its head (and
    where possible its last layer) on the masked rows. It is no part of the model: the optimizer,
    checkpoints and the saved model do not have it. Each process has its own copy.

    Args:
        args: the arguments of `MLMTrainer`.
        teacher: a masked language model of transformers with the vocabulary of the model. Its
            parameters are frozen.
        weights: the weights of the parts; where the hidden states of the two have other widths,
            that part is left out, with a warning.
        kwargs: the arguments of `MLMTrainer`.

    Raises:
        InputError: the vocabularies differ; the loss would have no part; there is a
            `compute_loss_func`; or the training divides something other than batches.
    """

    _keeps_hidden = True

    def __init__(
        self,
        *args: Any,
        teacher: PreTrainedModel,
        weights: DistillationWeights | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._check_kind()
        check_same_vocabulary(self.model, teacher)
        self.weights = _comparable(weights or DistillationWeights(), self.model, teacher)
        self._keeps_hidden = bool(self.weights.hidden)
        self._teacher: Teacher | None = None
        if self.weights.use_teacher:
            documents = self._document_attention([], model=teacher)
            self._teacher = Teacher(
                teacher, self.args.device, hidden=self._keeps_hidden, documents=documents
            )
        # The parts of the steps since the last log, on the device, and the first of these steps.
        self._parts: dict[str, torch.Tensor] = {}
        self._parts_since = 0
        logger.info("the loss is %s, each a mean over the masked tokens", self.weights)

    def _masked_loss(
        self,
        masked: MaskedLogits,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor,
        items: torch.Tensor | int,
    ) -> torch.Tensor:
        if not self.model.training:
            return super()._masked_loss(masked, inputs, labels, positions, items)
        taught = None
        if self._teacher is not None:
            dtype = torch.bfloat16 if self.args.bf16 else torch.float16
            half = self.args.bf16 or self.args.fp16
            with torch.autocast(self.args.device.type, dtype, enabled=half):
                taught = self._teacher(inputs, labels, positions)
        sums = distillation_sums(
            masked, taught, self.weights, label_smoothing=self.args.label_smoothing_factor
        )
        if self._in_step:
            self._add_parts({name: part.detach() / items for name, part in sums.items()})
        return weighted(sums, self.weights) / items

    def _add_parts(self, parts: dict[str, torch.Tensor]) -> None:
        if not self._parts:
            self._parts_since = self.state.global_step
        self._parts = {name: self._parts.get(name, 0) + part for name, part in parts.items()}

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the mean of each part of the loss since the last logged loss."""
        steps = self.state.global_step - self._parts_since
        if "loss" in logs and self._parts and steps > 0:
            names = list(self._parts)
            values = torch.stack([self._parts[name] for name in names])
            if self.args.world_size > 1:  # as the Trainer does with the loss
                values = self.accelerator.gather(values[None]).mean(0)
            means = (values / steps).tolist()
            logs |= {
                f"{name}_loss": round(mean, 4) for name, mean in zip(names, means, strict=True)
            }
            self._parts = {}
        super().log(logs, *args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self._parts = {}
        return super().train(*args, **kwargs)

    def _heads_without_backward(self) -> list[MaskedHead]:
        return [] if self._teacher is None else [self._teacher.head]

    def _check_kind(self) -> None:
        if self.compute_loss_func is not None:
            raise InputError("A distillation has its own loss: train without compute_loss_func.")
        divided = {
            "DataParallel (start one process a GPU, with torchrun)": self.args.n_gpu > 1,
            "DeepSpeed": self.is_deepspeed_enabled,
            "FSDP": self.is_fsdp_enabled,
        }
        if active := [name for name, used in divided.items() if used]:
            raise InputError(
                f"A distillation under {active[0]} is not supported: train in one process, or in "
                "several with DDP."
            )


def _comparable(
    weights: DistillationWeights, model: torch.nn.Module, teacher: torch.nn.Module
) -> DistillationWeights:
    """Leave out the part of the hidden states where these have other widths, with a warning."""
    widths = [
        getattr(text_config(getattr(each, "config", None)), "hidden_size", None)
        for each in (model, teacher)
    ]
    if not weights.hidden or widths[0] == widths[1]:
        return weights
    logger.warning(
        "hidden states are not compared: those of the student have %s numbers, those of the "
        "teacher %s",
        *widths,
    )
    return replace(weights, hidden=0.0)
