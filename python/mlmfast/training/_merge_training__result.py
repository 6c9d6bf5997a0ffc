"""What a training answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.training.evaluation.metrics import Evaluation
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
