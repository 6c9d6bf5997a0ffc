"""Model card, report and summary, written beside the weights of a trained model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.training.options.record import SUMMARY_FILE
from mlmfast.training.options.text_blocks import TextBlocks
from mlmfast.training.report.html import PICTURE_FILE, write_report
from mlmfast.training.report.model_card import model_card

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.fit import TrainResult


def write_documents(
    folder: Path,
    result: TrainResult,
    store: BlockStore,
    *,
    log: list[dict[str, Any]],
    base_model: str | None,
    masks: dict[str, Any],
    distillation: dict[str, Any],
    arguments: dict[str, Any],
    report: bool,
) -> None:
    """Write `README.md`, `mlmfast_training.json` and, with `report`, `report.html` and its picture.

    Args:
        folder: the folder of the model.
        result: the result of the training.
        store: the training blocks.
        log: the log history of the Trainer.
        base_model: the checkpoint that the training started from; None for random weights.
        masks: the mask options.
        distillation: teacher, student and weights of the loss; empty without a teacher.
        arguments: the training arguments for card and report.
        report: write the report too.
    """
    drawn = report and write_report(
        folder,
        result,
        store,
        log=log,
        masks=masks,
        distillation=distillation,
        arguments=arguments,
    )
    card = model_card(
        result,
        store,
        base_model=base_model,
        masks=masks,
        distillation=distillation,
        arguments=arguments,
        picture=PICTURE_FILE if drawn else None,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    options = {"masks": masks, "text": TextBlocks.of(store).to_json()} | (
        {"distillation": distillation} if distillation else {}
    )
    summary = json.dumps(result.to_dict() | options, indent=2)
    (folder / SUMMARY_FILE).write_text(summary + "\n", encoding="utf-8")


def is_trained_model(folder: Path) -> bool:
    """Return whether `train` wrote this folder."""
    return (folder / SUMMARY_FILE).is_file()
