"""The curves of a training, out of the Trainer's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """Values over steps, both of the same length."""

    name: str
    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Curve:
    """One chart: lines with the same unit.

    Attributes:
        title: what is shown, with its unit.
        lines: at least one.
        form: how a value is written.
        logarithmic: whether the values span more than a factor of ten.
    """

    title: str
    lines: list[Line]
    form: str
    logarithmic: bool = False


def curves_of(log: list[dict[str, Any]]) -> list[Curve]:
    """Collect loss, perplexity, learning rate and tokens a second, those that were logged.

    Args:
        log: `TrainerState.log_history`; a checkpoint carries it, so that of a resumed training
            begins with the first step.
    """
    loss = [_line(log, "training", "loss"), _line(log, "evaluation", "eval_loss")]
    perplexity = _line(log, "evaluation", "eval_perplexity")
    wide = bool(perplexity.values) and max(perplexity.values) > 10 * min(perplexity.values)
    found = [
        Curve("Loss, nats a masked token", loss, "{:.4g}"),
        Curve("Perplexity of the evaluation", [perplexity], "{:,.4g}", logarithmic=wide),
        Curve("Learning rate", [_line(log, "learning rate", "learning_rate")], "{:.1e}"),
        Curve("Tokens a second", [_line(log, "tokens/s", "tokens_per_second")], "{:,.0f}"),
    ]
    drawn = [
        Curve(one.title, [line for line in one.lines if line.steps], one.form, one.logarithmic)
        for one in found
    ]
    return [one for one in drawn if one.lines]


def _line(log: list[dict[str, Any]], name: str, key: str) -> Line:
    points = {entry["step"]: float(entry[key]) for entry in log if key in entry}
    return Line(name, list(points), list(points.values()))
