"""A trainer whose model learns from a teacher, too."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.distillation.loss import comparable, distillation_sums, weighted
from mlmfast.training.model.distillation.teacher import (
    Teacher,
    check_same_vocabulary,
    count_tokens,
    half_of,
    hidden_size,
)
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.teacher_answers.reader import AnswerReader, at_positions, pop_columns
from mlmfast.training.trainer.mlm_trainer import MLMTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mlmfast.training.model.distillation.top_logits import TopLogits
    from mlmfast.training.model.masked_head import MaskedHead
    from mlmfast.training.model.masked_rows import MaskedLogits
    from mlmfast.training.teacher_answers.folder import AnswerFolder

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
    checkpoints and the saved model do not have it. Each process has its own copy. With stored
    answers there is no teacher: they come with the batches.

    Args:
        args: the arguments of `MLMTrainer`.
        teacher: a masked language model of transformers with the vocabulary of the model. Its
            parameters are frozen.
        answers: in place of a teacher, its stored answers to `train_dataset`, a `MaskedBlocks`.
        weights: the weights of the parts; where the hidden states of the two have other widths,
            that part is left out, with a warning.
        kwargs: the arguments of `MLMTrainer`.

    Raises:
        InputError: the vocabularies differ; the loss would have no part, or needs what is not
            stored; there is a `compute_loss_func`; or the training divides something other than
            batches.
    """

    _keeps_hidden = True

    def __init__(
        self,
        *args: Any,
        teacher: PreTrainedModel | None = None,
        answers: AnswerFolder | None = None,
        weights: DistillationWeights | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._check_kind()
        self.weights = weights or DistillationWeights()
        self._teacher: Teacher | None = None
        # The stored answers to the present batch.
        self._stored: dict[str, torch.Tensor] = {}
        if answers is not None:
            self._use_answers(answers)
        elif teacher is not None:
            self._use_teacher(teacher)
        else:
            raise InputError("A distillation needs a teacher, or its stored answers.")
        # The parts of the steps since the last log, on the device, and the first of these steps.
        self._parts: dict[str, torch.Tensor] = {}
        self._parts_since = 0
        logger.info("the loss is %s, each a mean over the masked tokens", self.weights)

    def _use_teacher(self, teacher: PreTrainedModel) -> None:
        check_same_vocabulary(self.model, count_tokens(teacher))
        self._leave_out_hidden(hidden_size(teacher))
        self._keeps_hidden = bool(self.weights.hidden)
        if self.weights.use_teacher:
            self._teacher = Teacher(
                teacher,
                self.args.device,
                hidden=self._keeps_hidden,
                half=half_of(self.args),
                documents=self._document_attention([], model=teacher),
            )

    def _use_answers(self, answers: AnswerFolder) -> None:
        blocks, form = self.train_dataset, answers.form
        if not isinstance(blocks, MaskedBlocks):
            raise InputError(
                "A teacher's answers are stored by block: train on MaskedBlocks, or with the "
                "teacher itself."
            )
        check_same_vocabulary(self.model, form.vocabulary)
        self._leave_out_hidden(form.hidden_size)
        self._keeps_hidden = bool(self.weights.hidden)
        form.check(self.weights, where=answers.path)
        if self.weights.use_teacher:
            temperature = self.weights.temperature if self.weights.distillation else None
            blocks.answers = AnswerReader(
                answers, temperature=temperature, hidden=self._keeps_hidden
            )

    def _leave_out_hidden(self, theirs: int | None) -> None:
        """Leave out the part of the hidden states where these have other widths, with a warning."""
        ours = hidden_size(self.model)
        weights = comparable(self.weights, ours, theirs)
        if weights != self.weights:
            logger.warning(
                "hidden states are not compared: those of the student have %s numbers, those of "
                "the teacher %s",
                ours,
                theirs,
            )
        self.weights = weights

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss as `MLMTrainer` does; stored answers are no input of the model."""
        inputs = dict(inputs)
        self._stored = pop_columns(inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _taught(
        self, inputs: dict[str, Any], labels: torch.Tensor, positions: torch.Tensor
    ) -> MaskedLogits | TopLogits | None:
        if self._stored:
            return at_positions(self._stored, labels, positions)
        return None if self._teacher is None else self._teacher(inputs, labels, positions)

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
        taught = self._taught(inputs, labels, positions)
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
