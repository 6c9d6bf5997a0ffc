"""The text of run_mlm.py: read by the `datasets` library, as there, and prepared by mlmfast."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING, Any

import datasets

from mlmfast.data.sources.base import delimiter_of, quoting_of
from mlmfast.data.sources.hub import arrow_stream, load_dataset_splits
from mlmfast.errors import InputError, NotFoundError, first_line
from mlmfast.training.run_mlm.arguments import BUILDERS
from mlmfast.training.text_data import make_blocks, text_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.data.store.store import BlockStore
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.training.run_mlm.arguments import RunMlmArguments

logger = logging.getLogger(__name__)


def run_mlm_blocks(
    arguments: RunMlmArguments,
    tokenizer: LoadedTokenizer,
    names: Iterable[str],
    *,
    quiet: bool,
) -> dict[str, BlockStore]:
    """Prepare the blocks of the named splits.

    The rows of a split are those of run_mlm.py: the same library reads the data set or the files,
    and if there is no validation, it is the first `validation_split_percentage` of the rows.

    Args:
        arguments: the text, and how to prepare it.
        tokenizer: the tokenizer for the text.
        names: `train`, `validation` or both.
        quiet: show no progress.

    Returns:
        The stores by name.

    Raises:
        InputError: the text cannot be used, or a split does not exist.
        NotFoundError: a file or a data set does not exist.
    """
    splits = _splits(arguments)
    options = text_options(arguments, tokenizer, arguments.model_name_or_path, quiet=quiet)
    stores = {}
    for name in names:
        if name not in splits:
            task = "--do_train" if name == "train" else "--do_eval"
            raise InputError(f"{task} needs a split {name}; the text has only {', '.join(splits)}.")
        column = _column(splits[name], arguments)
        text = _with_column(splits[name], column)
        stores[name] = make_blocks(text, options, arguments, text_column=column)["train"]
    return stores


def _splits(arguments: RunMlmArguments) -> dict[str, Any]:
    """Read the text; hold out a validation split if there is none."""
    if arguments.dataset_name is not None:
        splits = load_dataset_splits(
            arguments.dataset_name,
            arguments.dataset_config_name,
            cache_dir=arguments.cache_dir,
            token=arguments.token,
            streaming=arguments.streaming,
        )
    else:
        splits = _files(arguments)
    if "validation" in splits or "train" not in splits:
        return splits
    share = arguments.validation_split_percentage or 0
    held_out, rest = _split_rows(splits["train"], share)
    return {**splits, "train": rest, "validation": held_out}


def _files(arguments: RunMlmArguments) -> dict[str, Any]:
    named = {"train": arguments.train_file, "validation": arguments.validation_file}
    files = {split: file for split, file in named.items() if file is not None}
    suffix = arguments.suffix_of(list(files.values())[-1])
    try:
        return dict(
            datasets.load_dataset(
                BUILDERS[suffix],
                data_files=files,
                cache_dir=arguments.cache_dir,
                token=arguments.token,
                streaming=arguments.streaming,
                **_reader_options(suffix, arguments),
            )
        )
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file {' or '.join(files.values())}.") from error
    except Exception as error:  # whatever the library's readers raise on what they cannot read
        reason = first_line(error.__cause__ or error)
        raise InputError(f"{', '.join(files.values())} cannot be read: {reason}") from error


def _reader_options(suffix: str, arguments: RunMlmArguments) -> dict[str, Any]:
    """Translate the options of tables and JSON files into those of the `datasets` library."""
    builder = BUILDERS[suffix]
    if builder == "json":
        return {} if arguments.json_field is None else {"field": arguments.json_field}
    if builder != "csv":
        return {}
    delimiter = delimiter_of(arguments.csv_delimiter) or ("\t" if suffix == "tsv" else ",")
    as_text = quoting_of(arguments.csv_quoting or "minimal") == "none"
    return {"sep": delimiter, "quoting": csv.QUOTE_NONE if as_text else csv.QUOTE_MINIMAL}


def _split_rows(rows: Any, share: int) -> tuple[Any, Any]:
    """Split the rows into the first `share` percent and the rest."""
    if hasattr(rows, "num_rows"):
        instruction = datasets.ReadInstruction.from_spec(f"train[:{share}%]")
        stop = instruction.to_absolute({"train": rows.num_rows})[0].to or 0
        return rows.select(range(stop)), rows.select(range(stop, rows.num_rows))
    # The length of a stream is unknown: as run_mlm.py, hold out `share` of each hundred rows.
    held_out = rows.filter(lambda _row, at: at % 100 < share, with_indices=True)
    rest = rows.filter(lambda _row, at: at % 100 >= share, with_indices=True)
    return held_out, rest


def _column(rows: Any, arguments: RunMlmArguments) -> str:
    """Return the column with the text: `text` if it exists, else the first one."""
    if arguments.text_column is not None:
        return arguments.text_column
    names = rows.column_names or list(next(iter(rows), {}))
    if not names:
        raise InputError("The text has no rows.")
    if "text" in names:
        return "text"
    logger.info("there is no column text: the first one is taken, %s", names[0])
    return str(names[0])


def _with_column(rows: Any, column: str) -> Any:
    return rows if hasattr(rows, "num_rows") else arrow_stream(rows, column)
