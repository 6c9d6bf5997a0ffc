"""Charts drawn by matplotlib, as one picture and as elements in the colours of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

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

Draw = Callable[[Any, dict[str, str]], None]
"""Draws a chart on axes of matplotlib, in the colours `ink`, `muted`, `rule`, `first`, `second`."""


def write_picture(charts: list[tuple[str, Draw]], path: Path, *, height: float = 3.4) -> None:
    """Draw charts with their titles into one PNG, in two columns, each `height` inches high.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = (len(charts) + 1) // 2
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
    figure = Figure(figsize=(11, height * rows), dpi=140, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    for number, (title, draw) in enumerate(charts, start=1):
        axes = figure.add_subplot(rows, 2, number)
        axes.set_title(title, loc="left", color=_COLOURS["ink"], fontsize=11, pad=10)
        draw(axes, _COLOURS)
    figure.savefig(path, metadata={"Software": None})


def as_svg(draw: Draw, number: int, *, height: float = 2.9) -> str:
    """Draw a chart as an SVG element whose colours are the variables `--ink` ... of the page.

    Args:
        draw: draws the chart.
        number: the number of the chart on its page; makes the ids inside the element unique.
        height: its height in inches; its width is 5.4.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"chart {number}"}):
        figure = Figure(figsize=(5.4, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot(), _PLACEHOLDERS)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    element = written.getvalue()
    element = element[element.index("<svg") :]
    for name, value in _PLACEHOLDERS.items():
        element = element.replace(value, f"var(--{name})")
    element = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", element, count=1)
    element = re.sub(r"(<svg[^>]*?) height=\"[^\"]*\"", r"\1", element, count=1)
    return element.replace("'DejaVu Sans', sans-serif", _FONTS).replace("'DejaVu Sans'", _FONTS)


def style_axes(axes: Any, colours: dict[str, str], *, grid: Literal["x", "y"]) -> None:
    """Give axes the style of the page: a grid in one direction, and no frame but the lower line."""
    axes.tick_params(colors=colours["muted"], labelsize=9, length=0, pad=6)
    axes.grid(axis=grid, color=colours["rule"], linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours["rule"])
