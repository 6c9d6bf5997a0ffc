"""Model types with special inputs or limits, and their registration with Optimum.

Optimum exports what is registered with its `TasksManager`: a configuration for each model type,
which names the graph's inputs. optimum-onnx 0.1.0 knows 28 of the 46 types of masked language
models in transformers 4.57.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import Any

from mlmfast.errors import InputError
from mlmfast.torch_models import max_input_length

_TASK = "fill-mask"
TEXT = ("input_ids", "attention_mask")
_SEGMENTED = ("input_ids", "attention_mask", "token_type_ids")

# Inputs of the graph, for the types whose signature and sizes do not determine them.
INPUTS: dict[str, tuple[str, ...]] = {
    "bart": TEXT,
    # Their tokenizers and Optimum have no segments, even if config.json has two.
    "big_bird": TEXT,
    "camembert": TEXT,
    "data2vec-text": TEXT,
    "ernie": _SEGMENTED,
    "esm": TEXT,
    "flaubert": _SEGMENTED,
    # It has no attention mask: padding is text to it, as it is in PyTorch.
    "fnet": ("input_ids", "token_type_ids"),
    # Its tokenizer writes 2 for <cls>, which is of both segments.
    "funnel": _SEGMENTED,
    "ibert": TEXT,
    "layoutlm": _SEGMENTED,
    "longformer": TEXT,
    "luke": TEXT,
    "mbart": TEXT,
    "mega": TEXT,
    "mvp": TEXT,
    "nezha": _SEGMENTED,
    "perceiver": TEXT,
    "reformer": TEXT,
    "roberta": TEXT,
    "roberta-prelayernorm": TEXT,
    "roc_bert": _SEGMENTED,
    # Its segments are seven table coordinates for each token; without them the text is plain text.
    "tapas": TEXT,
    "xlm": _SEGMENTED,
    "xlm-roberta": TEXT,
    "xlm-roberta-xl": TEXT,
    "xmod": TEXT,
    "yoso": _SEGMENTED,
}
# Optimum knows these types, but gives two of them inputs that texts do not have (boxes on a page,
# global attention), fails with Perceiver, and traces ESM without its patch.
REPLACED = ("esm", "layoutlm", "longformer", "perceiver")
# Types of which no graph can be right, and why.
REFUSED = {
    "mra": "its attention exists as CUDA kernels only, and on a CPU transformers computes zeros "
    "in its place",
    "qdqbert": "it needs the library pytorch-quantization, and transformers no longer maintains it",
    "wav2vec2": "it takes sound and no text",
}


def require_exportable(model_type: str) -> None:
    """Raise InputError for a type of which no graph can be right."""
    if model_type in REFUSED:
        raise InputError(
            f"A model of the type {model_type} cannot be exported: {REFUSED[model_type]}."
        )


def own_inputs(config: Any) -> tuple[str, ...] | None:
    """Return the inputs of the graph of a model type in INPUTS; None for other types."""
    if config.model_type == "mega" and config.add_token_type_embeddings:
        return _SEGMENTED
    return INPUTS.get(config.model_type)


def max_graph_length(model: Any) -> int | None:
    """Count the tokens up to which a graph computes what the model computes; None: no limit."""
    positions = max_input_length(model)
    limits = (positions and positions.usable, _length_of_type(model.config))
    return min((limit for limit in limits if limit is not None), default=None)


def _length_of_type(config: Any) -> int | None:
    """Return the limit of model types that compute long texts in a way that no graph can."""
    if config.model_type == "reformer":
        # Longer texts are hashed with random numbers drawn at every call.
        chunks = {"lsh": config.lsh_attn_chunk_length, "local": config.local_attn_chunk_length}
        return int(min(chunks[layer] for layer in config.attn_layers))
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        # Up to here every token sees every other, as it does in the graph.
        return int((5 + 2 * config.num_random_blocks) * config.block_size)
    if config.model_type == "mega":
        return int(config.chunk_size if config.use_chunking else config.max_positions)
    return None


@cache
def register_architectures() -> None:
    """Register every type of `INPUTS` with Optimum for fill-mask."""
    # The import registers Optimum's own.
    import optimum.exporters.onnx.model_configs  # noqa: F401
    from optimum.exporters.tasks import TasksManager

    own = _onnx_config()
    register = TasksManager.create_register("onnx")
    replace = TasksManager.create_register("onnx", overwrite_existing=True)
    for model_type in INPUTS:
        (replace if model_type in REPLACED else register)(model_type, _TASK)(own)


def _onnx_config() -> Any:
    from optimum.exporters.onnx.config import TextEncoderOnnxConfig
    from optimum.exporters.onnx.model_patcher import ModelPatcher
    from optimum.utils import NormalizedTextConfig

    from mlmfast.exporting.patches import traceable

    class TraceablePatcher(ModelPatcher):
        def __enter__(self) -> Any:
            self._traceable = ExitStack()
            self._traceable.enter_context(traceable(self._model))
            return super().__enter__()

        def __exit__(self, *error: Any) -> None:  # noqa: PYI036 - as the base class has it
            super().__exit__(*error)
            self._traceable.close()

    class FillMaskOnnxConfig(TextEncoderOnnxConfig):
        NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
        _MODEL_PATCHER = TraceablePatcher

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            names = own_inputs(self._config) or TEXT
            return {name: {0: "batch_size", 1: "sequence_length"} for name in names}

    return FillMaskOnnxConfig
