"""Opening data sets of the `datasets` library: objects, folders and names on the Hub."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlmfast.data.arrow_text import text_columns, unknown_column
from mlmfast.data.sources.base import resolve_column
from mlmfast.data.sources.byte_streams.first_bytes import check_readable
from mlmfast.data.sources.dataset_rows import (
    ROWS,
    DatasetSource,
    StreamedSource,
    dataset_and_column,
)
from mlmfast.errors import (
    InputError,
    MissingDependencyError,
    NotFoundError,
    first_line,
)
from mlmfast.fs.paths import as_path


def is_dataset_folder(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()


def open_dataset_folder(folder: Path, split: str | None) -> DatasetSource | StreamedSource:
    """Open a folder of `save_to_disk`; `split` may be a slice such as "train[:5000]"."""
    datasets = _library()
    _check_no_lfs_pointers(folder.rglob("*.arrow"))
    try:
        dataset = datasets.load_from_disk(str(folder))
    except Exception as error:  # the library raises various errors for damaged files
        raise InputError(
            f"{str(folder)!r} looks like a `datasets` folder, but cannot be opened: {error}."
        ) from error
    return open_dataset(dataset, split, str(folder))


def open_dataset(
    data: Any, split: str | None, name: str = "the data set"
) -> DatasetSource | StreamedSource:
    """Open a data set, a column of one, or the requested split of a dict of data sets."""
    dataset, column = dataset_and_column(data)
    if isinstance(dataset, dict):
        dataset = _select_split(dataset, name, split)
    elif split is not None:
        # A single data set accepts any split name; the slice applies to it.
        dataset = _select_split({split.split("[")[0]: dataset}, name, split)
    if hasattr(dataset, "num_rows"):
        return DatasetSource(name, dataset, column)
    return StreamedSource(name, dataset, column)


def load_dataset_splits(
    name: str,
    config: str | None = None,
    *,
    cache_dir: str | None = None,
    token: str | None = None,
    streaming: bool = False,
) -> dict[str, Any]:
    """Load all splits of a data set: a folder of the `datasets` library, or a name on the Hub.

    Args:
        name: The folder or the name.
        config: The configuration of a data set on the Hub.
        cache_dir: The download folder; None for the library's own folder.
        token: The access token of the Hub, for private data sets.
        streaming: Download the data set while it is read.

    Raises:
        NotFoundError: The data set does not exist, or the Hub cannot be reached.
        InputError: The data set cannot be loaded.
    """
    datasets = _library()
    folder = as_path(name, home=True)
    with _loading(name):
        if is_dataset_folder(folder):
            dataset = datasets.load_from_disk(str(folder))
        else:
            _check_data_files(folder, config)
            dataset = datasets.load_dataset(
                str(folder) if folder.is_dir() else name,
                config,
                cache_dir=cache_dir,
                token=token,
                streaming=streaming,
            )
    return dict(dataset) if isinstance(dataset, dict) else {"train": dataset}


def arrow_stream(dataset: Any, column: str) -> pa.RecordBatchReader:
    """Return a column of a streamed data set as Arrow batches, which can be read once.

    Raises:
        InputError: The column does not exist, or the data set is empty.
    """
    tables = iter(dataset.with_format("arrow").iter(batch_size=ROWS))
    first = next(tables, None)
    if first is None:
        raise InputError("The streamed data set is empty.")
    path = resolve_column(first.column_names, column)
    if path is None:
        texts = text_columns(first.schema)
        raise unknown_column("the streamed data set", column, first.column_names, texts)
    schema = first.select([path[0]]).schema
    batches = (
        batch
        for table in chain([first], tables)
        for batch in table.select([path[0]]).cast(schema).to_batches()
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def load_hub_dataset(
    name: str, config: str | None, split: str | None
) -> DatasetSource | StreamedSource:
    """Load a data set by its name on the Hub, or from a clone of its repository.

    Raises:
        NotFoundError: The data set does not exist, or the Hub cannot be reached.
        InputError: The data set cannot be loaded, or has no such split.
    """
    datasets = _library()
    with _loading(name):
        _check_data_files(Path(name), config)
        dataset = datasets.load_dataset(name, config, split=split)
    return open_dataset(dataset, None, f"the data set {name!r}")


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Convert errors of the library into errors that name the data set."""
    not_found = _library().exceptions.DatasetNotFoundError
    try:
        with _without_retry_log():
            yield
    except InputError:
        raise
    except (OSError, not_found) as error:
        raise NotFoundError(
            f"No data set {name!r}: there is no such folder, and no such name can be reached on "
            f"the Hugging Face Hub ({first_line(error).rstrip('.')})."
        ) from error
    except Exception as error:  # the library raises various errors for unreadable data
        raise InputError(
            f"The data set {name!r} cannot be loaded: {first_line(error, lines=2).rstrip('.')}."
        ) from error


def _select_split(dataset: Any, name: str, split: str | None) -> Any:
    """Return the requested split, or slices of splits, of a DatasetDict."""
    datasets = _library()
    if split is None:
        if len(dataset) == 1:
            return next(iter(dataset.values()))
        raise InputError(
            f"{name} has the splits {', '.join(dataset)}: choose one with --split, "
            "such as --split train or --split train[:5000]."
        )
    if split in dataset:
        return dataset[split]
    if not all(hasattr(rows, "num_rows") for rows in dataset.values()):
        raise InputError(
            f"{name} is read as a stream, which cannot be sliced: name one of its splits "
            f"({', '.join(dataset)}), and limit the number of documents by --limit."
        )
    try:
        lengths = {key: len(rows) for key, rows in dataset.items()}
        parts = datasets.ReadInstruction.from_spec(split).to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"{name} has the splits {', '.join(dataset)}; {split!r} cannot be taken of them: "
            f"{first_line(error).rstrip('.')}."
        ) from error
    chosen = [
        dataset[part.splitname].select(
            range(part.from_ or 0, lengths[part.splitname] if part.to is None else part.to)
        )
        for part in parts
    ]
    return chosen[0] if len(chosen) == 1 else datasets.concatenate_datasets(chosen)


def _check_data_files(folder: Path, config: str | None) -> None:
    """Raise InputError if a file that `load_dataset` would read is a pointer of Git LFS."""
    if folder.is_dir():
        builder = _library().load_dataset_builder(str(folder), config)
        files = (builder.config.data_files or {}).values()
        _check_no_lfs_pointers(Path(file) for split_files in files for file in split_files)


def _check_no_lfs_pointers(files: Iterable[Path]) -> None:
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                check_readable(opened.read(64), str(file))


@contextmanager
def _without_retry_log() -> Iterator[None]:
    """Silence the Hub client's log of retries; the final error is reported anyway."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            "Data sets of the Hub and `datasets` folders need the package datasets: "
            "pip install 'mlmfast[train]'."
        ) from error
    return datasets
