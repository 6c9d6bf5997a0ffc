"""Model types that Optimum does not export for fill-mask, made known to it.

Optimum exports what is registered with its `TasksManager`: a configuration a model type, that names
the graph's inputs. Of the 46 types that transformers 4.57 can train as masked language models,
optimum-onnx 0.1.0 knows 28.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

TASK = "fill-mask"
TEXT = ("input_ids", "attention_mask")
SEGMENTED = ("input_ids", "attention_mask", "token_type_ids")

# Inputs of the graph, by model type.
INPUTS: dict[str, tuple[str, ...]] = {
    "bart": TEXT,
    "ernie": SEGMENTED,
    # It has no attention mask: padding is text to it, as it is in PyTorch.
    "fnet": ("input_ids", "token_type_ids"),
    "funnel": SEGMENTED,
    "luke": TEXT,
    "mbart": TEXT,
    "mega": TEXT,
    "mvp": TEXT,
    "nezha": SEGMENTED,
    "reformer": TEXT,
    "roberta-prelayernorm": TEXT,
    "roc_bert": SEGMENTED,
    # Its segments are seven table coordinates a token; left out, they are those of plain text.
    "tapas": TEXT,
    "xlm-roberta-xl": TEXT,
    "xmod": TEXT,
    "yoso": SEGMENTED,
    "mra": SEGMENTED,
}
# Optimum knows these, with inputs that a text has not (boxes on a page, tokens of global attention)
# and that the model does without.
REPLACED: dict[str, tuple[str, ...]] = {"layoutlm": SEGMENTED, "longformer": TEXT}


@cache
def register_architectures() -> None:
    """Make Optimum export every type of `INPUTS` and `REPLACED` for fill-mask."""
    # The import registers Optimum's own, which come first.
    import optimum.exporters.onnx.model_configs  # noqa: F401
    from optimum.exporters.tasks import TasksManager

    register = TasksManager.create_register("onnx")
    for model_type, names in INPUTS.items():
        register(model_type, TASK)(_onnx_config(names))
    overwrite = TasksManager.create_register("onnx", overwrite_existing=True)
    for model_type, names in REPLACED.items():
        overwrite(model_type, TASK)(_onnx_config(names))


def _onnx_config(names: Iterable[str]) -> Any:
    from optimum.exporters.onnx.config import TextEncoderOnnxConfig
    from optimum.utils import NormalizedTextConfig

    class FillMaskOnnxConfig(TextEncoderOnnxConfig):
        NORMALIZED_CONFIG_CLASS = NormalizedTextConfig

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            return {name: {0: "batch_size", 1: "sequence_length"} for name in names}

    return FillMaskOnnxConfig
