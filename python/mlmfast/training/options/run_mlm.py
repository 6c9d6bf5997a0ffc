"""The flags of run_mlm.py that are not `transformers.TrainingArguments`, as options of `train`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mlmfast.errors import InputError
from mlmfast.options import option

DTYPES = ("auto", "bfloat16", "float32")
# Names in run_mlm.py, and the names of the same options in `train`.
ALIASES = {
    "model_name_or_path": "model",
    "output_dir": "output",
    "overwrite_output_dir": "overwrite",
}

TEXT_ONLY = (
    "train_file",
    "validation_file",
    "dataset_name",
    "validation_split_percentage",
    "max_seq_length",
    "line_by_line",
    "streaming",
    "tokenizer_name",
    "use_fast_tokenizer",
)
"""The flags that say which text to train on, and how it becomes blocks."""
READING = (
    "text_column",
    "format",
    "csv_delimiter",
    "csv_quoting",
    "json_field",
    "overwrite_cache",
    "preprocessing_num_workers",
)
"""The flags that say how text is read, of a training or of its evaluation."""

# Names of earlier versions of transformers, which many scripts still use.
OLD_NAMES = {"evaluation_strategy": "eval_strategy", "torch_dtype": "dtype"}


@dataclass(frozen=True)
class RunMlmOptions:
    """The flags of run_mlm.py for text, tokenizer and model; None means "not given"."""

    train_file: str | None = option("Text to train on: a file or a pattern of files.")
    validation_file: str | None = option("Text to evaluate on.")
    dataset_name: str | None = option(
        "Data set on the Hub or its folder; trains on the split train."
    )
    dataset_config_name: str | None = option("Configuration of the data set.")
    text_column: str | None = option(
        "Column with the text; a.b for a nested field.  [default: text]"
    )
    format: str | None = option("Format of the text files.  [default: by file name]")
    csv_delimiter: str | None = option("Field delimiter.  [default: comma in CSV, tab in TSV]")
    csv_quoting: str | None = option("minimal: quotes enclose fields; none: quotes are text.")
    json_field: str | None = option("Field with the records, if a JSON file is one object.")
    validation_split_percentage: int | None = option(
        "Share of the documents to hold out if there is no validation text, in %.  [default: 5]"
    )
    max_seq_length: int | None = option(
        "Tokens of a block.  [default: the limit of tokenizer and model, at most 1024]"
    )
    line_by_line: bool = option("Make each line one block, truncated or padded.", False)
    pad_to_max_length: bool = option(
        "Pad lines to --max-seq-length, not to the longest line of their batch.", False
    )
    max_train_samples: int | None = option("Train on the first N blocks only.")
    max_eval_samples: int | None = option("Evaluate on the first N blocks only.")
    streaming: bool = option("Read the data set as a stream, without downloading it whole.", False)
    overwrite_cache: bool = option("Prepare the text again, even if its blocks are cached.", False)
    preprocessing_num_workers: int | None = option(
        "Threads for preparing the text.  [default: all cores]"
    )
    tokenizer_name: str | None = option("Tokenizer for the text.  [default: the model's]")
    use_fast_tokenizer: bool = option("Use the fast version of the tokenizer.", True)
    config_name: str | None = option("Configuration, if it is not the model's own.")
    cache_dir: str | None = option("Folder for downloads and prepared blocks.")
    model_revision: str | None = option("Branch, tag or commit of model and tokenizer.")
    token: str | None = option("Access token of the Hub.  [default: that of `hf auth login`]")
    trust_remote_code: bool = option("Run the code that comes with a model of the Hub.", False)
    dtype: str | None = option("Data type of the weights: auto, bfloat16, float32.")

    def __post_init__(self) -> None:
        for name, minimum in (
            ("max_seq_length", 1),
            ("max_train_samples", 1),
            ("max_eval_samples", 1),
            ("preprocessing_num_workers", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < minimum):
                raise InputError(f"{name} is {value!r}; expected a whole number from {minimum} on.")
        share = self.validation_split_percentage
        if share is not None and not 0 <= share < 100:
            raise InputError(
                f"validation_split_percentage is {share}; expected 0 (nothing is held out) to 99."
            )
        if self.dtype == "float16":
            raise InputError(
                "dtype float16: weights of that type can become NaN in training; train with "
                "fp16=True (--fp16), which keeps them in float32."
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise InputError(f"dtype is {self.dtype!r}; expected one of {', '.join(DTYPES)}.")

    @property
    def hub(self) -> dict[str, Any]:
        """The given ones of the keywords that `from_pretrained` takes."""
        given = {
            "cache_dir": self.cache_dir,
            "revision": self.model_revision,
            "token": self.token,
            "trust_remote_code": self.trust_remote_code or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def text_only_options(self, *, evaluates_text: bool = False) -> list[str]:
        """List the given options that apply to text only, not to blocks.

        Args:
            evaluates_text: leave out those that say how the text of an evaluation is read.
        """
        names = TEXT_ONLY if evaluates_text else (*TEXT_ONLY, *READING)
        defaults = {each.name: each.default for each in fields(self)}
        return [name for name in names if getattr(self, name) != defaults[name]]


def split_options(given: dict[str, Any]) -> tuple[RunMlmOptions, dict[str, Any], dict[str, Any]]:
    """Split keywords of `train` into these options, aliases of its own options, and the rest.

    Raises:
        InputError: a value that is out of range, or an option under two names.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    for old, new in OLD_NAMES.items():
        if old in rest:
            if new in rest:
                raise InputError(f"{old} is the old name of {new}: give one of them.")
            rest[new] = rest.pop(old)
    if rest.pop("low_cpu_mem_usage", True) is False:
        raise InputError(
            "low_cpu_mem_usage=False is not supported: transformers always loads that way."
        )
    own = {each.name for each in fields(RunMlmOptions)}
    options = RunMlmOptions(**{name: rest.pop(name) for name in list(rest) if name in own})
    if options.dataset_config_name is not None and options.dataset_name is None:
        raise InputError("dataset_config_name goes with dataset_name, which is not given.")
    aliases = {ALIASES[name]: rest.pop(name) for name in list(rest) if name in ALIASES}
    return options, aliases, rest


