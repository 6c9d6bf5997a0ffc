"""A new model with random weights, shaped for a block store."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
)

from mlmfast.errors import InputError
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.load import load_config
from mlmfast.training.model.positions.lengthen import change_positions

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedModel

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.options.length import LengthOptions

# Special tokens whose ids a configuration holds, as `pad_token_id` and so on.
_SPECIAL_TOKENS = ("pad_token", "bos_token", "eos_token", "cls_token", "sep_token", "mask_token")
WORDS = {"True": True, "False": False, "None": None}


def new_model(
    store: BlockStore,
    *,
    model: str | Path | None = None,
    model_type: str | None = None,
    config_overrides: str | dict[str, Any] | None = None,
    length: LengthOptions | None = None,
    **hub: Any,
) -> PreTrainedModel:
    """Create a model with random weights for the vocabulary and the block size of a store.

    Args:
        store: its tokenizer defines the size of the vocabulary and the ids of the special tokens.
        model: a checkpoint whose architecture and sizes are used, without its weights.
        model_type: a model type of transformers, such as `roberta`, with its default sizes.
        config_overrides: fields of the configuration, as a dict or as `"name=value,name=value"`.
        length: changes to the positions of the configuration.
        hub: see `load_model`.

    Raises:
        InputError: an unknown type, one without a masked-language-model head, an unknown field, or
            not exactly one of `model` and `model_type`.
    """
    if (model is None) == (model_type is None):
        raise InputError(
            "Training from scratch needs either a model type (--model-type roberta) or a model "
            "whose shape to take (--model NAME), and not both."
        )
    config = load_config(model, **hub) if model is not None else _default_config(str(model_type))
    overrides = parse_overrides(config_overrides)
    trust = bool(hub.get("trust_remote_code"))
    _fill_in_vocabulary(config, store)
    apply_overrides(config, overrides)
    if length is not None and length.given:
        change_positions(config, length)
    if "max_position_embeddings" not in {**overrides, **(length.given if length else {})}:
        _fit_position_embeddings(config, store.manifest.block_size, trust=trust)
    return model_of(config, trust_remote_code=trust)


def model_of(config: PretrainedConfig, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """Create a model with random weights in float32.

    Raises:
        InputError: transformers cannot build it.
    """
    try:
        return AutoModelForMaskedLM.from_config(
            config, dtype=torch.float32, trust_remote_code=trust_remote_code
        )
    except (ValueError, AssertionError) as error:
        raise InputError(f"transformers cannot build this {config.model_type}: {error}") from error


def _default_config(model_type: str) -> PretrainedConfig:
    known = [
        name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_MASKED_LM_MAPPING
    ]
    if model_type not in known:
        close = difflib.get_close_matches(model_type, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}."
        raise InputError(f"No masked language model has the type {model_type!r}; {hint}")
    return AutoConfig.for_model(model_type)


def parse_overrides(overrides: str | dict[str, Any] | None) -> dict[str, Any]:
    """Parse `"name=value,name=value"`; a value is JSON (12, 0.1, true, null) or a string.

    >>> parse_overrides("hidden_size=256,hidden_act=gelu,tie_word_embeddings=false")
    {'hidden_size': 256, 'hidden_act': 'gelu', 'tie_word_embeddings': False}

    Raises:
        InputError: a part without `=`.
    """
    if not overrides or isinstance(overrides, dict):
        return dict(overrides or {})
    parsed = {}
    for part in overrides.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"config_overrides has the part {part!r}; expected name=value,name=value."
            )
        parsed[name.strip()] = _value(value.strip())
    return parsed


def _value(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def apply_overrides(config: PretrainedConfig, overrides: dict[str, Any]) -> None:
    """Set fields of a configuration, in place.

    Raises:
        InputError: it has no such field.
    """
    for name, value in overrides.items():
        if not hasattr(config, name):
            close = difflib.get_close_matches(name, config.to_dict(), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "."
            raise InputError(f"A {config.model_type} configuration has no {name!r}{hint}")
        setattr(config, name, value)
    types = getattr(config, "layer_types", None)
    # With transformers 5 the kind of each layer is a list, which follows from their number.
    if types and "layer_types" not in overrides and len(types) != config.num_hidden_layers:
        config.layer_types = _without(config, "layer_types").layer_types


def _without(config: PretrainedConfig, derived: str) -> PretrainedConfig:
    """Return the configuration with a field as transformers derives it from the others."""
    fields = {name: value for name, value in config.to_dict().items() if name != derived}
    return type(config).from_dict(fields)


def _fill_in_vocabulary(config: PretrainedConfig, store: BlockStore) -> None:
    loaded = store.tokenizer
    config.vocab_size = loaded.id_bound
    known = config.to_dict()
    for role in _SPECIAL_TOKENS:
        field = f"{role}_id"
        if field in known:
            token = loaded.tokens.get(role)
            setattr(config, field, None if token is None else loaded.tokenizer.token_to_id(token))


def _fit_position_embeddings(config: PretrainedConfig, block_size: int, *, trust: bool) -> None:
    """Raise the number of position embeddings to the block size, if the default is lower."""
    with torch.device("meta"):
        positions = max_input_length(
            AutoModelForMaskedLM.from_config(config, trust_remote_code=trust)
        )
    if positions and positions.usable < block_size:
        config.max_position_embeddings = block_size + positions.reserved
