"""Loads a masked language model, and checks that it fits a block store."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from mlmfast.data.store.lengths import longest_document
from mlmfast.errors import InputError, NotFoundError, first_line
from mlmfast.fs.paths import as_path
from mlmfast.peft_models import is_adapter, load_merged
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.adapters import check_trained

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from transformers import PretrainedConfig, PreTrainedModel

    from mlmfast.data.store.store import BlockStore

logger = logging.getLogger(__name__)


def load_model(
    name: str | Path,
    *,
    dtype: str = "float32",
    config: PretrainedConfig | None = None,
    whole: bool = False,
    trained: Collection[str] | None = None,
    float16: bool = False,
    **hub: Any,
) -> PreTrainedModel:
    """Load a checkpoint from a folder or the Hub.

    A checkpoint without a head for masked tokens gets one with random weights, with a warning. An
    adapter is merged into the model that it belongs to.

    Args:
        name: the folder or the name.
        dtype: data type of the weights: `float32`, `bfloat16`, or `auto` for the checkpoint's own.
        config: replaces the configuration of the checkpoint.
        whole: refuse a checkpoint that lacks the head or other weights.
        trained: the only modules that will be trained as a whole; None for all.
        float16: whether weights in float16 are accepted, in which nothing can be trained.
        hub: `revision`, `token`, `cache_dir`, `trust_remote_code` of `from_pretrained`.

    Raises:
        NotFoundError: neither a folder nor a model on the Hub, as far as it can be reached.
        InputError: the checkpoint is not a masked language model, or not `whole`, or lacks weights
            that will not be trained.
    """
    if is_adapter(as_path(name)):
        return load_merged(
            as_path(name),
            partial(
                load_model,
                dtype=dtype,
                config=config,
                whole=whole,
                trained=trained,
                float16=float16,
                **hub,
            ),
        )
    options = hub if config is None else {**hub, "config": config}
    model, loading = load_pretrained(
        AutoModelForMaskedLM.from_pretrained,
        name,
        dtype="auto" if dtype == "auto" else getattr(torch, dtype),
        output_loading_info=True,
        **options,
    )
    if model.dtype == torch.float16 and not float16:
        raise InputError(
            f"The weights of {name} are float16, whose gradients vanish: use dtype float32."
        )
    missing = sorted(loading["missing_keys"])
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        prefix = f"{model.base_model_prefix}."
        part = (
            "weights of the encoder itself"
            if any(key.startswith(prefix) for key in missing)
            else "the head for masked tokens"
        )
        if whole:
            raise InputError(
                f"The checkpoint {name} lacks {part} ({len(missing)} tensors: {shown}), so it "
                "cannot fill masks: give a masked language model, or first train this one "
                f"(mlmfast train --model {name})."
            )
        logger.warning(
            "The checkpoint %s lacks %s (%d tensors: %s): that part starts from random weights.",
            name,
            part,
            len(missing),
            shown,
        )
        if trained is not None:
            check_trained(name, model, missing, trained)
    return model


def load_config(name: str | Path, **hub: Any) -> PretrainedConfig:
    """Load the configuration of a checkpoint; see `load_model` for arguments and errors."""
    return load_pretrained(AutoConfig.from_pretrained, name, **hub)


def load_pretrained(
    load: Callable[..., Any],
    name: str | Path,
    *,
    kind: str = "masked language model",
    **options: Any,
) -> Any:
    """Call a `from_pretrained` on a folder or a name of the Hub.

    Args:
        load: the function.
        name: the folder or the name.
        kind: what it loads, for the error.
        options: further arguments of the function.

    Raises:
        NotFoundError: neither a folder nor a model on the Hub, as far as it can be reached.
        InputError: the folder is of another kind.
    """
    path = as_path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        inside = " It is an ONNX folder." if any(path.glob("*.onnx")) else ""
        raise InputError(f"The folder {path} holds no model: it has no config.json.{inside}")
    local = path.exists()
    try:
        return load(
            str(name), local_files_only=local or not _is_on_hub(str(name), options), **options
        )
    except (OSError, ValueError) as error:
        if local:
            raise InputError(f"{path} is no {kind}: {first_line(error)}") from error
        raise NotFoundError(
            f"There is no model {name}: neither a folder of that name, nor a model in the local "
            f"cache or on the Hub as far as it can be reached ({first_line(error)})."
        ) from error


def _is_on_hub(name: str, options: dict[str, Any]) -> bool:
    """Query the Hub once, with a timeout: the loaders retry for a minute."""
    from huggingface_hub import HfApi

    try:
        HfApi(token=options.get("token")).model_info(
            name, revision=options.get("revision"), timeout=10
        )
    except Exception as error:  # noqa: BLE001 (depends on the HTTP library of the hub version)
        logger.debug("the Hub does not return %s: %s", name, error)
        return False
    return True


def check_fits(
    model: torch.nn.Module, store: BlockStore, *, documents: bool = False, role: str = "model"
) -> None:
    """Check that vocabulary and positions of a model suffice for the blocks of a store.

    Args:
        model: a masked language model of transformers.
        store: the blocks.
        documents: positions restart at each document, so only a document must not be too long.
        role: what the errors call it, `model` or `teacher`.

    Raises:
        InputError: they do not.
    """
    manifest = store.manifest
    rows = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    needed = store.tokenizer.id_bound
    if rows < needed:
        raise InputError(
            f"The {role} knows {rows:,} tokens, but the tokenizer of {store.path} "
            f"({manifest.tokenizer}) has {needed:,}: prepare the blocks with the "
            f"{role}'s own tokenizer, give the new tokens to --add-tokens, or train from scratch."
        )
    positions = max_input_length(model)
    if positions and manifest.block_size > positions.usable:
        longest = longest_document(store) if documents else manifest.block_size
        if longest <= positions.usable:
            return
        hold = f"documents of {longest}" if longest < manifest.block_size else str(longest)
        why = f" ({positions.table} rows, {positions.reserved} reserved)" * bool(positions.reserved)
        raise InputError(
            f"The blocks of {store.path} hold {hold} tokens, but the {role} takes "
            f"{positions.usable}{why}: prepare them with --block-size {positions.usable} or less, "
            "or extend the model (--max-position-embeddings "
            f"{longest + positions.reserved})."
        )
