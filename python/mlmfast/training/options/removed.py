"""Training arguments that transformers 5 has removed, and their replacements.

Scripts and command lines written for transformers 4 use them. mlmfast accepts them with either
version: an argument with a successor becomes it, and the others have no effect but a warning.
"""

from __future__ import annotations

import logging
from argparse import SUPPRESS
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainingArguments

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_TRUE, _FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")


def _switch(value: Any) -> bool:
    word = str(value).lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"expected true or false, not {value!r}")
    return word in _TRUE


@dataclass(frozen=True)
class Removed:
    """A removed field: the type of its values, and the field that replaced it.

    `value` is the value of the new field if the old one is a switch that is on; None passes the
    old value on.
    """

    type: Callable[[Any], Any] = str
    successor: str | None = None
    value: Any = None

    @property
    def is_switch(self) -> bool:
        """Whether its values are true and false."""
        return self.type is _switch


REMOVED = {
    "adafactor": Removed(_switch, "optim", "adafactor"),
    "fp16_backend": Removed(),
    "fp16_opt_level": Removed(),
    "group_by_length": Removed(_switch, "train_sampling_strategy", "group_by_length"),
    "half_precision_backend": Removed(),
    "include_inputs_for_metrics": Removed(_switch, "include_for_metrics", ["inputs"]),
    "include_tokens_per_second": Removed(_switch),
    "jit_mode_eval": Removed(_switch),
    "logging_dir": Removed(),
    "no_cuda": Removed(_switch, "use_cpu", True),
    # Stays an attribute: `mlmfast run-mlm` reads it.
    "overwrite_output_dir": Removed(_switch),
    "past_index": Removed(int),
    "per_gpu_eval_batch_size": Removed(int, "per_device_eval_batch_size"),
    "per_gpu_train_batch_size": Removed(int, "per_device_train_batch_size"),
    "save_safetensors": Removed(_switch),
    "use_legacy_prediction_loop": Removed(_switch),
    "use_mps_device": Removed(_switch),
    "warmup_ratio": Removed(float, "warmup_steps"),
}


def removed_names() -> list[str]:
    """List the fields of `REMOVED` that the installed transformers does not have."""
    return [name for name in REMOVED if name not in TrainingArguments.__dataclass_fields__]


def add_removed(parser: ArgumentParser) -> None:
    """Add them to a parser as flags; its result holds only those that are given."""
    for name in removed_names():
        spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        if REMOVED[name].is_switch:
            parser.add_argument(*spellings, nargs="?", const=True, default=SUPPRESS)
        else:
            parser.add_argument(*spellings, default=SUPPRESS)


def without_removed(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the fields that the installed transformers has removed.

    Args:
        values: training arguments by name; not modified.

    Raises:
        InputError: a value of the wrong type.
    """
    result = dict(values)
    given = {name: result.pop(name) for name in removed_names() if result.get(name) is not None}
    for name, value in given.items():
        field = REMOVED[name]
        try:
            parsed = field.type(value)
        except ValueError as error:
            raise InputError(f"{name} is {value!r}: {error}.") from error
        if field.successor is not None:
            result |= _replacement(field, field.successor, parsed, result)
        elif name != "overwrite_output_dir":
            logger.warning("%s has no effect: transformers 5 has removed it", name)
    return {name: value for name, value in result.items() if name not in removed_names()}


def overwrites_output_dir(values: dict[str, Any]) -> bool:
    """Return whether `overwrite_output_dir` is given and true."""
    given = values.get("overwrite_output_dir")
    return given is not None and _switch(given)


def _replacement(
    field: Removed, successor: str, value: Any, others: dict[str, Any]
) -> dict[str, Any]:
    """Return the successor and its value; empty if the field changes nothing."""
    if field.is_switch:
        return {successor: field.value} if value else {}
    # As in transformers 4, a number of steps wins over a share of them.
    if successor == "warmup_steps" and others.get(successor):
        return {}
    return {successor: value}
