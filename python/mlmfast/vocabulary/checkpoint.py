"""The checkpoints that are read and written: a model, its tokenizer, and a table of ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.fs.paths import as_path
from mlmfast.torch_models import text_config
from mlmfast.training.model.load import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlmfast.data.tokenization.loaded import LoadedTokenizer

TABLE = "vocabulary.json"


def is_ours(folder: Path) -> bool:
    """Whether a folder is one that is written here."""
    return (folder / TABLE).is_file() and (folder / "config.json").is_file()


def check_output(model: str | Path, output: str | Path) -> None:
    """Raise InputError if the output is the model itself."""
    source, target = as_path(model), as_path(output)
    if source.exists() and target.exists() and target.samefile(source):
        raise InputError(f"The output {output} is the model itself: choose another folder.")


def open_tokenizer(model: str | Path) -> LoadedTokenizer:
    """Load the tokenizer of a checkpoint.

    Raises:
        NotFoundError: there is no such folder, and no such model on the Hub.
        InputError: the tokenizer names no mask token.
    """
    loaded = load_tokenizer(str(model))
    if loaded.mask_token_id is None:
        raise InputError(
            f"The tokenizer of {model} names no mask token, so a change of the vocabulary would "
            "drop it, and the model could fill no mask: name it as mask_token in "
            "tokenizer_config.json."
        )
    return loaded


def open_model(model: str | Path, loaded: LoadedTokenizer) -> tuple[Any, int]:
    """Load a checkpoint in the precision of its weights, and return it with its number of tokens.

    Raises:
        NotFoundError: there is no such model.
        InputError: it is no masked language model, or lacks rows for its tokenizer.
    """
    network = load_model(model, dtype="auto", float16=True).eval()
    rows = int(text_config(network.config).vocab_size)
    if loaded.id_bound > rows:
        raise InputError(
            f"The tokenizer of {model} has {loaded.id_bound:,} ids, but the model has rows for "
            f"{rows:,}: give the model the rows first (model.resize_token_embeddings)."
        )
    return network, rows


def write_table(folder: Path, model: str | Path, old_to_new: Mapping[int, int]) -> None:
    """Write which new id an old id has become, for data with old ids."""
    content = {
        "model": str(model),
        "old_to_new": {str(old): old_to_new[old] for old in sorted(old_to_new)},
    }
    (folder / TABLE).write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")
