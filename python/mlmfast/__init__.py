"""mlmfast: text -> token blocks -> masked batches -> trained model -> ONNX -> answers.

Every stage is useful alone. Names are imported when they are first used, so that `import mlmfast`
loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmfast.client.async_client import AsyncClient
    from mlmfast.client.client import Client
    from mlmfast.data.blocks.attention import block_diagonal_mask
    from mlmfast.data.blocks.group import group_blocks
    from mlmfast.data.blocks.options import GroupStats
    from mlmfast.data.convert.convert import convert
    from mlmfast.data.loading.loader import BlockLoader
    from mlmfast.data.loading.mixture.mixture import Mixture
    from mlmfast.data.loading.tensorflow import to_tf_dataset
    from mlmfast.data.masking.collator import DataCollatorForLanguageModeling
    from mlmfast.data.masking.mask_tokens import MaskedBatch, mask_tokens
    from mlmfast.data.masking.schedule import MaskRateSchedule
    from mlmfast.data.prepare.api import prepare
    from mlmfast.data.store.store import BlockStore
    from mlmfast.data.tokenization.tokenize import tokenize
    from mlmfast.data.tokenization.train import train_tokenizer
    from mlmfast.errors import MlmfastError
    from mlmfast.exporting.export import export
    from mlmfast.exporting.report import ExportReport
    from mlmfast.serving.fill_mask import FillMask
    from mlmfast.serving.sparse_encoder import SparseEncoder
    from mlmfast.training.evaluation.compare import Comparison, compare
    from mlmfast.training.evaluation.evaluate import evaluate
    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.probing.probe import probe
    from mlmfast.training.probing.result import ProbeResult
    from mlmfast.training.train import train
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer
    from mlmfast.vocabulary.replace import replace_vocabulary
    from mlmfast.vocabulary.report import ReplaceReport, TrimReport
    from mlmfast.vocabulary.trim import trim_vocabulary

_HOME = {
    "AsyncClient": "mlmfast.client.async_client",
    "BlockLoader": "mlmfast.data.loading.loader",
    "BlockStore": "mlmfast.data.store.store",
    "DataCollatorForLanguageModeling": "mlmfast.data.masking.collator",
    "Client": "mlmfast.client.client",
    "Comparison": "mlmfast.training.evaluation.compare",
    "Evaluation": "mlmfast.training.evaluation.metrics",
    "ExportReport": "mlmfast.exporting.report",
    "FillMask": "mlmfast.serving.fill_mask",
    "GroupStats": "mlmfast.data.blocks.options",
    "MLMTrainer": "mlmfast.training.trainer.mlm_trainer",
    "MaskRateSchedule": "mlmfast.data.masking.schedule",
    "MaskedBatch": "mlmfast.data.masking.mask_tokens",
    "Mixture": "mlmfast.data.loading.mixture.mixture",
    "MlmfastError": "mlmfast.errors",
    "ProbeResult": "mlmfast.training.probing.result",
    "ReplaceReport": "mlmfast.vocabulary.report",
    "SparseEncoder": "mlmfast.serving.sparse_encoder",
    "TrimReport": "mlmfast.vocabulary.report",
    "block_diagonal_mask": "mlmfast.data.blocks.attention",
    "compare": "mlmfast.training.evaluation.compare",
    "convert": "mlmfast.data.convert.convert",
    "evaluate": "mlmfast.training.evaluation.evaluate",
    "export": "mlmfast.exporting.export",
    "group_blocks": "mlmfast.data.blocks.group",
    "mask_tokens": "mlmfast.data.masking.mask_tokens",
    "prepare": "mlmfast.data.prepare.api",
    "probe": "mlmfast.training.probing.probe",
    "replace_vocabulary": "mlmfast.vocabulary.replace",
    "to_tf_dataset": "mlmfast.data.loading.tensorflow",
    "tokenize": "mlmfast.data.tokenization.tokenize",
    "train": "mlmfast.training.train",
    "train_tokenizer": "mlmfast.data.tokenization.train",
    "trim_vocabulary": "mlmfast.vocabulary.trim",
}

__all__ = [
    "AsyncClient",
    "BlockLoader",
    "BlockStore",
    "Client",
    "Comparison",
    "DataCollatorForLanguageModeling",
    "Evaluation",
    "ExportReport",
    "FillMask",
    "GroupStats",
    "MLMTrainer",
    "MaskRateSchedule",
    "MaskedBatch",
    "Mixture",
    "MlmfastError",
    "ProbeResult",
    "ReplaceReport",
    "SparseEncoder",
    "TrimReport",
    "block_diagonal_mask",
    "compare",
    "convert",
    "evaluate",
    "export",
    "group_blocks",
    "mask_tokens",
    "prepare",
    "probe",
    "replace_vocabulary",
    "to_tf_dataset",
    "tokenize",
    "train",
    "train_tokenizer",
    "trim_vocabulary",
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
