"""The options of `probe`: one table for its signature, its checks, its flags and their help."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.sources.base import QUOTINGS, ReadOptions
from mlmfast.data.sources.formats import FORMATS
from mlmfast.errors import InputError
from mlmfast.options import check_options, option

POOLINGS = ("mean", "cls")
# scikit-learn takes seeds of 32 bits.
_SEEDS = 1 << 32


@dataclass(frozen=True)
class ProbeOptions:
    """What is probed, with which texts, and how.

    `mlmfast.probe` has these fields as its arguments and documents them at length; `mlmfast probe`
    has a flag for each but `models` and `progress`.
    """

    models: Any
    _: KW_ONLY
    train: Any = field(
        metadata={
            "help": "Texts with labels to train on: CSV, TSV, JSON lines, Parquet, Arrow, or a "
            "folder of `datasets`.",
            "metavar": "FILE",
        }
    )
    test: Any = option(  # noqa: RUF009 - it is a field
        "Texts with labels to test on.  [default: a stratified part of --train]", metavar="FILE"
    )
    text_column: str = option("Column with the texts.", "text", metavar="NAME")
    label_column: str = option("Column with the labels.", "label", metavar="NAME")
    test_size: float = option(
        "Share of --train to test on, without --test.", 0.2, bounds=(0.01, 0.99), metavar="SHARE"
    )
    split: str | None = option("Split of a data set to train on.", metavar="SPLIT")
    test_split: str | None = option("Split of a data set to test on.", metavar="SPLIT")
    format: str | None = option(
        "Format of the files, compressed or not.  [default: by their names]", choices=FORMATS
    )
    csv_delimiter: str | None = option(
        "Character between the fields of a row.  [default: comma in CSV, tab in TSV]",
        metavar="CHARACTER",
    )
    csv_quoting: str = option(
        "In CSV and TSV, quotes may surround a field (minimal), or are text (none).",
        "minimal",
        choices=QUOTINGS,
    )
    seeds: int = option(
        "Number of divisions of the training texts, for means and standard errors.", 5, minimum=1
    )
    seed: int = option("The first seed.", 0, minimum=0)
    pooling: str = option(
        "A text's features: the mean of its tokens' states, or the state of the first token.",
        "mean",
        choices=POOLINGS,
    )
    layer: int = option(
        "Layer of the states: 0 is the embeddings, 1 the first layer, -1 the last.", -1
    )
    max_length: int | None = option(
        "Cut longer texts to N tokens.  [default: what the model takes, at most 512]",
        minimum=3,
        metavar="N",
    )
    batch_size: int = option("Texts of a batch.", 64, minimum=1)
    finetune: bool = option("Also fine-tune each model, with every seed.", False)
    epochs: int = option("Epochs of a fine-tuning.", 3, minimum=1)
    learning_rate: float = option("Peak learning rate of a fine-tuning.", 5e-5)
    finetune_batch_size: int = option("Texts of a fine-tuning's batch.", 16, minimum=1)
    confidence: float = option(
        "Confidence level of the intervals.", 0.95, bounds=(0.5, 0.999), metavar="SHARE"
    )
    device: str | None = option(
        "cpu, cuda, cuda:1 ...  [default: the GPU if there is one]", metavar="DEVICE"
    )
    precision: str = option(
        "auto: bf16 if the hardware supports it.", "auto", choices=("auto", "fp32", "bf16")
    )
    output: str | Path | None = option(  # noqa: RUF009 - it is a field
        "Folder for the figures, the report and the fine-tuned models.", metavar="FOLDER"
    )
    overwrite: bool = option("Replace the output of an earlier run.", False)
    progress: bool = option("Show a progress bar on standard error.", False)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}; expected more than 0.")
        if self.seed + self.seeds > _SEEDS:
            raise InputError(f"seed is {self.seed}; expected at most {_SEEDS - self.seeds:,}.")
        if self.test is not None and self.test_split is None and self.split is not None:
            raise InputError("split chooses a part of train: give test_split for test as well.")
        if self.test is None and self.test_split is not None:
            raise InputError("test_split goes with test, which is not given.")
        if not isinstance(self.label_column, str) or not self.label_column:
            raise InputError(f"label_column must be a column's name; got {self.label_column!r}.")
        self.reading()

    def reading(self) -> ReadOptions:
        """Return how the tables are read."""
        return ReadOptions(
            text_column=self.text_column,
            csv_delimiter=self.csv_delimiter,
            csv_quoting=self.csv_quoting,
        )
