"""Curves drawn by matplotlib, as one picture and as charts in the colours of a page."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


# Name of a colour of the page -> its value in the picture, which is light.
_COLOURS = {
    "ink": "#1f2430",
    "muted": "#6b7280",
    "rule": "#e3e6ec",
    "first": "#2f6fde",
    "second": "#d9622b",
}
# Colours for matplotlib that `as_svg` replaces by variables of the page; nothing else has them.
_PLACEHOLDERS = {name: f"#0a0b{number:02x}" for number, name in enumerate(_COLOURS)}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def write_picture(curves: list[Curve], path: Path) -> None:
    """Draw all curves into one PNG, in two columns.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = (len(curves) + 1) // 2
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
    figure = Figure(figsize=(11, 3.4 * rows), dpi=140, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    for number, curve in enumerate(curves):
        axes = figure.add_subplot(rows, 2, number + 1)
        axes.set_title(curve.title, loc="left", color=_COLOURS["ink"], fontsize=11, pad=10)
        _draw(axes, curve, _COLOURS)
    figure.savefig(path, metadata={"Software": None})


def as_svg(curve: Curve, number: int) -> str:
    """Draw one curve as an SVG element whose colours are the variables `--ink` ... of the page.

    Args:
        curve: the curve.
        number: the number of the chart on its page; makes the ids inside the element unique.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"chart {number}"}):
        figure = Figure(figsize=(5.4, 2.9), layout="constrained")
        FigureCanvasSVG(figure)
        _draw(figure.add_subplot(), curve, _PLACEHOLDERS)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    element = written.getvalue()
    element = element[element.index("<svg") :]
    for name, value in _PLACEHOLDERS.items():
        element = element.replace(value, f"var(--{name})")
    element = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", element, count=1)
    element = re.sub(r"(<svg[^>]*?) height=\"[^\"]*\"", r"\1", element, count=1)
    return element.replace("'DejaVu Sans', sans-serif", _FONTS).replace("'DejaVu Sans'", _FONTS)


def _draw(axes: Any, curve: Curve, colours: dict[str, str]) -> None:
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
    axes.tick_params(colors=colours["muted"], labelsize=9, length=0, pad=6)
    axes.grid(axis="y", color=colours["rule"], linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours["rule"])
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
    perplexity = _line(log, "evaluation", "eval_perplexity")
    wide = bool(perplexity.values) and max(perplexity.values) > 10 * min(perplexity.values)
    curves = [
        Curve("Loss, nats a masked token", loss, "{:.4g}"),
        Curve("Difference from the teacher", taught, "{:.4g}"),
        Curve("Perplexity of the evaluation", [perplexity], "{:,.4g}", logarithmic=wide),
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
