"""mlmfast: text -> token blocks -> masked batches -> trained model -> ONNX -> answers.

Every stage is useful alone. Names are imported when they are first used, so that `import mlmfast`
loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmfast.data.collator import DataCollatorForLanguageModeling
    from mlmfast.data.convert.run import convert
    from mlmfast.data.document_mask import block_diagonal_mask
    from mlmfast.data.group import group_blocks
    from mlmfast.data.group_options import GroupStats
    from mlmfast.data.loader import BlockLoader
    from mlmfast.data.mask_schedule import MaskRateSchedule
    from mlmfast.data.masking import MaskedBatch, mask_tokens
    from mlmfast.data.prepare import prepare
    from mlmfast.data.store import BlockStore
    from mlmfast.data.tokenize import tokenize
    from mlmfast.data.train_tokenizer import train_tokenizer
    from mlmfast.errors import MlmfastError
    from mlmfast.exporting.onnx import export
    from mlmfast.exporting.report import ExportReport
    from mlmfast.serving.fill_mask import FillMask
    from mlmfast.training.comparison import Comparison, compare
    from mlmfast.training.evaluation import evaluate
    from mlmfast.training.figures import Evaluation
    from mlmfast.training.train import train
    from mlmfast.training.trainer import MLMTrainer

_HOME = {
    "BlockLoader": "mlmfast.data.loader",
    "BlockStore": "mlmfast.data.store",
    "DataCollatorForLanguageModeling": "mlmfast.data.collator",
    "Comparison": "mlmfast.training.comparison",
    "Evaluation": "mlmfast.training.figures",
    "ExportReport": "mlmfast.exporting.report",
    "FillMask": "mlmfast.serving.fill_mask",
    "GroupStats": "mlmfast.data.group_options",
    "MLMTrainer": "mlmfast.training.trainer",
    "MaskRateSchedule": "mlmfast.data.mask_schedule",
    "MaskedBatch": "mlmfast.data.masking",
    "MlmfastError": "mlmfast.errors",
    "block_diagonal_mask": "mlmfast.data.document_mask",
    "compare": "mlmfast.training.comparison",
    "convert": "mlmfast.data.convert.run",
    "evaluate": "mlmfast.training.evaluation",
    "export": "mlmfast.exporting.onnx",
    "group_blocks": "mlmfast.data.group",
    "mask_tokens": "mlmfast.data.masking",
    "prepare": "mlmfast.data.prepare",
    "tokenize": "mlmfast.data.tokenize",
    "train": "mlmfast.training.train",
    "train_tokenizer": "mlmfast.data.train_tokenizer",
}

__all__ = [
    "BlockLoader",
    "BlockStore",
    "Comparison",
    "DataCollatorForLanguageModeling",
    "Evaluation",
    "ExportReport",
    "FillMask",
    "GroupStats",
    "MLMTrainer",
    "MaskRateSchedule",
    "MaskedBatch",
    "MlmfastError",
    "block_diagonal_mask",
    "compare",
    "convert",
    "evaluate",
    "export",
    "group_blocks",
    "mask_tokens",
    "prepare",
    "tokenize",
    "train",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mlmfast")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'mlmfast' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
