"""The flags of run_mlm.py beside `transformers.TrainingArguments`, as options of `train`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mlmfast.errors import InputError
from mlmfast.options import option

DTYPES = ("auto", "bfloat16", "float32")
# Names of run_mlm.py, and those of `train` that mean the same.
ALIASES = {
    "model_name_or_path": "model",
    "output_dir": "output",
    "overwrite_output_dir": "overwrite",
}

# Names of earlier versions of transformers, which many scripts still use.
OLD_NAMES = {"evaluation_strategy": "eval_strategy", "torch_dtype": "dtype"}


@dataclass(frozen=True)
class RunMlmOptions:
    """What run_mlm.py asks about text, tokenizer and model; None is "not given"."""

    train_file: str | None = option("Text to train on: a file or a pattern of files.")
    validation_file: str | None = option("Text to measure on.")
    dataset_name: str | None = option("A data set of the Hub or its folder, split train.")
    dataset_config_name: str | None = option("Configuration of the Hub's data set.")
    text_column: str | None = option("Column with the text; a.b reaches deeper.  [default: text]")
    format: str | None = option("Format of the text files.  [default: by their names]")
    csv_delimiter: str | None = option("Between fields.  [default: comma in CSV, tab in TSV]")
    csv_quoting: str | None = option("Quotes in CSV surround fields, or are text.")
    json_field: str | None = option("Field of the records, where a JSON file is one object.")
    validation_split_percentage: int | None = option(
        "Documents held out at random where there is no validation text, in %.  [default: 5]"
    )
    max_seq_length: int | None = option(
        "Tokens of a block.  [default: what tokenizer and model take, at most 1024]"
    )
    line_by_line: bool = option("A line is a block of its own, cut or padded.", False)
    pad_to_max_length: bool = option(
        "Keep lines padded to --max-seq-length, not to the longest of their batch.", False
    )
    max_train_samples: int | None = option("Train on the first so many blocks only.")
    max_eval_samples: int | None = option("Measure on the first so many blocks only.")
    streaming: bool = option("Read the data set as a stream, without downloading it whole.", False)
    overwrite_cache: bool = option("Prepare the text anew, though its blocks are kept.", False)
    preprocessing_num_workers: int | None = option("Threads that prepare.  [default: all cores]")
    tokenizer_name: str | None = option("Tokenizer of the text.  [default: the model's]")
    use_fast_tokenizer: bool = option("Take the tokenizer's fast version.", True)
    config_name: str | None = option("Configuration, where it is not the model's own.")
    cache_dir: str | None = option("Folder for downloads and prepared blocks.")
    model_revision: str | None = option("Branch, tag or commit of model and tokenizer.")
    token: str | None = option("Access token of the Hub.  [default: that of `hf auth login`]")
    trust_remote_code: bool = option("Run the code that comes with a model of the Hub.", False)
    dtype: str | None = option("Type of the weights: auto, bfloat16, float32.")

    def __post_init__(self) -> None:
        for name, least in (
            ("max_seq_length", 1),
            ("max_train_samples", 1),
            ("max_eval_samples", 1),
            ("preprocessing_num_workers", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise InputError(f"{name} is {value!r}; expected a whole number from {least} on.")
        share = self.validation_split_percentage
        if share is not None and not 0 <= share < 100:
            raise InputError(
                f"validation_split_percentage is {share}; expected 0 (nothing is held out) to 99."
            )
        if self.dtype == "float16":
            raise InputError(
                "dtype float16: gradients of such weights vanish; train with fp16=True (--fp16), "
                "which keeps the weights in float32."
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise InputError(f"dtype is {self.dtype!r}; expected one of {', '.join(DTYPES)}.")

    @property
    def hub(self) -> dict[str, Any]:
        """What `from_pretrained` takes of these, those that were given alone."""
        given = {
            "cache_dir": self.cache_dir,
            "revision": self.model_revision,
            "token": self.token,
            "trust_remote_code": self.trust_remote_code or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def of_text(self) -> list[str]:
        """Name the options that were given and mean something for text only, not for blocks."""
        about_text = (
            "train_file",
            "validation_file",
            "dataset_name",
            "text_column",
            "format",
            "csv_delimiter",
            "csv_quoting",
            "json_field",
            "validation_split_percentage",
            "max_seq_length",
            "line_by_line",
            "streaming",
            "overwrite_cache",
            "preprocessing_num_workers",
            "tokenizer_name",
            "use_fast_tokenizer",
        )
        defaults = {each.name: each.default for each in fields(self)}
        return [name for name in about_text if getattr(self, name) != defaults[name]]


def split_options(given: dict[str, Any]) -> tuple[RunMlmOptions, dict[str, Any], dict[str, Any]]:
    """Sort keywords of `train` into these options, other names of its own ones, and the rest.

    Raises:
        InputError: A value that cannot be.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    for old, new in OLD_NAMES.items():
        if old in rest:
            if new in rest:
                raise InputError(f"{old} is the old name of {new}: give one of them.")
            rest[new] = rest.pop(old)
    if rest.pop("low_cpu_mem_usage", True) is False:
        raise InputError(
            "low_cpu_mem_usage=False is not taken: transformers always loads that way."
        )
    own = {each.name for each in fields(RunMlmOptions)}
    options = RunMlmOptions(**{name: rest.pop(name) for name in list(rest) if name in own})
    if options.dataset_config_name is not None and options.dataset_name is None:
        raise InputError("dataset_config_name goes with dataset_name, which is not given.")
    aliases = {ALIASES[name]: rest.pop(name) for name in list(rest) if name in ALIASES}
    return options, aliases, rest


def of_one_name(name: str, value: Any, aliases: dict[str, Any]) -> Any:
    """Give the value of an option that may have been given by its other name.

    Raises:
        InputError: both names were given, with different values.
    """
    if value is not None and aliases.get(name, value) != value:
        raise InputError(f"{name} was given under two names: {value} and {aliases[name]}.")
    return aliases.get(name, value)


def check_doing(given: dict[str, Any]) -> dict[str, Any]:
    """Read do_train and do_eval as run_mlm.py does; return the other arguments.

    Raises:
        InputError: What is asked for is no training, or contradicts itself.
    """
    rest = dict(given)
    do_train, do_eval = rest.pop("do_train", None), rest.pop("do_eval", None)
    if do_train is False or (do_eval and do_train is None):
        raise InputError(
            "Without do_train nothing is trained: `mlmfast run-mlm` measures alone by the same "
            "flags, and so does `mlmfast evaluate MODEL --data BLOCKS`; to train, give --do-train "
            "as well, or neither of the two."
        )
    strategy = rest.get("eval_strategy")
    if do_eval is False:
        if strategy is not None and str(strategy) != "no":
            raise InputError(f"do_eval is false, but eval_strategy is {strategy!r}.")
        rest["eval_strategy"] = "no"
    elif do_eval and strategy is None:
        rest["eval_strategy"] = "epoch"
    elif do_eval and str(strategy) == "no":
        # run_mlm.py measures once, at the end; so does every training here that measures at all.
        rest["eval_strategy"] = "epoch"
    return rest
