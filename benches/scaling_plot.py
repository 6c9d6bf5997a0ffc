"""The picture of the scaling: time and peak memory over tokens, on logarithmic axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from scaling_cell import Cell

LEAST_MB = 0.1
"""Memory below it is drawn there: a logarithmic axis has no zero."""
NOTE = (
    "Thick lines: mlmfast. Thin lines: its peers. A line ends where the next call would take more "
    "than a minute. Memory: what a call adds, libraries and input aside."
)
# Okabe and Ito's colours, which those who are colour-blind tell apart; the markers differ as well.
OURS = (("#0072B2", "o"), ("#D55E00", "s"))
PEERS = (("#000000", "v"), ("#CC79A7", "D"), ("#009E73", "^"), ("#56B4E9", "P"), ("#E69F00", "X"))


@dataclass(frozen=True)
class Line:
    """One contender: tokens, seconds and MB of the sizes that it ran."""

    label: str
    ours: bool
    tokens: Sequence[float]
    seconds: Sequence[float]
    megabytes: Sequence[float]


def lines(cells: list[Cell], ours: set[str], short: dict[str, str]) -> list[Line]:
    """The measured cells as a line a contender, under its short name where it has one."""
    found = []
    for label in dict.fromkeys(cell.label for cell in cells):
        ran = [(c.size, c.measured) for c in cells if c.label == label and c.measured]
        if ran:
            found.append(
                Line(
                    short.get(label, label),
                    label in ours,
                    [size for size, _ in ran],
                    [it.seconds for _, it in ran],
                    [max(it.peak / 1e6, LEAST_MB) for _, it in ran],
                )
            )
    return found


def draw(path: Path, rows: dict[str, list[Line]]) -> None:
    """Write an SVG, a row of two panels for each title; equal numbers give an equal file."""
    style = {
        "svg.hashsalt": "mlmfast",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(12, 4.3 * len(rows)), facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(rows), 2, squeeze=False)
        figure.subplots_adjust(
            left=0.06, right=0.86, bottom=0.095, top=0.955, wspace=0.48, hspace=0.3
        )
        for (title, found), (left, right) in zip(rows.items(), axes, strict=True):
            _panel(left, f"{title}: time", found, [line.seconds for line in found], _seconds)
            values = [line.megabytes for line in found]
            _panel(right, f"{title}: peak memory", found, values, _bytes)
        figure.text(0.06, 0.012, NOTE, color="#444444")
        figure.savefig(path, metadata={"Date": None})


def _panel(
    axes: Axes, title: str, found: list[Line], values: list[Sequence[float]], unit: FuncFormatter
) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("tokens")
    everything = np.concatenate([np.asarray(each, float) for each in values])
    axes.set_ylim(everything.min() / 2.5, everything.max() * 2.5)
    sizes = sorted({size for line in found for size in line.tokens})
    axes.set_xlim(sizes[0] / 1.6, sizes[-1] * 1.6)
    axes.set_xticks(sizes, [f"{size / 1e6:,.0f} M" for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_formatter(unit)
    axes.minorticks_off()
    axes.grid(which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    styles = {True: iter(OURS), False: iter(PEERS)}
    ends = []
    for line, heights in zip(found, values, strict=True):
        color, marker = next(styles[line.ours])
        width = 3.4 if line.ours else 1.3
        axes.plot(
            line.tokens,
            heights,
            color=color,
            marker=marker,
            markersize=7.5 if line.ours else 5,
            linewidth=width,
            zorder=2 if line.ours else 3,  # the thin line stays to be seen where two are one
        )
        ends.append((line, color, line.tokens[-1], heights[-1]))
    # Where a line ends early, the room above it is free: what stopped there took most.
    early = sorted((end for end in ends if end[2] < sizes[-1]), key=lambda end: end[3])
    for number, (line, color, tokens, value) in enumerate(early):
        # Lines that end at nearly one place have their labels one above the other.
        below = [end for end in early[:number] if end[2] == tokens and end[3] > value / 1.5]
        axes.annotate(
            line.label,
            xy=(tokens, value),
            xytext=(3, 6 + 12 * len(below)),
            textcoords="offset points",
            ha="right",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            **_text(line, color),
        )
    _label(axes, [end for end in ends if end not in early])


def _text(line: Line, color: str) -> dict:
    """The line's colour, dark enough to read."""
    dark = tuple(0.72 * part for part in to_rgb(color))
    return {
        "color": dark,
        "fontweight": "bold" if line.ours else "normal",
        "zorder": 4,
    }


def _label(axes: Axes, ends: list[tuple[Line, str, float, float]]) -> None:
    """Write the labels in a column right of the panel, each led to its line's end."""
    low, high = np.log10(axes.get_ylim())
    gap = 0.062  # of the panel's height, for one line of text
    order = sorted(ends, key=lambda end: end[3])
    wanted = np.array([(np.log10(end[3]) - low) / (high - low) for end in order])
    for (line, color, tokens, value), at in zip(order, _apart(wanted, gap), strict=True):
        axes.annotate(
            line.label,
            xy=(tokens, value),
            xytext=(1.05, at),
            textcoords="axes fraction",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.8,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 5,
            },
            **_text(line, color),
        )


def _apart(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Ascending positions moved as little as need be, at least `gap` apart and within 0 and 1."""
    groups = [[at] for at in wanted]
    merged = True
    while merged:
        merged = False
        for number in range(len(groups) - 1):
            lower, upper = groups[number], groups[number + 1]
            if _span(upper, gap)[0] - _span(lower, gap)[1] < gap:
                groups[number : number + 2] = [lower + upper]
                merged = True
                break
    return np.concatenate([np.linspace(*_span(group, gap), len(group)) for group in groups])


def _span(group: list[float], gap: float) -> tuple[float, float]:
    """Where labels that stand `gap` apart begin and end, around the middle of their wishes."""
    length = gap * (len(group) - 1)
    start = min(max(float(np.mean(group)) - length / 2, 0.0), 1.0 - length)
    return start, start + length


@FuncFormatter
def _seconds(value: float, _: int | None = None) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * 0.999:
            return f"{value / size:,.0f} {unit}"
    return f"{value / 1e-9:,.0f} ns"


@FuncFormatter
def _bytes(value: float, _: int | None = None) -> str:
    if value >= 999:
        return f"{value / 1000:,.0f} GB"
    return f"{value:,.0f} MB" if value >= 0.999 else f"{value * 1000:,.0f} kB"
