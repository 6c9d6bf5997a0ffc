"""The summary that a training writes beside its weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY_FILE = "mlmfast_training.json"


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary in a model's folder; empty if there is none that can be read."""
    try:
        content = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