def resolve_alias(name: str, value: Any, aliases: dict[str, Any]) -> Any:
    """Return the value of an option that may have been given under its alias.

    Raises:
        InputError: both names are given, with different values.
    """
    if value is not None and aliases.get(name, value) != value:
        raise InputError(f"{name} was given under two names: {value} and {aliases[name]}.")
    return aliases.get(name, value)


def resolve_do_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Apply do_train and do_eval as run_mlm.py does; return the other arguments.

    Raises:
        InputError: the flags ask for no training, or contradict `eval_strategy`.
    """
    rest = dict(given)
    do_train, do_eval = rest.pop("do_train", None), rest.pop("do_eval", None)
    if do_train is False or (do_eval and do_train is None):
        raise InputError(
            "Without do_train there is nothing to train: to evaluate only, use `mlmfast run-mlm` "
            "with the same flags, or `mlmfast evaluate MODEL --data BLOCKS`; to train, add "
            "--do-train, or leave out both flags."
        )
    strategy = rest.get("eval_strategy")
    if do_eval is False:
        if strategy is not None and str(strategy) != "no":
            raise InputError(f"do_eval is false, but eval_strategy is {strategy!r}.")
        rest["eval_strategy"] = "no"
    elif do_eval and strategy is None:
        rest["eval_strategy"] = "epoch"
    elif do_eval and str(strategy) == "no":
        # run_mlm.py evaluates once, at the end; every training that evaluates does so here, too.
        rest["eval_strategy"] = "epoch"
    return rest
