"""Load a checkpoint for export; one without a masked-language-model head is refused."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.python_classes.slow import is_in_python
from mlmfast.data.tokenization.python_classes.word_list import fast_form
from mlmfast.errors import InputError, NotFoundError, first_sentence
from mlmfast.exporting.architectures import require_exportable
from mlmfast.fs.paths import as_path
from mlmfast.peft_models import base_of, is_adapter, load_merged, require_peft

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names of models on the Hub: `roberta-base`, `FacebookAI/roberta-base`.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Checkpoint:
    """A masked language model with its tokenizer.

    Attributes:
        name: the folder or Hub name it was loaded from.
        model: the PyTorch model, on the CPU, in float32 and evaluation mode.
        tokenizer: the fast tokenizer.
    """

    name: str
    model: Any
    tokenizer: Any


def load_checkpoint(name: str | Path) -> Checkpoint:
    """Load a folder or a Hub name; an adapter of PEFT is merged into the model it belongs to.

    Raises:
        NotFoundError: the Hub gives no such model.
        InputError: the model cannot be loaded, has no masked-language-model head, or comes without
            a fast tokenizer that has a mask token.
    """
    name = str(name)
    return Checkpoint(name, _load_model(name), _load_tokenizer(_tokenizer_home(name)))


def require_checkpoint_folder(name: str) -> None:
    """Check, without loading it, that a folder is a checkpoint; a Hub name passes.

    Raises:
        NotFoundError: there is no such folder, and it cannot be a Hub name.
        InputError: it is a file, an ONNX folder, or has no config.json.
    """
    folder = as_path(name)
    if not folder.exists() and not HUB_NAME.fullmatch(name):
        raise NotFoundError(f"There is no folder {name}.")
    if folder.is_file():
        raise InputError(f"{name} is a file; give the folder of the checkpoint.")
    if not folder.is_dir():
        return
    if is_adapter(folder):
        require_peft()
        require_checkpoint_folder(base_of(folder))
        return
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{name} is no checkpoint: it has no config.json. Give a folder that "
            "`save_pretrained` or `mlmfast train` wrote."
        )
    if (folder / "model.onnx").is_file() and not any(folder.glob("*.safetensors")):
        raise InputError(f"{name} is an ONNX folder already; give the checkpoint it was made from.")


def _load_model(name: str) -> Any:
    if is_adapter(as_path(name)):
        return load_merged(as_path(name), _load_model).eval()
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForMaskedLM

    _require_exportable_type(name)
    try:
        config = AutoConfig.from_pretrained(name)
        if hasattr(config, "reference_compile"):  # ModernBERT would compile what is run here once
            config.reference_compile = False
        model, loading = AutoModelForMaskedLM.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_loaded(name, error) from error
    if loading["missing_keys"]:
        raise InputError(_random_head(name, config, sorted(loading["missing_keys"])))
    return model.eval()


def _require_exportable_type(name: str) -> None:
    from transformers import PretrainedConfig

    # Checked before the model is loaded, which for some types fails with an obscure error.
    with suppress(OSError):
        require_exportable(PretrainedConfig.get_config_dict(name)[0].get("model_type", ""))


def _not_loaded(name: str, error: Exception) -> InputError | NotFoundError:
    cause = first_sentence(error)
    if not Path(name).exists():
        return NotFoundError(f"There is no folder {name}, and the Hub gives no such model: {cause}")
    if "Unrecognized configuration class" in str(error):
        kind = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))["model_type"]
        return InputError(
            f"{name} is of the type {kind!r}, of which transformers has no masked language model."
        )
    return InputError(f"The checkpoint in {name} cannot be loaded: {cause}")


def _random_head(name: str, config: Any, missing: list[str]) -> str:
    kind = ", ".join(getattr(config, "architectures", None) or ["an unnamed architecture"])
    return (
        f"{name} holds {kind}, and a masked language model needs weights that it lacks: "
        f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} would be "
        "random, and so would every answer. Give a checkpoint of a masked language model, as "
        "`mlmfast train` writes it."
    )


def _tokenizer_home(name: str) -> str:
    """Return where the tokenizer is: an adapter may lie without one, beside its model's."""
    folder = as_path(name)
    if not is_adapter(folder) or any((folder / file).is_file() for file in _TOKENIZER_FILES):
        return name
    return _tokenizer_home(base_of(folder))


def _load_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:  # a file that is absent or broken gives almost any exception here
        raise InputError(
            f"{name} has no tokenizer that can be loaded ({first_sentence(error)}) Put one beside "
            "the model: AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        ) from error
    if tokenizer.is_fast and len(tokenizer) <= len(tokenizer.all_special_ids):
        # Without its files, transformers 5 makes an empty tokenizer.
        raise InputError(
            f"{name} has no tokenizer: without a vocabulary, every word would be unknown. Put one "
            "beside the model: AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    if is_in_python(tokenizer):
        tokenizer = fast_form(tokenizer) or tokenizer
    if is_in_python(tokenizer):
        raise InputError(
            f"The tokenizer of {name} ({type(tokenizer).__name__}) has no fast form "
            "(tokenizer.json), which serving needs."
        )
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"The tokenizer of {name} has no mask token, so there would be nothing to "
            'fill. Add it with tokenizer.add_special_tokens({"mask_token": "<mask>"}) before '
            "training."
        )
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries: mlmfast checks and reports what matters of their warnings."""
    import warnings

    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    libraries: list[Any] = [hub_logging, transformers_logging]
    with suppress(
        ImportError
    ):  # it cannot be imported with a transformers that it does not support yet
        from optimum.utils import logging as optimum_logging

        libraries.append(optimum_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = transformers_logging.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity(CRITICAL)
    transformers_logging.disable_progress_bar()  # transformers 5 shows one for a model's weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
