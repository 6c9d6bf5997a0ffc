"""Models inside the adapters of PEFT, and folders that hold an adapter in place of a model."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MissingDependencyError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CONFIG_FILE = "config.json"
_ADAPTER_FILE = "adapter_config.json"


def require_peft() -> Any:
    """Return the package PEFT.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError(
            'Adapters (LoRA) need the package peft: pip install "mlmfast[lora]".'
        ) from error
    return peft


def without_adapters(model: Any) -> Any:
    """Return the model of transformers inside of PEFT's wrapper; any other model as it is.

    Adapters stay inside of its modules, so that it computes the same.
    """
    unwrap = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter, and not a whole model."""
    return (folder / _ADAPTER_FILE).is_file() and not (folder / _CONFIG_FILE).is_file()


def base_of(adapter: Path) -> str:
    """Return the folder or Hub name of the model that an adapter was trained on.

    Raises:
        InputError: the adapter does not name it.
    """
    try:
        content = json.loads((adapter / _ADAPTER_FILE).read_text(encoding="utf-8"))
        base = content["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise InputError(
            f"The adapter {adapter} names no model that it belongs to: put the model's folder or "
            f"Hub name into {adapter / _ADAPTER_FILE}, as base_model_name_or_path."
        )
    return base


def load_merged(adapter: Path, load: Callable[[str], Any]) -> Any:
    """Load the model of an adapter, with the adapter merged into its weights.

    Args:
        adapter: the folder of the adapter.
        load: loads a model by its folder or Hub name.

    Raises:
        InputError: the adapter does not fit the model, or cannot be merged.
        MissingDependencyError: PEFT is not installed.
    """
    peft = require_peft()
    base = base_of(adapter)
    try:
        model = load(base)
    except InputError as error:
        raise error.prefixed(f"The adapter {adapter} belongs to {base}:") from error
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    try:
        adapted = peft.PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"The adapter {adapter} does not fit the model {base}, which it names: "
            f"{first_line(error)}"
        ) from error
    model = merged(adapted)
    for name, each in model.named_parameters():
        each.requires_grad_(name in trained)  # PEFT has frozen them
    return model


def merged(model: Any) -> Any:
    """Merge the adapters of a model into its weights; return the model of transformers, changed.

    A copy of the embeddings that was trained apart from a tied decoder is no longer tied to it.

    Raises:
        InputError: PEFT cannot merge adapters of this kind.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        try:
            return model.merge_and_unload()
        except (ValueError, NotImplementedError, AttributeError) as error:
            raise InputError(
                f"PEFT cannot merge this adapter ({first_line(error)}): keep it as an adapter "
                "(--keep-adapter)."
            ) from error
