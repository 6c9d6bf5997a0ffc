"""A Trainer that averages its weights while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy

from mlmfast.errors import InputError
from mlmfast.peft_models import without_adapters
from mlmfast.training.options.averaging import Averaging
from mlmfast.training.trainer.averaging.ema import ExponentialAverage
from mlmfast.training.trainer.averaging.last import MeanOfLast
from mlmfast.training.trainer.saving.resume_states import ResumedArguments

if TYPE_CHECKING:
    from collections.abc import Iterator

AVERAGED = "averaged"
"""Stands behind the prefix of the metrics of the averaged weights: `eval_averaged_loss`."""
_FOLDER = "average"  # in a checkpoint
_HOME = ".average"  # beside the checkpoints


class AverageCallback(transformers.TrainerCallback):
    """Takes the weights after each step into the average."""

    def __init__(self, trainer: AveragedWeights) -> None:
        self._trainer = trainer

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **_kwargs: Any) -> None:
        """Take them in, before an evaluation or a checkpoint of the step."""
        self._trainer.update_average()


class AveragedWeights(ResumedArguments):
    """A Trainer that averages the weights which it trains; the steps do not depend on it.

    Checkpoints hold the state of the average, and a resume continues it to the same bits. The first
    of several processes keeps the average; the others receive it when it is evaluated or saved.
    """

    model: Any
    _average: ExponentialAverage | MeanOfLast | None = None

    def start_averaging(self, averaging: Averaging) -> None:
        """Average the weights of the next training.

        Raises:
            InputError: weights that are divided among processes, adapters, arguments that do not
                go with it, or a data set to measure on whose name the log gives to the average.
        """
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise InputError(
                f"average_checkpoints ({averaging}) does not work with FSDP or DeepSpeed, which "
                "divide the weights: start the processes with torchrun alone (DDP)."
            )
        averaging.check(
            save_strategy=self.args.save_strategy,
            load_best=self.args.load_best_model_at_end,
            adapters=without_adapters(self.model) is not self.model,
        )
        measured = getattr(self.eval_dataset, "parts", self.eval_dataset)
        if isinstance(measured, Mapping) and AVERAGED in measured:
            raise InputError(
                f"A data set to measure on is named {AVERAGED!r}, and eval_{AVERAGED}_loss is the "
                f"loss of the averaged weights (average_checkpoints is {averaging}): give it "
                "another name."
            )
        if averaging.last is not None:
            self._average = MeanOfLast(averaging.last, Path(self.args.output_dir) / _HOME)
        elif averaging.decay is not None:
            self._average = ExponentialAverage(averaging.decay)
        self.add_callback(AverageCallback(self))

    def update_average(self) -> None:
        """Take the present weights into an average over the steps."""
        if self._average is not None and self.is_world_process_zero():
            self._average.after_step(self._trained_weights())

    def describe_average(self) -> str | None:
        """Describe the average, as part of a sentence; None if there is none (yet).

        All processes have to call it.
        """
        if self._average is None:
            return None
        about: list[str | None] = [None]
        if self.is_world_process_zero():
            about = [self._average.describe(self.state.global_step, self._is_due())]
        if self.args.world_size > 1:
            torch.distributed.broadcast_object_list(about, src=0, device=self.args.device)
        return about[0]

    @contextmanager
    def averaged_weights(self) -> Iterator[str | None]:
        """Give the model its averaged weights inside the context, in the model's own dtype.

        Weights that are not trained, and buffers, stay as they are. All processes have to enter it.

        Returns:
            What `describe_average` says; with None, the model keeps its weights.
        """
        about = self.describe_average()
        if about is None:
            yield None
            return
        weights = self._trained_weights()
        averaged = self._averaged(weights)
        kept = {name: each.detach().clone() for name, each in weights.items()}
        try:
            _assign(weights, averaged)
            del averaged
            yield about
        finally:
            _assign(weights, kept)

    def _averaged(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the average, the same in all processes."""
        assert self._average is not None  # noqa: S101 - there is a description of it
        if not self.is_world_process_zero():
            values = {
                name: torch.empty(each.shape, device=each.device) for name, each in weights.items()
            }
        else:
            found = self._average.average(weights, self.state.global_step, self._is_due())
            values = {name: found[name].to(each.device) for name, each in weights.items()}
        if self.args.world_size > 1:
            for each in values.values():
                torch.distributed.broadcast(each, src=0)
        return values

    def _trained_weights(self) -> dict[str, torch.Tensor]:
        """Return the parameters that are trained, tied ones once."""
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def _is_due(self) -> bool:
        """Whether a checkpoint of this step belongs to the options, and not to an interrupt."""
        step, strategy = self.state.global_step, self.args.save_strategy
        if step == 0:
            return False
        if step >= self.state.max_steps:
            return True
        if strategy == SaveStrategy.EPOCH:
            return float(self.state.epoch or 0.0).is_integer()
        interval = self.state.save_steps
        return strategy == SaveStrategy.STEPS and interval > 0 and step % interval == 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self._average is not None and self.is_world_process_zero():
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder = Path(self._get_output_dir(trial)) / name / _FOLDER
            folder.mkdir(exist_ok=True)
            step, due = self.state.global_step, self._is_due()
            self._average.save(folder, self._trained_weights(), step, due)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._average is not None and self.is_world_process_zero():
            folder = None if checkpoint is None else Path(checkpoint) / _FOLDER
            self._average.load(folder, self._trained_weights())


@torch.no_grad()
def _assign(weights: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    """Copy values into weights, in place: hooks, optimizers and wrappers keep them."""
    for name, each in weights.items():
        each.copy_(values[name])
