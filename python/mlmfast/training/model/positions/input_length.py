"""How long the blocks of a text may be: the limits of a tokenizer and of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from mlmfast.fs.paths import as_path
from mlmfast.peft_models import is_adapter
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.load import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.tokenization.load import LoadedTokenizer

# As in run_mlm.py, for tokenizers without a limit or with a very large one.
_LONGEST = 1024


def longest_block(limits: Sequence[int]) -> int:
    """Return the block size of a text for which none is given, as run_mlm.py chooses it."""
    return min([*limits, _LONGEST])


def limits_of(
    tokenizer: LoadedTokenizer, model: str | Path | torch.nn.Module | None = None
) -> list[int]:
    """Return the limits that a tokenizer and a model have, each in tokens.

    Args:
        tokenizer: the tokenizer.
        model: a checkpoint's folder or Hub name, or a model; an adapter's folder says nothing.
    """
    limits = [] if tokenizer.model_max_length is None else [tokenizer.model_max_length]
    if isinstance(model, torch.nn.Module):
        positions = max_input_length(model)
        return limits + ([positions.usable] if positions else [])
    if model is None or is_adapter(as_path(model)):
        return limits
    return limits + limits_of_config(load_config(model))


def limits_of_config(
    config: transformers.PretrainedConfig, *, trust_remote_code: bool = False
) -> list[int]:
    """Return the limit of a model by its configuration, if it has one."""
    try:
        with torch.device("meta"):
            network = transformers.AutoModelForMaskedLM.from_config(
                config, trust_remote_code=trust_remote_code
            )
    except (ValueError, ImportError):
        return []  # loading the model itself raises an error that names the problem
    positions = max_input_length(network)
    return [positions.usable] if positions else []
