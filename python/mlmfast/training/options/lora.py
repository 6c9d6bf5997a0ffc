"""`--lora rank=16,targets=query+value`: the options of adapters, as a `peft.LoraConfig`.

The defaults follow Schulman et al. 2025 ("LoRA Without Regret"): an alpha of 32 with the scale
alpha / rank, for which the best learning rate hardly depends on the rank, and a learning rate of
ten times that of a training of all weights, which is 2e-5 in the guide. Hu et al. 2021 ("LoRA:
Low-Rank Adaptation of Large Language Models") trained RoBERTa with 2e-4 to 5e-4.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, first_line
from mlmfast.fs.paths import as_path
from mlmfast.options import did_you_mean
from mlmfast.peft_models import is_adapter, require_peft

if TYPE_CHECKING:
    from pathlib import Path

    import peft

logger = logging.getLogger(__name__)

RANK = 16
ALPHA = 32
# With the scale alpha / sqrt(rank), this is the same scale at the default rank.
_RSLORA_ALPHA = 8
LEARNING_RATE = 2e-4

# Short names of fields of `peft.LoraConfig`; its own names, and all its other fields, work too.
_FIELDS = {
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "targets": "target_modules",
    "dora": "use_dora",
    "rslora": "use_rslora",
}
_NAMES = {field: name for name, field in _FIELDS.items()}
_LISTS = ("target_modules", "modules_to_save")
_ALL_LINEAR = "all-linear"
_SWITCHES = {"true": True, "yes": True, "false": False, "no": False}


def lora_config(given: bool | str | Mapping[str, Any] | Any | None) -> peft.LoraConfig | None:
    """Read the option `lora`; None without adapters.

    Args:
        given: True or "" for the defaults; `"rank=16,alpha=32,targets=query+value,dora=true"`; a
            mapping of the same names; or a `peft.LoraConfig`, which is copied. `target_modules`
            stays None where the model type decides.

    Raises:
        InputError: an unknown option, or a value that is out of range.
        MissingDependencyError: PEFT is not installed.
    """
    if given is None or given is False:
        return None
    package = require_peft()
    if isinstance(given, package.LoraConfig):
        config = copy.deepcopy(given)
    elif isinstance(given, str):
        config = _build(package, _parse(given))
    elif given is True or isinstance(given, Mapping):
        config = _build(package, {} if given is True else dict(given))
    else:
        raise InputError(
            f"lora is {given!r}; expected rank=16,targets=query+value, a dict with such names, or "
            "a peft.LoraConfig."
        )
    _check(config)
    config.inference_mode = False
    return config


def check_lora(
    config: peft.LoraConfig | None,
    *,
    from_scratch: bool,
    kept: bool,
    model: str | Path | None,
    changes: list[str],
) -> None:
    """Raise InputError for options that adapters do not go with.

    Args:
        config: the adapters; None without.
        from_scratch: whether the weights start at random.
        kept: the option `keep_adapter`.
        model: the checkpoint to start from.
        changes: the options that change the model which the adapters belong to.
    """
    if config is None:
        if kept:
            raise InputError("keep_adapter is for a training with adapters: give lora (--lora).")
        return
    if from_scratch:
        raise InputError(
            "lora adapts the weights of a checkpoint; random weights have to be trained as a "
            "whole: leave out lora, or from_scratch."
        )
    if kept and model is not None and is_adapter(as_path(model)):
        raise InputError(
            f"{model} is an adapter itself, which a second one could not name as its model: leave "
            "out keep_adapter, and both are merged."
        )
    if kept and changes:
        raise InputError(
            f"{changes[0]} changes the model, so that the adapter would not fit the checkpoint "
            "that it belongs to: leave out keep_adapter, and the adapter is merged."
        )


def with_lora_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Add the learning rate of adapters to the training arguments, unless they have one."""
    if given.get("learning_rate") is not None:
        return given
    logger.info("learning rate %g, the default for adapters (docs/adapters.md)", LEARNING_RATE)
    return {**given, "learning_rate": LEARNING_RATE}


def describe_lora(config: peft.LoraConfig | None) -> str | None:
    """Write a configuration as the option is written, to compare it on a resume."""
    if config is None:
        return None
    default = type(config)()
    parts = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in ("r", "lora_alpha") or value != getattr(default, field.name):
            shown = "+".join(sorted(map(str, value))) if isinstance(value, set | list) else value
            parts.append(f"{_NAMES.get(field.name, field.name)}={shown}")
    return ",".join(parts)


def _parse(text: str) -> dict[str, Any]:
    """Read `name=value,name=value`; a value with + is a list."""
    values: dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise InputError(
                f"lora is {text!r}, and {part!r} is not NAME=VALUE: write "
                "rank=16,targets=query+value, or --lora alone, as the last option, for the "
                "defaults."
            )
        values[name.strip()] = value.strip()
    return values


def _build(package: Any, given: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(package.LoraConfig) if field.init}
    values: dict[str, Any] = {}
    for name, value in given.items():
        field = _FIELDS.get(name, name)
        if field not in fields:
            hint = did_you_mean(name, [*_FIELDS, "modules_to_save", *fields])
            raise InputError(
                f"lora has no option {name!r}{hint} There are {', '.join(_FIELDS)}, "
                "modules_to_save, and the fields of peft.LoraConfig."
            )
        if field in values:
            raise InputError(f"lora has {_NAMES.get(field, field)} twice.")
        values[field] = _value(field, value) if isinstance(value, str) else value
    values.setdefault("r", RANK)
    if "lora_alpha" not in values:
        values["lora_alpha"] = _RSLORA_ALPHA if values.get("use_rslora") else ALPHA
    try:
        return package.LoraConfig(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"peft refuses these options of lora: {first_line(error)}") from error


def _value(field: str, text: str) -> Any:
    """Convert the text of an option; what is no number, switch or JSON stays text."""
    if field in _LISTS:
        return text if text == _ALL_LINEAR else [each for each in text.split("+") if each]
    value = _scalar(text)
    if isinstance(value, str) and "+" in value:
        return [_scalar(each) for each in value.split("+") if each]
    return value


def _scalar(text: str) -> Any:
    word = text.lower()
    if word in _SWITCHES:
        return _SWITCHES[word]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(config: Any) -> None:
    rank, alpha, dropout = config.r, config.lora_alpha, config.lora_dropout
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"The rank of lora must be a whole number from 1 up; got {rank!r}.")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not alpha > 0:
        raise InputError(f"The alpha of lora must be a number above 0; got {alpha!r}.")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"The dropout of lora must be at least 0 and below 1; got {dropout!r}.")
    for field in ("use_dora", "use_rslora"):
        value = getattr(config, field)
        if not isinstance(value, bool):
            raise InputError(f"{_NAMES[field]} of lora is {value!r}; expected true or false.")
    for field in _LISTS:
        value = getattr(config, field)
        if value is not None and not value:
            raise InputError(f"{_NAMES.get(field, field)} of lora names no module.")
