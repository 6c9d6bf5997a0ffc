"""The report of a training: `report.html` and `training.png` beside the checkpoint."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mlmfast.training.report._merge_training__curves import curves_of
from mlmfast.training.report._merge_training__report_page import page
from mlmfast.training.report.model_card import blocks_trained_on

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training._merge_training__result import TrainResult

logger = logging.getLogger(__name__)

PAGE_FILE = "report.html"
PICTURE_FILE = "training.png"


def write_report(
    folder: Path,
    result: TrainResult,
    store: BlockStore,
    *,
    log: list[dict[str, Any]],
    masks: dict[str, Any],
    arguments: dict[str, Any],
) -> bool:
    """Write the page and the picture; tell whether there was something to draw them with.

    Args:
        folder: where the finished model lies.
        result: the finished training.
        store: the training blocks.
        log: the Trainer's `log_history`, whole also where the training was resumed.
        masks: how tokens were masked, by the options' names.
        arguments: training arguments to list.
    """
    curves = curves_of(log)
    try:
        from mlmfast.training.report.plots import as_svg, write_picture

        if curves:
            write_picture(curves, folder / PICTURE_FILE)
        charts = [(one.title, as_svg(one, number)) for number, one in enumerate(curves)]
    except ImportError:
        logger.warning(
            "no %s and no %s: they are drawn by matplotlib, which is not installed "
            "(pip install matplotlib, or 'mlmfast[train]').",
            PAGE_FILE,
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
            ("Masks", {name: str(value) for name, value in masks.items()}),
            ("Computed", _computed(result)),
            ("Evaluation", _measured(result)),
            ("Changed by a resume", _changes(result)),
            ("Training arguments", {name: str(value) for name, value in arguments.items()}),
        ],
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")
    return bool(curves)


def _lead(result: TrainResult) -> str:
    return (
        f"A masked language model of {result.parameters:,} parameters; {result.steps:,} steps, "
        f"{result.epochs:.2f} epochs, {_duration(result.seconds)} in {result.precision} on "
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
    found = {"device": result.device, "precision": result.precision}
    if result.peak is not None:
        found["peak"] = result.peak
    return found | {"mean training loss": f"{result.train_loss:.4f}"}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
