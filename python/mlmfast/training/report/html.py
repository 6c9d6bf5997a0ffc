"""The report of a training: `report.html` and `training.png` beside the weights."""

from __future__ import annotations

import logging
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from mlmfast.training.report.model_card import blocks_trained_on
from mlmfast.training.report.phases import describe_phases, passes
from mlmfast.training.report.plots import curves_of
from mlmfast.training.report.sources import describe_sources

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.fit import TrainResult

logger = logging.getLogger(__name__)

_PAGE_FILE = "report.html"
PICTURE_FILE = "training.png"

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1f2430; --muted: #626a78; --rule: #e3e6ec;
  --first: #2f6fde; --second: #d9622b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161b; --card: #1c1f26; --ink: #e8eaf0; --muted: #9aa3b2; --rule: #2e333d;
    --first: #7aa7ff; --second: #ff9d6c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 10px; font-weight: 600; }
.lead { color: var(--muted); margin: 0 0 28px; }
.tiles, .charts, .tables { display: grid; gap: 14px; margin-bottom: 14px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); }
.charts, .tables { grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.card {
  background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 16px 18px; min-width: 0;
}
.tile b { display: block; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span, .tile small { color: var(--muted); font-size: 13px; }
.tile small { display: block; }
svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
td {
  padding: 5px 0; border-top: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere;
}
tr:first-child td { border-top: 0; }
td:first-child { color: var(--muted); padding-right: 18px; white-space: nowrap; width: 1%; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="lead">$lead</p>
<div class="tiles">$tiles</div>
<div class="charts">$charts</div>
<div class="tables">$tables</div>
</main>
</body>
</html>
""")


def page(
    title: str,
    lead: str,
    tiles: list[tuple[str, str, str]],
    charts: list[tuple[str, str]],
    tables: list[tuple[str, dict[str, str]]],
) -> str:
    """Render a page.

    Args:
        title: the heading.
        lead: the line below the heading.
        tiles: name, value and remark of each figure.
        charts: title and SVG element of each chart.
        tables: title and rows of each table.
    """
    return _PAGE.substitute(
        title=escape(title),
        lead=escape(lead),
        tiles="".join(_tile(*tile) for tile in tiles),
        charts="".join(
            f'<section class="card"><h2>{escape(name)}</h2>{element}</section>'
            for name, element in charts
        ),
        tables="".join(_table(name, rows) for name, rows in tables if rows),
    )


def _tile(name: str, value: str, remark: str) -> str:
    small = f"<small>{escape(remark)}</small>" if remark else ""
    return f'<div class="card tile"><span>{escape(name)}</span><b>{escape(value)}</b>{small}</div>'


def _table(name: str, rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in rows.items()
    )
    return f'<section class="card"><h2>{escape(name)}</h2><table>{cells}</table></section>'


def write_report(
    folder: Path,
    result: TrainResult,
    store: BlockStore,
    *,
    log: list[dict[str, Any]],
    masks: dict[str, Any],
    arguments: dict[str, Any],
    distillation: dict[str, Any] | None = None,
) -> bool:
    """Write the page and the picture; return whether there is a picture.

    Args:
        folder: the folder of the model.
        result: the finished training.
        store: the training blocks.
        log: the `log_history` of the Trainer, complete also after a resume.
        masks: the mask options.
        arguments: the training arguments to list.
        distillation: teacher, student and weights of the loss, if there is a teacher.
    """
    curves = curves_of(log)
    try:
        from mlmfast.training.report.plots import as_svg, write_picture

        if curves:
            write_picture(curves, folder / PICTURE_FILE)
        charts = [(one.title, as_svg(one, number)) for number, one in enumerate(curves)]
    except ImportError:
        logger.warning(
            "skipping %s and %s: they need matplotlib, which is not installed "
            "(pip install matplotlib, or 'mlmfast[train]').",
            _PAGE_FILE,
            PICTURE_FILE,
        )
        return False
    text = page(
        result.output.absolute().name,
        _lead(result),
        _tiles(result),
        charts,
        [
            ("Data", _data(result, store)),
            ("Sources of the mixture", dict(describe_sources(result))),
            ("Phases", dict(describe_phases(result))),
            ("Masks", {name: str(value) for name, value in masks.items()}),
            ("Distillation", {name: str(value) for name, value in (distillation or {}).items()}),
            ("Computed", _computed(result)),
            ("Adapters", _adapters(result)),
            ("Evaluation", _measured(result)),
            ("Changed by a resume", _changes(result)),
            ("Training arguments", {name: str(value) for name, value in arguments.items()}),
        ],
    )
    (folder / _PAGE_FILE).write_text(text, encoding="utf-8")
    return bool(curves)


def _lead(result: TrainResult) -> str:
    return (
        f"A masked language model of {result.parameters:,} parameters; {result.steps:,} steps, "
        f"{passes(result)}, {_duration(result.seconds)} in {result.precision} on "
        f"{result.device}."
    )


def _tiles(result: TrainResult) -> list[tuple[str, str, str]]:
    tiles = []
    before, after = result.before, result.after
    if after is not None:
        rows = (
            ("Perplexity", "perplexity", "{:,.2f}"),
            ("Top-1 at masks", "top1", "{:.1%}"),
            ("Top-5 at masks", "top5", "{:.1%}"),
            ("Bits per byte", "bits_per_byte", "{:.3f}"),
        )
        for name, field, form in rows:
            value, first = (getattr(one, field, None) for one in (after, before))
            if value is not None:
                remark = "" if first is None else f"before: {form.format(first)}"
                tiles.append((name, form.format(value), remark))
    share = "" if result.mfu is None else f"MFU {result.mfu:.1%}"
    tiles.append(("Tokens a second", f"{result.tokens_per_second:,.0f}", share))
    if result.fill_rate is not None and result.fill_rate < 1:
        tiles.append(("Batches without padding", f"{result.fill_rate:.1%}", "of their positions"))
    return tiles


def _data(result: TrainResult, store: BlockStore) -> dict[str, str]:
    manifest = store.manifest
    inputs = manifest.source.get("inputs")
    whole = "" if result.blocks in (None, manifest.blocks) else " in all blocks"
    return {
        "blocks": f"{blocks_trained_on(result, store)} of {manifest.block_size} tokens",
        "documents": f"{manifest.documents:,}{whole}",
        "text": f"{manifest.text_bytes:,} bytes{whole}",
        "tokenizer": f"{manifest.tokenizer}, {manifest.vocab_size:,} tokens",
        "tokenizer.json": f"sha256 {manifest.tokenizer_sha256}",
    } | ({"from": ", ".join(map(str, inputs))} if inputs else {})


def _measured(result: TrainResult) -> dict[str, str]:
    after = result.after
    if after is None:
        return {}
    share = f"{after.mlm_probability:.0%}"
    return {
        "on": after.data,
        "blocks": f"{after.of_blocks} of {after.block_size} tokens",
        "masked tokens": f"{after.masked_tokens:,}, at {share}, seed {after.seed}",
        "computed in": after.precision,
        "again": after.command,
    }


def _changes(result: TrainResult) -> dict[str, str]:
    return {
        f"{change.name}, at step {change.step:,}": f"{change.before}, then {change.after}"
        for change in result.changes
    }


def _computed(result: TrainResult) -> dict[str, str]:
    rows = {"device": result.device, "precision": result.precision}
    if result.peak is not None:
        rows["peak"] = result.peak
    if result.average is not None:
        rows["weights"] = result.average
    return rows | {"mean training loss": f"{result.train_loss:.4f}"}


def _adapters(result: TrainResult) -> dict[str, str]:
    adapter = result.adapter
    if adapter is None:
        return {}
    share = adapter.trained_parameters / adapter.parameters
    return {
        "method": adapter.method,
        "rank": f"{adapter.rank}, alpha {adapter.alpha:g}, dropout {adapter.dropout:g}",
        "on": ", ".join(adapter.targets),
        "trained as a whole": ", ".join(adapter.modules_to_save) or "nothing",
        "trained parameters": f"{adapter.trained_parameters:,}, {share:.2%} of the model's",
        "output": "the adapters" if adapter.kept else "the model, adapters merged",
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
