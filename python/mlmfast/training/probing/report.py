"""The report of a probe: `probe.json`, `probe.html` and `probe.png`."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmfast.training.probing.files import PAGE_FILE, PICTURE_FILE, RESULT_FILE
from mlmfast.training.probing.result import describe_difference, percent, seeds_in_words
from mlmfast.training.report.drawing import Draw, as_svg, style_axes, write_picture
from mlmfast.training.report.html import page

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.training.probing.result import ProbeResult

logger = logging.getLogger(__name__)
# Two methods of a model lie this far above and below its line.
_OFFSET = 0.16
_CLASSES = 40


def write_report(folder: Path, result: ProbeResult) -> None:
    """Write the figures, the page and the picture; without matplotlib, the figures only."""
    figures = json.dumps(result.to_dict(), indent=2, ensure_ascii=False)
    (folder / RESULT_FILE).write_text(figures + "\n", encoding="utf-8")
    charts: list[tuple[str, Draw]] = [
        ("Accuracy, %", partial(_draw, result, "accuracy", result.majority_accuracy)),
        ("Macro-F1, %", partial(_draw, result, "macro_f1", result.majority_f1)),
    ]
    height = 1.2 + 0.5 * len(result.models)
    try:
        write_picture(charts, folder / PICTURE_FILE, height=height)
        drawn = [
            (title, as_svg(draw, number, height=height))
            for number, (title, draw) in enumerate(charts)
        ]
    except ImportError:
        logger.warning(
            "skipping %s and %s: they need matplotlib, which is not installed "
            "(pip install matplotlib, or 'mlmfast[train]').",
            PAGE_FILE,
            PICTURE_FILE,
        )
        return
    text = page(
        "Probe",
        f"{result.origin}; {seeds_in_words(result.seeds)}.",
        _tiles(result),
        drawn,
        [
            ("Figures", _figures(result)),
            ("Differences", _differences(result)),
            ("Classes of the test texts", _classes(result)),
            ("Settings", {name: str(value) for name, value in result.settings.items()}),
            ("Models", {**result.models}),
        ],
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")


def _tiles(result: ProbeResult) -> list[tuple[str, str, str]]:
    majority = f"{result.majority_class!r}, always"
    return [
        (f"{row.model}, {row.method}", percent(row.accuracy), f"macro-F1 {percent(row.macro_f1)}")
        for row in result.rows
    ] + [("Majority class", percent(result.majority_accuracy), majority)]


def _figures(result: ProbeResult) -> dict[str, str]:
    cut = {row.model: row.truncated for row in result.rows if row.truncated}
    return {
        f"{row.model}, {row.method}": (
            f"accuracy {percent(row.accuracy, row.accuracy_error)}, macro-F1 "
            f"{percent(row.macro_f1, row.macro_f1_error)}; {row.seconds:,.1f} s"
        )
        for row in result.rows
    } | {f"texts cut for {model}": f"{count:,}" for model, count in cut.items()}


def _differences(result: ProbeResult) -> dict[str, str]:
    return {
        f"{each.model} - {each.against}, {each.method}": describe_difference(each)
        for each in result.differences
    }


def _classes(result: ProbeResult) -> dict[str, str]:
    shares = list(result.class_shares.items())
    shown = {name: percent(share) for name, share in shares[:_CLASSES]}
    return shown | ({"others": f"{len(shares) - _CLASSES:,}"} if len(shares) > _CLASSES else {})


def _draw(
    result: ProbeResult, figure: str, majority: float, axes: Any, colours: dict[str, str]
) -> None:
    """Draw a figure of all models as points with their standard errors over the seeds."""
    models = list(result.models)
    methods = list(dict.fromkeys(row.method for row in result.rows))
    for number, method in enumerate(methods):
        rows = [row for row in result.rows if row.method == method]
        offset = (2 * number - 1) * _OFFSET if len(methods) > 1 else 0.0
        axes.errorbar(
            [100 * getattr(row, figure) for row in rows],
            [models.index(row.model) + offset for row in rows],
            xerr=[100 * (getattr(row, f"{figure}_error") or 0.0) for row in rows],
            fmt="o",
            color=colours[("first", "second")[number]],
            markersize=5,
            capsize=3,
            label=method,
        )
    axes.axvline(
        100 * majority, color=colours["muted"], linestyle="--", linewidth=1, label="majority class"
    )
    axes.set_yticks(range(len(models)), models)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.margins(x=0.08)
    style_axes(axes, colours, grid="x")
    axes.legend(
        frameon=False,
        labelcolor=colours["ink"],
        fontsize=8,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
    )
