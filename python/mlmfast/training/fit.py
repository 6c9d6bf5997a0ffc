"""One run of the trainer, from the first step to the `TrainResult`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from transformers.trainer_utils import TrainOutput

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.model.adapters import Adapter
    from mlmfast.training.recipes.summary import PhaseSummary
    from mlmfast.training.trainer.interrupt import StopAtStep
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer
    from mlmfast.training.trainer.saving.resume_changes import Change
    from mlmfast.training.trainer.source_reads import SourceRead


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        output: the folder of the model.
        before: the evaluation before the first step; None without evaluations.
        after: the evaluation of the finished model (with `average`, of the averaged weights); None
            without evaluations.
        steps: optimizer steps, with those before a resume.
        epochs: passes over the training blocks.
        train_loss: mean loss of a step (since a resume), in nats per masked token; with a teacher,
            of the weighted sum of its parts.
        seconds: duration of the training, with evaluations and checkpoints.
        tokens_per_second: training tokens per second since the start (or the resume), without
            padding, evaluations and checkpoints; 0.0 if there were none.
        parameters: number of weights of the model, without adapters.
        precision: `fp32`, `bf16` or `fp16`.
        device: `cpu`, `cuda` ...
        mfu: model FLOPs utilization (the head counted at masked tokens only); None if the
            operations of the model cannot be counted.
        peak: the peak rate of the device, and the source of that number.
        blocks: number of training blocks; None if unknown.
        fill_rate: share of the positions of the training batches that were not padding; None if
            unknown.
        changes: options that a resume changed, with the step from which the new value holds.
        adapter: the adapters that were trained; None if all weights were.
        sources: what was read of each source of a mixture, since the first step.
        average: which average of the weights the model is, in words; None if it has those of the
            last step.
        last_weights: with `average`, the evaluation of the weights of the last step.
        phases: the phases of a recipe.
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
    fill_rate: float | None = None
    changes: tuple[Change, ...] = ()
    adapter: Adapter | None = None
    sources: tuple[SourceRead, ...] = ()
    average: str | None = None
    last_weights: Evaluation | None = None
    phases: tuple[PhaseSummary, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        names = ("before", "after", "last_weights")
        measured = {name: getattr(self, name) for name in names}
        found = {name: each.to_dict() if each else None for name, each in measured.items()}
        return asdict(self) | {"output": str(self.output)} | found

    def __str__(self) -> str:
        share = "" if self.mfu is None else f" (MFU {self.mfu:.0%} of {self.peak})"
        full = "" if self.fill_rate is None else f", batches {self.fill_rate:.1%} full"
        passes = f"{len(self.phases)} phases" if self.phases else f"{self.epochs:.2f} epochs"
        speed = (
            f"trained {self.steps:,} steps ({passes}) in {self.seconds:,.1f} s, "
            f"{self.tokens_per_second:,.0f} tokens/s{share}{full}, {self.precision} on "
            f"{self.device}"
        )
        lines = [speed]
        if self.adapter:
            lines.append(f"trained {self.adapter}")
        lines += [f"read {source}" for source in self.sources]
        if self.before:
            lines.append(f"before: {self.before}")
        if self.last_weights:
            lines.append(f"last weights: {self.last_weights}")
        if self.after:
            lines.append(f"after:  {self.after}")
        if self.average:
            lines.append(f"the model has {self.average}")
        what = "adapter" if self.adapter and self.adapter.kept else "model"
        return "\n".join([*lines, f"{what} in {self.output}"])


class IntervalsCallback(transformers.TrainerCallback):
    """Sets the present `logging_steps`, `eval_steps` and `save_steps` after a resume.

    Without it, those of the checkpoint would hold.
    """

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Compute them from the present arguments."""
        state.compute_steps(args, state.max_steps)


def run(
    trainer: MLMTrainer,
    output: Path,
    checkpoint: Path | None,
    *,
    stop: StopAtStep,
    quiet: bool,
) -> TrainResult:
    """Train, evaluate before and after, and return the result.

    Args:
        trainer: the trainer.
        output: the output folder, for the result.
        checkpoint: the checkpoint to resume from; None for a new training.
        stop: ends the training early on signals and at the time limit.
        quiet: show no progress.

    Raises:
        TrainingInterrupted: a signal or the time limit ended the training, with a checkpoint if
            there was a step.
        KeyboardInterrupt: a second Ctrl-C.
    """
    trainer.remove_callback(transformers.PrinterCallback)
    progress = Progress()
    if not quiet:
        trainer.add_callback(progress)
    trainer.add_callback(IntervalsCallback())
    try:
        trained = train_steps(trainer, checkpoint, stop)
    finally:
        progress.close()
    before, after = evaluations_of(trainer)
    average = trainer.describe_average()
    last = None
    if average is not None:
        averaged = trainer.averaged_evaluations.get(trainer.state.global_step)
        last, after = after, averaged
    epochs = trainer.state.epoch or 0.0
    throughput = trainer.throughput.since_start(epochs) if trainer.throughput else {}
    peak = trainer.throughput.peak if trainer.throughput else None
    arguments, data = trainer.args, trainer.train_dataset
    steps = trainer.state.global_step
    train_loss = trained.training_loss
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
        seconds=trained.metrics["train_runtime"],
        tokens_per_second=throughput.get("tokens_per_second", 0.0),
        mfu=throughput.get("mfu"),
        peak=None if peak is None else str(peak),
        parameters=trainer.adapter.parameters
        if trainer.adapter
        else sum(each.numel() for each in trainer.model.parameters()),
        precision="bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32",
        device=arguments.device.type,
        blocks=data.blocks,
        fill_rate=trainer.fill_rate,
        changes=trainer.changes,
        adapter=trainer.adapter,
        sources=trainer.sources_read(steps),
        average=average,
        last_weights=last,
        phases=data.summaries() if isinstance(data, PhasedBlocks) else (),
    )


def train_steps(
    trainer: MLMTrainer, checkpoint: str | Path | None, stop: StopAtStep
) -> TrainOutput:
    """Run the optimizer steps, up to the last one or until `stop` ends the training.

    Raises:
        TrainingInterrupted: a signal or the time limit ended the training, with a checkpoint if
            there was a step.
        KeyboardInterrupt: a second Ctrl-C.
    """
    trainer.add_callback(stop)
    try:
        with stop.deferring_signals():
            output = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except TrainingInterrupted:
        # Raised in an evaluation, between two steps.
        if trainer.state.global_step > stop.first_step:
            trainer.save_now()
        raise
    if stop.cause is not None:
        last = trainer.evaluations.get(trainer.state.global_step)
        raise TrainingInterrupted(cause=stop.cause, evaluation=last)
    return output


def evaluations_of(trainer: MLMTrainer) -> tuple[Evaluation | None, Evaluation | None]:
    """Return the evaluations before the first step, and of the weights that will be saved."""
    if trainer.eval_dataset is None:
        return None, None
    last = trainer.state.global_step
    if last not in trainer.evaluations or trainer.args.load_best_model_at_end:
        trainer.evaluate()
    after = trainer.evaluations[last]
    if 0 in trainer.evaluations:
        return trainer.evaluations[0], after
    # After a resume, the log of the first run is part of the checkpoint and has the metrics. They
    # are comparable only if they are of the same blocks.
    for entry in trainer.state.log_history:
        same = entry.get("eval_masked_tokens") == after.masked_tokens
        if entry["step"] == 0 and "eval_loss" in entry and same:
            return after.with_logged(entry, "eval"), after
    return None, after
