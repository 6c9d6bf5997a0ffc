"""What a sparse encoder computes from the logits, as a sentence-transformers folder says it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlmfast.errors import InputError, NotFoundError, first_sentence
from mlmfast.fs.paths import as_path

_POOLINGS = ("max", "sum")
_ACTIVATIONS = ("relu", "log1p_relu")
# Modules after which a folder is still a SPLADE model, by the last part of their types.
_TRANSFORMERS = ("Transformer", "MLMTransformer")
_POOLING, _ROUTER, _TABLE = "SpladePooling", "Router", "SparseStaticEmbedding"


@dataclass(frozen=True)
class SparseDefinition:
    """How the logits of a text become the weights of its words.

    The weight of a word is the maximum or the sum, over the tokens of the text, of log(1 + relu(x))
    of its logit x. These are the options of SpladePooling in sentence-transformers.

    Attributes:
        pooling: "max" or "sum".
        activation: "relu", or "log1p_relu": another log(1 + x) on top of it, as the models of
            OpenSearch have it.
        max_length: tokens after which the model's own folder cuts a text; None: as many as the
            model takes.
        model: the folder or Hub name with the weights.
        subfolder: the folder within `model` that holds them; "" for `model` itself.
        query_module: the folder within `model` that holds the weights of a query's tokens; None
            where queries go through the model, as documents do.
        top_k: how many of the heaviest words of a text the folder's own configuration keeps; None:
            all.
        prompts: names of prompts that sentence-transformers puts before texts.
    """

    pooling: str = "max"
    activation: str = "relu"
    max_length: int | None = None
    model: str = ""
    subfolder: str = ""
    query_module: str | None = None
    top_k: int | None = None
    prompts: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """The folder or Hub name that transformers loads.

        Raises:
            NotFoundError: the Hub does not give the files.
        """
        if self.subfolder in ("", "."):
            return self.model
        folder = as_path(self.model)
        if folder.exists():
            return str(folder / self.subfolder)
        from huggingface_hub import snapshot_download

        try:
            files = snapshot_download(self.model, allow_patterns=[f"{self.subfolder}/*"])
        except Exception as error:  # the Hub's errors share no base with those of its connection
            raise NotFoundError(
                f"The Hub gives no {self.subfolder} of {self.model}: {first_sentence(error)}"
            ) from error
        return str(Path(files) / self.subfolder)


def read_definition(checkpoint: str) -> SparseDefinition:
    """Read modules.json of a checkpoint; one without it is pooled by its maximum.

    Args:
        checkpoint: a folder or a Hub name.

    Raises:
        InputError: it is a model of sentence-transformers that is no SPLADE model, or its files
            contradict each other.
    """
    modules = read_json(checkpoint, "modules.json")
    if modules is None:
        return SparseDefinition(model=checkpoint)
    chain = [(_kind(module), str(module.get("path", ""))) for module in modules]
    query = None
    if [kind for kind, _ in chain] == [_ROUTER]:
        chain, query = _routes(checkpoint, chain[0][1])
    kinds = [kind for kind, _ in chain]
    if len(kinds) != 2 or kinds[0] not in _TRANSFORMERS or kinds[1] != _POOLING:
        raise InputError(
            f"{checkpoint} is a model of sentence-transformers with the modules "
            f"{', '.join(kinds) or 'of no kind'}; a sparse encoder is a masked language model and "
            f"{_POOLING}."
        )
    (_, transformer), (_, pooling) = chain
    options = read_json(checkpoint, f"{pooling}/config.json") or {}
    settings = read_json(checkpoint, str(PurePosixPath(transformer, "sentence_bert_config.json")))
    whole = read_json(checkpoint, "config_sentence_transformers.json") or {}
    prompts = whole.get("prompts") or {}
    return SparseDefinition(
        pooling=_one_of(options, "pooling_strategy", _POOLINGS, checkpoint),
        activation=_one_of(options, "activation_function", _ACTIVATIONS, checkpoint),
        max_length=(settings or {}).get("max_seq_length"),
        model=checkpoint,
        subfolder=transformer,
        query_module=query,
        top_k=whole.get("max_active_dims"),
        prompts=tuple(name for name, prompt in prompts.items() if prompt),
    )


def _routes(checkpoint: str, path: str) -> tuple[list[tuple[str, str]], str | None]:
    """Return the modules of documents, and the folder of the query's table if it has one."""
    router = read_json(checkpoint, str(PurePosixPath(path, "router_config.json"))) or {}
    types, structure = router.get("types", {}), router.get("structure", {})

    def modules(route: str) -> list[tuple[str, str]]:
        return [
            (_kind({"type": types.get(name, "")}), str(PurePosixPath(path, name)))
            for name in structure.get(route, ())
        ]

    documents, queries = modules("document"), modules("query")
    if not documents:
        raise InputError(f"The Router of {checkpoint} has no route for documents.")
    tables = [folder for kind, folder in queries if kind == _TABLE]
    if len(queries) == 1 and tables:
        return documents, tables[0]
    if queries and [kind for kind, _ in queries] != [kind for kind, _ in documents]:
        raise InputError(
            f"Queries of {checkpoint} go through {', '.join(kind for kind, _ in queries)}; known "
            f"are {_TABLE} and the modules of the documents."
        )
    return documents, None


def _kind(module: dict[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def _one_of(options: dict[str, Any], name: str, known: tuple[str, ...], checkpoint: str) -> str:
    value = options.get(name, known[0])
    if value not in known:
        raise InputError(
            f"{name} of {checkpoint} is {value!r}; known are {', '.join(known)}, as in "
            "sentence-transformers."
        )
    return str(value)


def read_json(checkpoint: str, file: str) -> Any:
    """Read a JSON file of a folder or of a model on the Hub; None where there is none.

    Raises:
        InputError: it is no JSON.
    """
    path = find_file(checkpoint, file)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {first_sentence(error)}") from error


def find_file(checkpoint: str, file: str) -> Path | None:
    """Return a file of a folder, or of a model on the Hub; None where there is none."""
    folder = as_path(checkpoint)
    if folder.exists():
        path = folder / file
        return path if path.is_file() else None
    from transformers.utils import cached_file

    found = cached_file(
        checkpoint,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)
