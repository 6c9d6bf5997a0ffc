"""The layers of an encoder: where they lie in a model, and a model of some of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import nn

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

# No model type is known by name: layers are the members of the lists that are as long as the
# configuration says, of which a few types (XLM) have several, one for each part of a layer.
Lists = dict[str, nn.ModuleList]

# Attributes in which a layer has its number, for a cache of keys and values.
_NUMBERS = ("layer_idx", "layer_id")


def layer_lists(model: PreTrainedModel) -> Lists:
    """Find the lists with a member for each layer, by name; empty if the layers are not in lists.

    They are not where all layers are one module (ALBERT).
    """
    count = getattr(model.config, "num_hidden_layers", None)
    found: Lists = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == count and not inside:
            found[name] = module
    return found


def config_of_layers(
    teacher: PreTrainedModel, lists: Lists, layers: Sequence[int]
) -> PretrainedConfig:
    """Return the configuration of a model of some layers of the teacher.

    Raises:
        InputError: the teacher has no such layers, or its layers are not in lists.
    """
    config = copy.deepcopy(teacher.config)
    if not lists:
        raise InputError(
            f"The layers of a {config.model_type} cannot be taken one by one: give the student's "
            "shape in place of student_layers (--student CONFIG)."
        )
    count = config.num_hidden_layers
    if beyond := [layer for layer in layers if layer >= count]:
        raise InputError(
            f"student_layers names layer {beyond[0]}, but the teacher has {count} layers: 0 to "
            f"{count - 1}."
        )
    # Lists with a value for each layer: the kinds of attention, the windows of Longformer.
    for name, value in vars(teacher.config).items():
        if isinstance(value, list) and len(value) == count:
            setattr(config, name, [value[layer] for layer in layers])
    config.num_hidden_layers = len(layers)
    _keep_global_attention(config, layers)
    return config


def _keep_global_attention(config: PretrainedConfig, layers: Sequence[int]) -> None:
    """Set the period of ModernBERT's layers with full attention, where it is no list."""
    every: int | None = getattr(config, "global_attn_every_n_layers", None)
    if not every or getattr(config, "layer_types", None):
        return
    is_global = [layer % every == 0 for layer in layers]
    for period in (every, *range(1, len(layers) + 1)):
        if [number % period == 0 for number in range(len(layers))] == is_global:
            config.global_attn_every_n_layers = period
            return
    kinds = ", ".join("full" if each else "local" for each in is_global)
    raise InputError(
        f"The layers {','.join(map(str, layers))} of this {config.model_type} have {kinds} "
        f"attention, but in a model of that type full attention repeats at a fixed distance from "
        f"layer 0 (every {every} layers in the teacher): choose others, such as whole groups of "
        f"{every}."
    )


def keep_layers(
    model: PreTrainedModel, lists: Lists, layers: Sequence[int], config: PretrainedConfig
) -> None:
    """Remove all other layers of a model, in place; `config` is that of a model of the others."""
    count = model.config.num_hidden_layers
    for module in model.modules():
        if getattr(module, "n_layers", None) == count:  # XLM counts its layers there
            module.n_layers = len(layers)
    for name in lists:
        parent, _, own = name.rpartition(".")
        members: Any = model.get_submodule(name)
        kept = [members[layer] for layer in layers]
        setattr(model.get_submodule(parent), own, nn.ModuleList(kept))
        for number, layer in enumerate(kept):
            for module in layer.modules():
                for attribute in _NUMBERS:
                    if hasattr(module, attribute):
                        setattr(module, attribute, number)
    vars(model.config).update(vars(config))


def source_key(key: str, lists: Lists, layers: Sequence[int]) -> str:
    """Return the name of a weight of the student in the teacher."""
    for name in lists:
        if key.startswith(f"{name}."):
            number, _, rest = key.removeprefix(f"{name}.").partition(".")
            return f"{name}.{layers[int(number)]}.{rest}"
    return key
