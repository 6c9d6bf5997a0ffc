"""One run of the trainer, from the first step to the figures of the result."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from transformers.trainer_utils import TrainOutput

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.trainer.interrupt import StopAtStep
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer
    from mlmfast.training.trainer.resume_changes import Change


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        output: the checkpoint's folder.
        before: how well the model filled masks before; None without evaluation.
        after: how well it fills them now; None without evaluation.
        steps: optimizer steps, those before a resume included.
        epochs: passes over the training blocks.
        train_loss: mean loss of a step (since a resume), in nats a masked token.
        seconds: time of the training itself, evaluations and checkpoints included.
        tokens_per_second: tokens that went through the model each second of the steps since the
            start (or the resume), padding, evaluations and checkpoints left out; 0.0 if none did.
        parameters: number of the model's weights.
        precision: `fp32`, `bf16` or `fp16`.
        device: `cpu`, `cuda` ...
        mfu: share of the device's peak that these tokens are (operations that cannot be left away,
            the head's at masked tokens); None where it cannot be counted.
        peak: the device's peak, and where that number is from.
        blocks: number of blocks that were trained on; None where it is not known.
        changes: options that resumes gave other values, with the step from which these count.
    """

    output: Path
    before: Evaluation | None
    after: Evaluation | None
    steps: int
    epochs: float
    train_loss: float
    seconds: float
    tokens_per_second: float
    parameters: int
    precision: str
    device: str
    mfu: float | None = None
    peak: str | None = None
    blocks: int | None = None
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON knows them."""
        before, after = (found.to_dict() if found else None for found in (self.before, self.after))
        return asdict(self) | {"output": str(self.output), "before": before, "after": after}

    def __str__(self) -> str:
        share = "" if self.mfu is None else f" (MFU {self.mfu:.0%} of {self.peak})"
        speed = (
            f"trained {self.steps:,} steps ({self.epochs:.2f} epochs) in {self.seconds:,.1f} s, "
            f"{self.tokens_per_second:,.0f} tokens/s{share}, {self.precision} on {self.device}"
        )
        lines = [speed]
        if self.before:
            lines.append(f"before: {self.before}")
        if self.after:
            lines.append(f"after:  {self.after}")
        return "\n".join([*lines, f"model in {self.output}"])


class FrequenciesOfNow(transformers.TrainerCallback):
    """Logs, measures and saves as often as is said now; a resume brings the checkpoint's back."""

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Say it."""
        state.compute_steps(args, state.max_steps)


def run(
    trainer: MLMTrainer,
    output: Path,
    checkpoint: Path | None,
    *,
    stop: StopAtStep,
    quiet: bool,
) -> TrainResult:
    """Train, measure before and after, and put the figures together.

    Args:
        trainer: ready to train.
        output: the folder that the result names.
        checkpoint: the checkpoint to go on from.
        stop: ends the training early, where it has to.
        quiet: show no progress.

    Raises:
        TrainingInterrupted: a signal or the time limit ended the training; a checkpoint was written
            if a step had been made.
        KeyboardInterrupt: a second Ctrl-C.
    """
    trainer.remove_callback(transformers.PrinterCallback)
    progress = Progress()
    if not quiet:
        trainer.add_callback(progress)
    trainer.add_callback(FrequenciesOfNow())
    try:
        found = train_steps(trainer, checkpoint, stop)
    finally:
        progress.close()
    before, after = evaluations_of(trainer)
    epochs = trainer.state.epoch or 0.0
    speed = trainer.speed.whole(epochs) if trainer.speed else {}
    peak = trainer.speed.peak if trainer.speed else None
    arguments = trainer.args
    steps = trainer.state.global_step
    train_loss = found.training_loss
    if not hasattr(trainer, "_initial_global_step"):
        # transformers 4 divides the sum since a resume by all steps.
        train_loss *= steps / max(steps - stop.first_step, 1)
    return TrainResult(
        output=output,
        before=before,
        after=after,
        steps=steps,
        epochs=epochs,
        train_loss=train_loss,
        seconds=found.metrics["train_runtime"],
        tokens_per_second=speed.get("tokens_per_second", 0.0),
        mfu=speed.get("mfu"),
        peak=None if peak is None else str(peak),
        parameters=sum(each.numel() for each in trainer.model.parameters()),
        precision="bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32",
        device=arguments.device.type,
        blocks=len(trainer.train_dataset),
        changes=trainer.changes,
    )


def train_steps(
    trainer: MLMTrainer, checkpoint: str | Path | None, stop: StopAtStep
) -> TrainOutput:
    """Make the optimizer steps, up to the last one or to the one after which `stop` ends them.

    Raises:
        TrainingInterrupted: a signal or the time limit ended the training; a checkpoint was written
            if a step had been made.
        KeyboardInterrupt: a second Ctrl-C.
    """
    trainer.add_callback(stop)
    try:
        with stop.deferring_signals():
            found = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except TrainingInterrupted:
        # Raised in an evaluation, between two steps.
        if trainer.state.global_step > stop.first_step:
            trainer.save_now()
        raise
    if stop.cause is not None:
        last = trainer.evaluations.get(trainer.state.global_step)
        raise TrainingInterrupted(cause=stop.cause, evaluation=last)
    return found


def evaluations_of(trainer: MLMTrainer) -> tuple[Evaluation | None, Evaluation | None]:
    """Give the measurements before the first step, and of the weights that will be saved."""
    if trainer.eval_dataset is None:
        return None, None
    last = trainer.state.global_step
    if last not in trainer.evaluations or trainer.args.load_best_model_at_end:
        trainer.evaluate()
    after = trainer.evaluations[last]
    if 0 in trainer.evaluations:
        return trainer.evaluations[0], after
    # After a resume: the log of the first run, which the checkpoint carries, has the figures. Of
    # other blocks, they could not be compared.
    for entry in trainer.state.log_history:
        same = entry.get("eval_masked_tokens") == after.masked_tokens
        if entry["step"] == 0 and "eval_loss" in entry and same:
            names = [field.name for field in dataclasses.fields(after)]
            logged = {name: entry[f"eval_{name}"] for name in names if f"eval_{name}" in entry}
            return dataclasses.replace(after, **logged), after
    return None, after
