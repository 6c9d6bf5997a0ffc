"""Texts with labels, from the columns of tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.arrow_text import UnknownColumnError
from mlmfast.data.sources.archives import ArchiveSource
from mlmfast.data.sources.dataset_rows import DatasetSource, StreamedSource
from mlmfast.data.sources.document_files import DocumentFiles
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.formats import WITHOUT_COLUMNS
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions, Source


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and the label of each, `[N]` both."""

    name: str
    """What messages call them: the file, or the first of several."""
    texts: list[str]
    labels: list[str]


def read_labelled(
    inputs: Any,
    label_column: str,
    options: ReadOptions,
    *,
    format: str | None = None,  # noqa: A002 - the name that users type
    split: str | None = None,
) -> LabelledTexts:
    """Read two columns of tables: the texts and their labels.

    Labels may be text, numbers, true and false, or a `ClassLabel` of `datasets`; blanks around them
    are no part of them.

    Args:
        inputs: What `open_sources` takes, except lines of text and standard input.
        label_column: The column with the labels; dots select nested fields.
        options: How to read; `text_column` is the column with the texts.
        format: As in `open_sources`.
        split: As in `open_sources`.

    Raises:
        NotFoundError: A file does not exist.
        InputError: A column does not exist, or a row has no text or no label.
    """
    sources = open_sources(_readable_twice(inputs), format=format, split=split)
    texts: list[str] = []
    labels: list[str] = []
    for source in sources:
        _check_table(source)
        texts += _without_gaps(_column(source, options), "text", options.text_column, source)
        labels += _without_gaps(
            _labels(source, label_column, options), "label", label_column, source
        )
    name = str(sources[0].name)
    if len(sources) > 1:
        name += f" and {len(sources) - 1:,} more"
    if not texts:
        raise InputError(f"{name} has no rows.")
    return LabelledTexts(name, texts, labels)


def _readable_twice(inputs: Any) -> Any:
    """Collect Arrow streams, which could be read once only."""
    if isinstance(inputs, list | tuple):
        return [_readable_twice(entry) for entry in inputs]
    is_dataset = hasattr(inputs, "select_columns")
    return pa.table(inputs) if hasattr(inputs, "__arrow_c_stream__") and not is_dataset else inputs


def _check_table(source: Source) -> None:
    if isinstance(source, FileSource) and not source.regular:
        raise InputError(
            f"Labelled texts are read column by column, so {source.name!r} must be a file that can "
            "be read again: write it to one first."
        )
    if isinstance(source, FileSource | ArchiveSource | DocumentFiles):
        kinds = set(WITHOUT_COLUMNS).intersection(
            [source.kind]
            if isinstance(source, DocumentFiles)
            else (kind for _, kind in source.streams())
        )
        if kinds:
            raise InputError(
                f"{source.name} has no columns ({', '.join(sorted(kinds))}), so no labels either: "
                "name a CSV, TSV, JSON lines, Parquet or Arrow file with a column for each."
            )


def _column(source: Source, options: ReadOptions) -> list[str | None]:
    return [text for array in read_texts([source], options) for text in array.to_pylist()]


def _labels(source: Source, column: str, options: ReadOptions) -> list[str | None]:
    reading = replace(options, text_column=column, numbers_as_text=True)
    try:
        labels = _column(source, reading)
    except UnknownColumnError as error:
        way_out = "Choose one with --label-column (label_column=...)."
        raise InputError(f"{error.fact} {way_out}") from error
    names = None
    if isinstance(source, DatasetSource | StreamedSource):
        names = source.class_names(column)
    if names is None:
        return [None if label is None else label.strip() for label in labels]
    # `datasets` marks rows without a label by -1.
    known = dict(enumerate(names))
    return [None if label is None else known.get(int(label)) for label in labels]


def _without_gaps(values: list[str | None], what: str, column: str, source: Source) -> list[str]:
    """Return the values if none is missing or empty."""
    gaps = [row for row, value in enumerate(values, start=1) if not value]
    if gaps:
        shown = ", ".join(f"{row:,}" for row in gaps[:5]) + (" ..." if len(gaps) > 5 else "")
        rows = f"row {shown} has" if len(gaps) == 1 else f"{len(gaps):,} rows ({shown}) have"
        raise InputError(
            f"{source.name}: {rows} no {what} in the column {column!r} (rows are counted from 1, "
            f"without the header). Leave such rows out, or give them a {what}."
        )
    return [value for value in values if value is not None]
