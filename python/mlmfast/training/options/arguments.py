"""`transformers.TrainingArguments` as keywords and as flags, with the defaults of mlmfast."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, NoReturn

from transformers import HfArgumentParser, TrainingArguments

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.options import did_you_mean
from mlmfast.training.options.removed import (
    REMOVED,
    add_removed,
    overwrites_output_dir,
    removed_names,
    without_removed,
)
from mlmfast.training.options.run_mlm import OLD_NAMES
from mlmfast.training.process.state import launched_environment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The first six are those of the Hugging Face masked-language-modelling guide.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-5,
    "weight_decay": 0.01,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 8,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 1,
    "report_to": "none",
    # One percent of the steps: also a short training logs enough points for a curve.
    "logging_steps": 0.01,
}

MUON = "muon"
"""An optimizer of `optim` that transformers does not have; see `MuonTrainer`."""

# Fields that would have no effect, or a wrong one, and the reason or the alternative.
_REFUSED = {
    "output_dir": "use output",
    "overwrite_output_dir": "use overwrite",
    "label_names": "the labels are called labels",
    "include_for_metrics": "the metrics are fixed",
    "do_predict": "there is no test set to predict; `mlmfast evaluate` measures on one",
    "past_index": "masked language models keep no past",
    "logging_nan_inf_filter": "a loss of NaN or Inf ends the training, and names its blocks",
}

_BOOLEAN_WORDS = {"true", "false", "yes", "no", "t", "f", "y", "n", "1", "0"}


def build_arguments(folder: Path, given: dict[str, Any], **fixed: Any) -> TrainingArguments:
    """Build TrainingArguments from the defaults, the user's fields, and fixed fields.

    Args:
        folder: where the Trainer writes its checkpoints.
        given: the fields that the user set, by name.
        fixed: fields that override both.

    Raises:
        InputError: an unknown field (the message suggests close names), one of `_REFUSED`, or a
            value that TrainingArguments rejects.
        MissingDependencyError: a package of `report_to` is not installed.
    """
    check_names(given)
    given = {name: value for name, value in given.items() if value is not None}
    if "logging_steps" not in given:
        # Without it, transformers evaluates as often as it logs.
        given.setdefault("eval_steps", 500)
    return make_arguments(output_dir=str(folder), **{**DEFAULTS, **given, **fixed})


def make_arguments(**values: Any) -> TrainingArguments:
    """Build TrainingArguments from these fields, also those that transformers 5 has removed.

    Raises:
        InputError: a value that TrainingArguments rejects.
        MissingDependencyError: a package of `report_to` is not installed.
    """
    fields = without_removed(values)
    optimizer = fields.pop("optim", None) if fields.get("optim") == MUON else None
    try:
        with launched_environment():
            arguments = TrainingArguments(**fields)
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"transformers refuses these training arguments: {error}") from error
    if "overwrite_output_dir" in removed_names():
        arguments.overwrite_output_dir = overwrites_output_dir(values)
    if optimizer is not None:
        arguments.optim = optimizer
    _check_reporters(arguments.report_to)
    return arguments


def _check_reporters(names: list[str]) -> None:
    """Raise an error unless every entry of `report_to` is known and installed."""
    from transformers.integrations import (
        get_available_reporting_integrations,
        get_reporting_integration_callbacks,
    )

    try:
        get_reporting_integration_callbacks(names)
    except ValueError as error:
        raise InputError(f"report_to: {error}") from error
    installed = get_available_reporting_integrations()
    for name in names:
        if name not in installed:
            raise MissingDependencyError(
                f"report_to={name!r} needs the package {name}, which is not installed: "
                f"pip install {name}."
            )


def field_names() -> list[str]:
    """List the fields of TrainingArguments in transformers 4 and 5."""
    present = [field.name for field in dataclasses.fields(TrainingArguments) if field.init]
    return [*present, *removed_names()]


def check_names(given: Iterable[str]) -> None:
    """Raise InputError for a name that is not a field of TrainingArguments, or a refused one."""
    known = field_names()
    for name in given:
        if name in _REFUSED:
            raise InputError(f"The training argument {name} is not taken: {_REFUSED[name]}.")
        if name not in known:
            raise InputError(f"There is no training argument {name!r}{did_you_mean(name, known)}")


class _Parser(HfArgumentParser):
    """An argument parser that raises InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"In the training arguments, {message}.")


