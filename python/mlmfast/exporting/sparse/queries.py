"""The table of token weights with which queries are encoded without a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, NotFoundError
from mlmfast.exporting.sparse.definition import find_file, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.sparse.definition import SparseDefinition

# The name that the models of OpenSearch give to it: {token: weight}.
TABLE = "idf.json"


def write_query_table(definition: SparseDefinition, tokenizer: Any, folder: Path) -> bool:
    """Write idf.json into an ONNX folder, if queries of the checkpoint need no model.

    The weights come from the SparseStaticEmbedding that the checkpoint's Router has for queries
    (its safetensors, or the JSON file that it names), or else from an idf.json beside the weights.

    Args:
        definition: the checkpoint.
        tokenizer: the tokenizer of transformers.
        folder: the ONNX folder.

    Returns:
        Whether there is a table.

    Raises:
        NotFoundError: a Router sends queries to a table that the checkpoint does not hold.
        InputError: the table is damaged, or is one of other tokens.
    """
    weights = read_query_weights(definition, tokenizer)
    if weights is None:
        return False
    tokens = tokenizer.convert_ids_to_tokens(range(len(weights)))
    table = {
        token: float(weight)
        for token, weight in zip(tokens, weights, strict=True)
        if token is not None and weight != 0
    }
    text = json.dumps(table, ensure_ascii=False)
    (folder / TABLE).write_text(text + "\n", encoding="utf-8")
    return True


def read_query_weights(definition: SparseDefinition, tokenizer: Any) -> np.ndarray | None:
    """Return the weight of each token, float32 [tokens]; None where queries need the model."""
    module = definition.query_module
    if module is None:
        table = read_json(definition.model, TABLE)
        return None if table is None else _by_id(table, tokenizer, definition.model)
    options = read_json(definition.model, f"{module}/config.json") or {}
    named = options.get("path")
    if isinstance(named, str) and named.endswith(".json"):
        for file in (f"{module}/{named}", named):
            table = read_json(definition.model, file)
            if table is not None:
                return _by_id(table, tokenizer, definition.model)
    weights = find_file(definition.model, f"{module}/model.safetensors")
    if weights is None:
        raise NotFoundError(
            f"Queries of {definition.model} are encoded by a table of token weights, and it has "
            f"neither {module}/model.safetensors nor {named or TABLE}. Put the file there."
        )
    from safetensors.numpy import load_file

    tensors = load_file(str(weights))
    if set(tensors) != {"weight"} or tensors["weight"].ndim != 1:
        raise InputError(f"{weights} holds no weights of tokens: one tensor, `weight` [tokens].")
    return tensors["weight"].astype(np.float32)


def _by_id(table: Any, tokenizer: Any, name: str) -> np.ndarray:
    if not isinstance(table, dict) or not all(isinstance(w, int | float) for w in table.values()):
        raise InputError(f"{TABLE} of {name} must hold an object of tokens and their weights.")
    known = tokenizer.get_vocab()
    unknown = [token for token in table if token not in known]
    if unknown:
        raise InputError(
            f"{TABLE} of {name} has weights of tokens that its tokenizer does not know, such as "
            f"{unknown[0]!r}: it belongs to another model."
        )
    weights = np.zeros(len(known), np.float32)
    for token, weight in table.items():
        weights[known[token]] = weight
    return weights
