"""Data sets of the `datasets` library: objects, folders and names on the Hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.sources.base import Piece, Place, resolve_column, unknown_column
from mlmfast.data.sources.columnar import read_batches
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError
from mlmfast.paths import as_path

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

_ROWS = 1000


class DatasetSource:
    """The rows of a `datasets.Dataset`, with its selections and shuffles."""

    def __init__(self, name: str, dataset: Any) -> None:
        """Read `dataset`, which messages call `name`."""
        self.name = name
        self.size: int | None = dataset.num_rows
        self._dataset = dataset

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents; only the column's own data is read."""
        dataset = self._dataset
        path = resolve_column(dataset.column_names, options.text_column)
        if path is not None:
            dataset = dataset.select_columns([path[0]])
        schema = dataset.features.arrow_schema
        first = place["row"] if place else 0
        rows = dataset.num_rows
        stop = place.get("stop", rows) if place else rows
        if first or stop < rows:
            dataset = dataset.select(range(first, stop))
        tables = dataset.with_format("arrow").iter(batch_size=_ROWS)
        return read_batches(schema, tables, options, self.name, rows=rows, first=first)

    def fingerprint(self) -> dict[str, Any] | None:
        """The library's own fingerprint, which names the content."""
        own = getattr(self._dataset, "_fingerprint", None)
        return {"name": self.name, "rows": self.size, "fingerprint": own} if own else None

    def stop(self) -> None:
        """Reading never waits."""


def is_dataset_folder(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()


def open_dataset_folder(folder: Path, split: str | None) -> DatasetSource:
    """Open what `save_to_disk` wrote; `split` may be a slice such as "train[:5000]"."""
    datasets = _library()
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever the library's parts raise on damaged files
        raise InputError(
            f"{str(folder)!r} looks like a `datasets` folder, but cannot be opened: {error}."
        ) from error
    return open_dataset(found, split, str(folder))


def open_dataset(found: Any, split: str | None, name: str = "the data set") -> DatasetSource:
    """Open a `Dataset`, or the wanted split of a `DatasetDict`."""
    if isinstance(found, dict):
        return DatasetSource(name, _choose(found, name, split))
    if split is not None:
        # A data set alone answers to whatever name its part is asked for by.
        alone = split.split("[")[0]
        return DatasetSource(name, _choose({alone: found}, name, split))
    return DatasetSource(name, found)


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
        cache_dir: Where it is downloaded to; None for the library's own folder.
        token: The Hub's access token, for what is private.
        streaming: Download it while it is read.

    Raises:
        NotFoundError: It is not there, or the Hub cannot be reached.
        InputError: It cannot be loaded.
    """
    datasets = _library()
    folder = as_path(name, home=True)
    try:
        if is_dataset_folder(folder):
            found = datasets.load_from_disk(str(folder))
        else:
            with _without_retry_log():
                found = datasets.load_dataset(
                    str(folder) if folder.is_dir() else name,
                    config,
                    cache_dir=cache_dir,
                    token=token,
                    streaming=streaming,
                )
    except (OSError, datasets.exceptions.DatasetNotFoundError) as error:
        raise NotFoundError(
            f"No data set {name!r}: there is no such folder, and no such name can be reached on "
            f"the Hugging Face Hub ({_first_line(error)})."
        ) from error
    except Exception as error:  # whatever the library's parts raise on what they cannot read
        raise InputError(
            f"The data set {name!r} cannot be loaded: {_first_line(error)}."
        ) from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def arrow_stream(dataset: Any, column: str) -> pa.RecordBatchReader:
    """Give a column of a streamed data set, which is read once, as Arrow batches.

    Raises:
        InputError: There is no such column, or no row.
    """
    tables = iter(dataset.with_format("arrow").iter(batch_size=_ROWS))
    first = next(tables, None)
    if first is None:
        raise InputError("The streamed data set is empty.")
    path = resolve_column(first.column_names, column)
    if path is None:
        raise unknown_column("the streamed data set", column, first.column_names)
    wanted = first.select([path[0]]).schema
    batches = (
        batch
        for table in chain([first], tables)
        for batch in table.select([path[0]]).cast(wanted).to_batches()
    )
    return pa.RecordBatchReader.from_batches(wanted, batches)


def load_hub_dataset(name: str, config: str | None, split: str | None) -> DatasetSource:
    """Load a data set by its name on the Hub.

    Raises:
        NotFoundError: It is not there, or the Hub cannot be reached.
    """
    datasets = _library()
    shown = f"the data set {name!r}"
    try:
        with _without_retry_log():
            found = datasets.load_dataset(name, config, split=split)
    except (OSError, datasets.exceptions.DatasetNotFoundError) as error:
        raise NotFoundError(
            f"No data set {name!r}: there is no such folder, and no such name can be reached on "
            f"the Hugging Face Hub ({_first_line(error)})."
        ) from error
    except ValueError as error:
        raise InputError(f"{shown} cannot be loaded: {_first_line(error)}") from error
    if isinstance(found, datasets.DatasetDict):
        found = _choose(found, shown, None)
    return DatasetSource(name, found)


def _choose(found: Any, name: str, split: str | None) -> Any:
    """Return the wanted split, or the wanted parts of splits, of a DatasetDict."""
    datasets = _library()
    if split is None:
        if len(found) == 1:
            return next(iter(found.values()))
        raise InputError(
            f"{name} has the splits {', '.join(found)}: choose one with --split, "
            "such as --split train or --split train[:5000]."
        )
    try:
        lengths = {key: len(rows) for key, rows in found.items()}
        parts = datasets.ReadInstruction.from_spec(split).to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"{name} has the splits {', '.join(found)}; {split!r} cannot be taken of them: "
            f"{_first_line(error)}."
        ) from error
    chosen = [
        found[part.splitname].select(
            range(part.from_ or 0, lengths[part.splitname] if part.to is None else part.to)
        )
        for part in parts
    ]
    return chosen[0] if len(chosen) == 1 else datasets.concatenate_datasets(chosen)


@contextmanager
def _without_retry_log() -> Iterator[None]:
    """Keep the Hub's client from logging every try; the last one's outcome is told anyway."""
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


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
