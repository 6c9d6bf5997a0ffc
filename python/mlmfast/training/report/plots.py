"""Curves drawn by matplotlib, as one picture and as charts in the colours of a page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmfast.training.report import drawing
from mlmfast.training.report.drawing import style_axes

if TYPE_CHECKING:
    from pathlib import Path


def write_picture(curves: list[Curve], path: Path) -> None:
    """Draw all curves into one PNG, in two columns; see `drawing.write_picture`."""
    drawing.write_picture([(curve.title, partial(_draw, curve)) for curve in curves], path)


def as_svg(curve: Curve, number: int) -> str:
    """Draw one curve as an SVG element; see `drawing.as_svg`."""
    return drawing.as_svg(partial(_draw, curve), number)


def _draw(curve: Curve, axes: Any, colours: dict[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for line, colour in zip(curve.lines, ("first", "second"), strict=False):
        has_markers = len(line.steps) <= 24
        axes.plot(
            line.steps,
            line.values,
            color=colours[colour],
            linewidth=1.6,
            marker="o" if has_markers else None,
            markersize=3.5,
            solid_capstyle="round",
            solid_joinstyle="round",
            label=line.name,
        )
    if curve.logarithmic:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.margins(y=0.12)
    if min(min(line.values) for line in curve.lines) >= 0 and not curve.logarithmic:
        axes.set_ylim(bottom=0 if curve.title.startswith(("Tokens", "Learning")) else None)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _place: curve.form.format(value) if value else "0")
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))
    axes.set_xlabel("step", color=colours["muted"], fontsize=9)
    style_axes(axes, colours, grid="y")
    if len(curve.lines) > 1:
        axes.legend(frameon=False, labelcolor=colours["ink"], fontsize=9)


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
        title: the quantity with its unit.
        lines: one or more lines.
        form: the format string of a value.
        logarithmic: whether the y axis is logarithmic.
    """

    title: str
    lines: list[Line]
    form: str
    logarithmic: bool = False


def curves_of(log: list[dict[str, Any]]) -> list[Curve]:
    """Collect the logged values of loss, perplexity, learning rate and tokens per second.

    Args:
        log: `TrainerState.log_history`; it is part of a checkpoint, so a resumed training has it
            from the first step.
    """
    # With a teacher, the loss is a sum of parts, of which this one compares with the evaluation.
    taught = [
        _line(log, "divergence, times temperature squared", "distillation_loss"),
        _line(log, "1 - cosine of hidden states", "hidden_loss"),
    ]
    key = "mlm_loss" if any(line.steps for line in taught) else "loss"
    loss = [_line(log, "training", key), _line(log, "evaluation", "eval_loss")]
    perplexity = [
        _line(log, "evaluation", "eval_perplexity"),
        _line(log, "averaged weights", "eval_averaged_perplexity"),
    ]
    measured = perplexity[0].values
    wide = bool(measured) and max(measured) > 10 * min(measured)
    curves = [
        Curve("Loss, nats a masked token", loss, "{:.4g}"),
        Curve("Difference from the teacher", taught, "{:.4g}"),
        Curve("Perplexity of the evaluation", perplexity, "{:,.4g}", logarithmic=wide),
        Curve("Learning rate", [_line(log, "learning rate", "learning_rate")], "{:.1e}"),
        Curve("Tokens a second", [_line(log, "tokens/s", "tokens_per_second")], "{:,.0f}"),
    ]
    drawn = [
        Curve(one.title, [line for line in one.lines if line.steps], one.form, one.logarithmic)
        for one in curves
    ]
    return [one for one in drawn if one.lines]


def _line(log: list[dict[str, Any]], name: str, key: str) -> Line:
    points = {entry["step"]: float(entry[key]) for entry in log if key in entry}
    return Line(name, list(points), list(points.values()))