def split_flags(words: list[str], own: set[str]) -> tuple[list[str], dict[str, Any]]:
    """Separate the flags of TrainingArguments from the rest of a command line.

    Args:
        words: the command line, such as `["blocks/", "--learning_rate", "1e-4"]`.
        own: the options of the command itself, such as `"--model"`, written with `-`.

    Returns:
        The other words in order, and the given fields with their values.

    Raises:
        InputError: an unknown flag (the message suggests close names), or a value of a wrong type.
    """
    rest: list[str] = []
    flags: dict[str, str] = {}
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            rest += [word, *remaining]
            break
        flag = word.partition("=")[0].replace("_", "-")
        if not word.startswith("--") or flag in own:
            rest.append(word)
            continue
        name, negated = _field_of(flag, own)
        if name in OLD_NAMES.values():
            word = f"--{name}{word[len(flag) :]}"
        if "=" not in word and remaining and not negated and _is_value(name, remaining[0]):
            word = f"{word}={remaining.pop(0)}"
        flags[name] = word
    return rest, _parse(flags)


def _field_of(flag: str, own: set[str]) -> tuple[str, bool]:
    """Return the field of a flag, and whether the flag is its `--no-` form."""
    name = flag[2:].replace("-", "_")
    name = OLD_NAMES.get(name, name)
    known = field_names()
    if name in known:
        return name, False
    positive = name.removeprefix("no_")
    if positive in known and _default(positive) is True:
        return positive, True
    flags = [word.replace("_", "-") for word in known] + [word[2:] for word in own]
    raise InputError(f"No such option: {flag}{did_you_mean(flag[2:], flags, prefix='--')}")


def _default(name: str) -> Any:
    if name in removed_names():
        return False if REMOVED[name].is_switch else None
    return TrainingArguments.__dataclass_fields__[name].default


def _is_value(name: str, word: str) -> bool:
    """Return whether the next word is the value of this flag; a switch needs none."""
    if isinstance(_default(name), bool):
        return word.lower() in _BOOLEAN_WORDS
    return not word.startswith("--")


def _parse(flags: dict[str, str]) -> dict[str, Any]:
    """Convert the values of `{field: "--flag=value"}`."""
    if flags.get("optim") == f"--optim={MUON}":
        # transformers knows its own optimizers alone.
        others = {name: flag for name, flag in flags.items() if name != "optim"}
        return _parse(others) | {"optim": MUON}
    if not flags:
        return {}
    parser = _Parser(TrainingArguments, add_help=False, allow_abbrev=False, prog="mlmfast train")
    add_removed(parser)
    values = vars(parser.parse_args(list(flags.values())))
    return parse_lists({name: values[name] for name in flags})


def parse_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Parse the values of a command line that are written as JSON arrays, `["a", "b"]`.

    Raises:
        InputError: a value begins like a JSON array and is not one.
    """
    return {name: _list_of(name, value) for name, value in values.items()}


def _list_of(name: str, value: Any) -> Any:
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(text, str) or not text.lstrip().startswith("["):
        return value
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}, which is not a JSON array: {error}.") from error


def describe_fields() -> list[str]:
    """Describe the training arguments: a line with flag and default, then the help."""
    lines = []
    for field in dataclasses.fields(TrainingArguments):
        if field.init and field.name not in _REFUSED:
            default = DEFAULTS.get(field.name, field.default)
            shown = "" if default in (None, dataclasses.MISSING) else f"  [default: {default}]"
            lines.append(f"--{field.name.replace('_', '-')}{shown}")
            if text := " ".join(str(field.metadata.get("help", "")).split()):
                lines.append(f"    {text}")
    return lines
