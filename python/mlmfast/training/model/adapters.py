"""Low-rank adapters (LoRA, DoRA) in a model: few weights are trained, those of the model stay."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from mlmfast.errors import InputError, first_line
from mlmfast.fs.paths import as_path
from mlmfast.peft_models import require_peft

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    import peft
    import transformers

logger = logging.getLogger(__name__)

_ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Adapter:
    """The adapters that a training added to a model.

    Attributes:
        method: `LoRA`, `DoRA`, `rsLoRA` or `rsDoRA`.
        rank: their rank.
        alpha: their alpha; rsLoRA divides it by the square root of the rank, LoRA by the rank.
        dropout: the dropout in front of them.
        targets: the last names of the modules that have adapters.
        modules_to_save: modules that are trained as a whole.
        trained_parameters: number of weights that are trained.
        parameters: number of weights of the model without adapters.
        kept: whether the output is the adapter; otherwise it is merged into the model.
    """

    method: str
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    modules_to_save: tuple[str, ...]
    trained_parameters: int
    parameters: int
    kept: bool = False

    def __str__(self) -> str:
        whole = f" with {', '.join(self.modules_to_save)}" if self.modules_to_save else ""
        return (
            f"{self.method} of rank {self.rank} (alpha {self.alpha:g}) on "
            f"{', '.join(self.targets)}{whole}: {self.trained_parameters:,} of "
            f"{self.parameters:,} parameters ({self.trained_parameters / self.parameters:.2%})"
        )


def add_adapters(
    model: transformers.PreTrainedModel,
    config: peft.LoraConfig,
    *,
    kept: bool = False,
    new_tokens: Sequence[int] = (),
    checkpointing: bool = False,
) -> tuple[peft.PeftModel, Adapter]:
    """Freeze a masked language model and add adapters, which alone are trained.

    Args:
        model: a masked language model of transformers, changed in place.
        config: the options of the adapters; without `target_modules`, those that PEFT knows for
            the model type, or else all linear layers except the output layer.
        kept: whether the output will be the adapter.
        new_tokens: ids whose embeddings are trained as well.
        checkpointing: whether layers will run again in the backward pass.

    Returns:
        The model in PEFT's wrapper, and what was added.

    Raises:
        InputError: a name matches no module, or adapters do not fit the module.
    """
    peft = require_peft()
    config = copy.deepcopy(config)
    parameters = sum(each.numel() for each in model.parameters())
    _check_names("modules_to_save", config.modules_to_save or (), model, nn.Module)
    config.target_modules = _targets(model, config)
    if new_tokens and config.trainable_token_indices is None:
        config.trainable_token_indices = list(new_tokens)
    try:
        adapted = peft.get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"peft cannot add these adapters to the model: {first_line(error)}"
        ) from error
    _check_own_weights(adapted)
    if model.name_or_path and (folder := as_path(model.name_or_path)).is_dir():
        config.base_model_name_or_path = str(folder.absolute())
    if checkpointing:
        # Reentrant checkpoints need an input with a gradient, and the embeddings are frozen.
        model.enable_input_require_grads()
    adapter = Adapter(
        method=f"{'rs' * config.use_rslora}{'DoRA' if config.use_dora else 'LoRA'}",
        rank=config.r,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=tuple(sorted({name.rpartition(".")[2] for name, _ in _adapted(adapted)})),
        modules_to_save=tuple(sorted(config.modules_to_save or ())),
        trained_parameters=sum(w.numel() for w in adapted.parameters() if w.requires_grad),
        parameters=parameters,
        kept=kept,
    )
    logger.info("training %s", adapter)
    return adapted, adapter


def check_trained(
    name: str | Path, model: nn.Module, missing: Iterable[str], trained: Collection[str]
) -> None:
    """Check that no matrix keeps random weights which adapters would leave as they are.

    Args:
        name: the name of the checkpoint.
        model: the model that was loaded from it.
        missing: the parameters that the checkpoint lacks.
        trained: the modules that are trained as a whole.

    Raises:
        InputError: there is such a matrix.
    """
    random = [
        key
        for key in missing
        # Vectors (norms, biases) start from neutral values.
        if model.get_parameter(key).dim() > 1 and not any(_is_inside(key, each) for each in trained)
    ]
    if random:
        module = random[0].rpartition(".")[0]
        raise InputError(
            f"The checkpoint {name} lacks {random[0]}, which would stay random: adapters do not "
            f"train it. Train it as a whole (--lora modules_to_save={module}, without "
            "--keep-adapter), or train all weights (without --lora)."
        )


def _is_inside(key: str, name: str) -> bool:
    """Whether a module or a parameter is one of this name, or inside of one."""
    return f".{name}." in f".{key}."


def _targets(model: Any, config: Any) -> Any:
    """Return the modules to adapt, as `peft.LoraConfig` takes them."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    given = config.target_modules
    linear = _linear_layers(model)
    if given is None:
        known = KNOWN.get(model.config.model_type)
        given = known if isinstance(known, list) and _match(known, linear) else _ALL_LINEAR
    if given == _ALL_LINEAR:
        whole = config.modules_to_save or ()
        return [name for name in linear if not any(_is_inside(name, each) for each in whole)]
    if not isinstance(given, str):  # a str is a regular expression, which peft checks
        _check_names("targets", given, model, (nn.Linear, nn.Conv1d, nn.Embedding))
    return given


def _linear_layers(model: Any) -> dict[str, nn.Module]:
    """Return the linear layers of a model by name, without the output layer."""
    shared = _shared_weights(model)
    output = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not output
        and id(module.weight) not in shared
    }


def _shared_weights(model: nn.Module) -> set[int]:
    """Return the identities of the parameters that several modules hold."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def _match(names: Collection[str], modules: Iterable[str]) -> bool:
    listed = list(modules)
    return all(any(_is_named(each, name) for each in listed) for name in names)


def _is_named(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _check_names(option: str, names: Collection[str], model: Any, kinds: Any) -> None:
    """Raise InputError unless each name is one of modules, all of these kinds."""
    modules = dict(model.named_modules())
    named = {
        name: [each for key, each in modules.items() if _is_named(key, name)] for name in names
    }
    unknown = sorted(
        name for name, own in named.items() if not own or not all(isinstance(m, kinds) for m in own)
    )
    if not unknown:
        return
    linear = list(_linear_layers(model))
    ends = sorted({name.rpartition(".")[2] for name in linear})
    what = "module" if kinds is nn.Module else "linear layer"
    raise InputError(
        f"{option} of lora names {', '.join(map(repr, unknown))}, but the model "
        f"({model.config.model_type}) has no {what} of that name. Its linear layers are called "
        f"{', '.join(ends)}; longer endings, such as {'.'.join(linear[0].split('.')[-2:])}, and "
        "all-linear work too."
    )


def _adapted(model: Any) -> list[tuple[str, Any]]:
    """List the modules with adapters, by name."""
    from peft.tuners.lora import LoraLayer

    return [(name, each) for name, each in model.named_modules() if isinstance(each, LoraLayer)]


def _check_own_weights(model: Any) -> None:
    """Raise InputError if an adapter is on weights that another module uses, too.

    Merging would change both modules, but only one of them was trained with the adapter.
    """
    shared = _shared_weights(model)
    for name, module in _adapted(model):
        base = module.get_base_layer()
        if any(id(each) in shared for each in base.parameters(recurse=False)):
            raise InputError(
                f"targets of lora include {name.removeprefix('base_model.model.')}, which shares "
                "its weights with another module (tied embeddings): an adapter cannot be merged "
                "there. Leave it out of the targets."
            )
