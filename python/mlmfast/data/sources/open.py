"""Opening the user's inputs as sources: files, patterns, data sets, columns, standard input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.sources.archives import ArchiveSource, is_archive
from mlmfast.data.sources.base import ReadOptions, Source, bounded
from mlmfast.data.sources.byte_streams.streams import STDIN
from mlmfast.data.sources.dataset_rows import (
    DatasetSource,
    StreamedSource,
    is_dataset_column,
)
from mlmfast.data.sources.document_files import DocumentFiles, open_documents
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.formats import ARCHIVED, FORMATS, is_archive_name, known_format
from mlmfast.data.sources.hub import (
    is_dataset_folder,
    load_hub_dataset,
    open_dataset,
    open_dataset_folder,
)
from mlmfast.data.sources.mds.shards import is_mds_folder, mds_splits
from mlmfast.data.sources.mds.source import MdsSource
from mlmfast.data.sources.patterns import is_pattern, matches
from mlmfast.data.sources.readers.columnar import TableSource
from mlmfast.data.sources.remote import open_url
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path
from mlmfast.fs.remote.urls import is_url
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence


def open_sources(
    inputs: Any,
    *,
    format: str | None = None,  # noqa: A002 - the name that users type
    split: str | None = None,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
) -> list[Source]:
    """Open all inputs; every file is checked before anything is read.

    Args:
        inputs: A path, a pattern such as "data/*.txt", a URL or a pattern of one, "-" for standard
            input, an Arrow column or table, a `datasets.Dataset` or `IterableDataset` or a column
            of one, or a list of these; None with `dataset_name`.
        format: One of FORMATS; None detects the format by the file names.
        split: The split of a data set, or a slice of it ("train[:5000]").
        dataset_name: A data set on the Hugging Face Hub, a clone of its repository, or a folder
            written by `save_to_disk`.
        dataset_config: The configuration of a data set on the Hub.

    Raises:
        NotFoundError: A file or a data set does not exist.
        InputError: The format is unknown, or an input cannot be read.
    """
    check_choice("format", format, FORMATS, optional=True)
    sources: list[Source] = []
    for entry in _as_list(inputs):
        if is_url(entry):
            sources += open_url(entry, format)
        elif isinstance(entry, str | Path):
            sources += [_open_path(name, format, split) for name in _expand(str(entry))]
        else:
            sources.append(_open_object(entry, split))
    sources = _with_documents_joined(sources)
    if dataset_name is not None:
        sources.append(_open_dataset_name(dataset_name, dataset_config, split))
    elif dataset_config is not None:
        raise InputError("dataset_config goes with dataset_name, which is not given.")
    if not sources:
        raise InputError("There is no input: name files, or a data set with --dataset-name.")
    if split is not None and not any(
        isinstance(source, DatasetSource | StreamedSource) for source in sources
    ):
        raise InputError(
            f"split={split!r} chooses a part of a data set, but the inputs are files; "
            "use --limit for the first documents."
        )
    return sources


def rereadable_files(source: Source) -> bool:
    """Whether a source consists of regular files, in the order in which they are read."""
    if isinstance(source, FileSource):
        return source.regular
    return isinstance(source, DocumentFiles | MdsSource)


def read_texts(sources: Sequence[Source], options: ReadOptions) -> Iterator[pa.Array]:
    """Yield the documents of all sources, in order, as LargeString arrays of bounded size."""
    for source in sources:
        for piece in source.pieces(options):
            yield from bounded(piece.decode(options), options.batch_bytes)


def _as_list(inputs: Any) -> list[Any]:
    if inputs is None:
        return []
    return list(inputs) if isinstance(inputs, list | tuple) else [inputs]


def _expand(name: str) -> list[str]:
    """Expand a pattern that the shell did not expand."""
    if name == STDIN or not is_pattern(name):
        return [name]
    # "data/**" also matches the folders themselves.
    paths = [path for path in matches(name) if not path.is_dir() or is_dataset_folder(path)]
    if not paths:
        raise NotFoundError(f"No file matches {name!r}.")
    return [str(path) for path in paths]


def _open_path(name: str, kind: str | None, split: str | None) -> Source:
    if name == STDIN:
        if kind is None:
            raise InputError(
                "Standard input has no name to tell its format: use --format, "
                f"one of {', '.join(FORMATS)}."
            )
        return FileSource(name, kind)
    path = as_path(name, home=True)
    if path.is_dir():
        return _open_folder(path, kind, split)
    if not path.exists():
        raise NotFoundError(
            f"There is no file {name!r}. (A data set of the Hugging Face Hub is named with "
            "--dataset-name.)"
        )
    return open_file(path, kind)


def open_file(path: Path, kind: str | None) -> FileSource | ArchiveSource:
    """Open a file that exists, or an archive of files.

    Args:
        path: The file, which may be a pipe.
        kind: Its format, one of FORMATS; None goes by its name.

    Raises:
        InputError: Its name tells no format.
    """
    # The first bytes of plain documents, of which there may be very many, are not looked at.
    may_be = kind not in ARCHIVED and (kind != "document" or is_archive_name(path))
    if may_be and path.is_file() and is_archive(path):
        return ArchiveSource(str(path), kind)
    return FileSource(str(path), kind or known_format(path, str(path)))


def _open_folder(path: Path, kind: str | None, split: str | None) -> Source:
    _check_no_store(path)
    if is_dataset_folder(path):
        return open_dataset_folder(path, split)
    if kind == "document":
        return open_documents(path)
    if is_mds_folder(path):
        return MdsSource(str(path))
    if splits := mds_splits(path):
        raise InputError(
            f"{str(path)!r} holds MDS shards in {', '.join(splits)}: name one of these folders, "
            f"such as {str(path / splits[0])!r}."
        )
    raise InputError(
        f"{str(path)!r} is a folder, and neither one of `datasets` nor of MDS shards. Name the "
        f"files in it, such as '{path}/*.txt', or take each of its files as a document with "
        "--format document; a repository of the Hugging Face Hub is named with --dataset-name."
    )


def _with_documents_joined(sources: list[Source]) -> list[Source]:
    """Join files in a row that are a document each, since they may be very many."""
    joined: list[Source] = []
    for files, group in groupby(sources, _is_document_file):
        listed = list(group)
        if files and len(listed) > 1:
            name = f"{listed[0].name} and {len(listed) - 1:,} more"
            listed = [DocumentFiles(name, [source.name for source in listed])]
        joined += listed
    return joined


def _is_document_file(source: Source) -> bool:
    if not isinstance(source, FileSource) or source.remote is not None:
        return False
    return source.kind == "document" and source.regular


def _open_dataset_name(name: str, config: str | None, split: str | None) -> Source:
    """Open a name that `datasets.load_dataset` or `load_from_disk` accepts."""
    folder = as_path(name, home=True)
    if not folder.is_dir():
        return load_hub_dataset(name, config, split)
    _check_no_store(folder)
    if not is_dataset_folder(folder):
        return load_hub_dataset(str(folder), config, split)
    if config is not None:
        raise InputError(
            f"dataset_config={config!r}: {str(folder)!r} was written by `save_to_disk`, and has no "
            "configurations."
        )
    return open_dataset_folder(folder, split)


def _check_no_store(path: Path) -> None:
    from mlmfast.data.store.folder import is_store_folder

    if is_store_folder(path):
        raise InputError(f"{str(path)!r} is a block store already; prepare reads text.")


def _open_object(entry: Any, split: str | None) -> Source:
    if hasattr(entry, "select_columns") or is_dataset_column(entry):
        return open_dataset(entry, split)
    if hasattr(entry, "__arrow_c_stream__") or hasattr(entry, "__arrow_c_array__"):
        return TableSource(entry)
    raise InputError(
        "inputs must be paths, Arrow columns or tables, or data sets of `datasets` and their "
        f"columns; got {type(entry).__name__}."
    )
