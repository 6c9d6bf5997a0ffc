"""The command line of run_mlm.py: its flags, their spellings and their defaults."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn, get_origin

from transformers import HfArgumentParser, TrainingArguments

from mlmfast.errors import InputError
from mlmfast.options import did_you_mean, option
from mlmfast.training.options.arguments import make_arguments, parse_lists
from mlmfast.training.options.removed import add_removed
from mlmfast.training.options.run_mlm import OLD_NAMES, RunMlmOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Suffix of a text file (also some that run_mlm.py refuses) -> builder of `datasets`.
BUILDERS = {
    "txt": "text",
    "json": "json",
    "jsonl": "json",
    "csv": "csv",
    "tsv": "csv",
    "parquet": "parquet",
}


@dataclass(frozen=True)
class RunMlmArguments(RunMlmOptions):
    """run_mlm.py's ModelArguments and DataTrainingArguments, with their defaults."""

    model_name_or_path: str | None = option("Checkpoint to start from.  [default: random weights]")
    model_type: str | None = option("Architecture of a model with random weights, such as roberta.")
    config_overrides: str | None = option("Changes to its configuration: name=value,name=value.")
    mlm_probability: float = option("Share of the tokens to mask.", 0.15)
    validation_split_percentage: int | None = option(
        "First rows of the training text to evaluate on if there is no validation, in percent.",
        5,
    )
    model_revision: str | None = option("Branch, tag or commit of model and tokenizer.", "main")
    low_cpu_mem_usage: bool = option("No effect: transformers always loads that way.", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataset_name is None and self.train_file is None and self.validation_file is None:
            raise InputError(
                "There is no text: give --dataset_name, --train_file or --validation_file."
            )
        for name in ("train_file", "validation_file"):
            file = getattr(self, name)
            if file is not None and self.suffix_of(file) not in BUILDERS:
                raise InputError(
                    f"{name} is {file}; expected a name that ends in "
                    f"{', '.join(f'.{suffix}' for suffix in BUILDERS)}, or --format with one of "
                    "these. `mlmfast train` reads packed files and folders, too."
                )
        if self.config_overrides is not None and self.model_name_or_path is not None:
            raise InputError(
                "config_overrides changes a model of random weights; model_name_or_path "
                f"({self.model_name_or_path}) has its own configuration."
            )
        if not (self.model_name_or_path or self.config_name or self.model_type):
            raise InputError(
                "There is no model: give --model_name_or_path, or --model_type (or --config_name) "
                "for random weights."
            )
        if not (self.tokenizer_name or self.model_name_or_path):
            raise InputError(
                "A model of random weights needs --tokenizer_name; `mlmfast train-tokenizer` "
                "makes a tokenizer."
            )

    def suffix_of(self, file: str) -> str:
        """The format of a text file: `format`, or the suffix of its name."""
        return self.format or file.rpartition(".")[2]


class _Parser(HfArgumentParser):
    """An argument parser that raises InputError."""

    def add_argument(self, *names: str, **options: Any) -> Any:
        # transformers 4.57.1 calls `dict[str, Any]`, to which JSON is no mapping. The
        # TrainingArguments of every version read it.
        if get_origin(options.get("type")) is dict:
            options["type"] = str
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"On the command line, {message}.")


def parse_run_mlm(
    words: Sequence[str], settings: dict[str, Any] | None = None
) -> tuple[RunMlmArguments, TrainingArguments]:
    """Parse a command line of run_mlm.py.

    Args:
        words: the flags, in any spelling that run_mlm.py accepts: with `_` or `-`, with a space or
            `=` before the value, abbreviated to a unique prefix, switches without a value, with
            true or false, or as `--no_...`; lists also as a JSON array, mappings as a JSON object.
        settings: flags by name, from a file; `words` win.

    Raises:
        InputError: an unknown flag (the message suggests close names), or an invalid value.
    """
    objects, from_settings = _settings_words(settings or {})
    parser = _Parser((RunMlmArguments, TrainingArguments), prog="mlmfast run-mlm", add_help=False)
    known = {field.name for kind in parser.dataclass_types for field in fields(kind)}
    add_removed(parser)
    namespace, rest = parser.parse_known_args(list(_renamed([*from_settings, *words])))
    if unknown := [word for word in rest if word.startswith("-")]:
        flag = unknown[0].partition("=")[0].lstrip("-").replace("-", "_")
        raise InputError(f"No such option: {unknown[0]}{did_you_mean(flag, known, prefix='--')}")
    if rest:
        raise InputError(f"{' '.join(rest)} belongs to no flag.")
    values = parse_lists(vars(namespace)) | objects
    if unknown := [name for name in objects if name not in known]:
        raise InputError(f"No such option: {unknown[0]}{did_you_mean(unknown[0], known)}")
    own = {field.name: values.pop(field.name) for field in fields(RunMlmArguments)}
    return RunMlmArguments(**own), make_arguments(**values)


def describe_run_mlm() -> Iterator[str]:
    """Describe all flags: a line with flag and default, then the help."""
    for kind in (RunMlmArguments, TrainingArguments):
        for field in fields(kind):
            if not field.init:
                continue
            default = "" if field.default in (None, MISSING) else f"  [default: {field.default}]"
            yield f"--{field.name}{default}"
            yield f"    {' '.join(str(field.metadata.get('help', '')).split())}"


def _settings_words(settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Split settings into lists and mappings, which no flag can hold, and flags."""
    objects: dict[str, Any] = {}
    words: list[str] = []
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name == "config_overrides" and isinstance(value, dict):
            parts = (f"{field}={json.dumps(each)}" for field, each in value.items())
            words.append(f"--{name}={','.join(parts)}")
        elif isinstance(value, dict | list):
            objects[OLD_NAMES.get(name, name)] = value
        elif value is not None:
            words.append(f"--{name}={value}")
    return objects, words


def _renamed(words: Iterable[str]) -> Iterator[str]:
    """Replace flags of earlier versions of run_mlm.py by their present names."""
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        flag, equals, value = word.partition("=")
        name = flag[2:].replace("-", "_") if flag.startswith("--") else ""
        if name == "use_auth_token":
            # The token of `hf auth login` is used anyway.
            if not equals and remaining and not remaining[0].startswith("--"):
                remaining.pop(0)
        elif name in OLD_NAMES:
            yield f"--{OLD_NAMES[name]}{equals}{value}"
        else:
            yield word
