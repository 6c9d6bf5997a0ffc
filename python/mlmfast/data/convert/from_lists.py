"""Reading token lists of other tools in batches: Parquet, MDS, and folders of `datasets`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.convert.from_mds import mds_lists
from mlmfast.data.convert.token_lists import TokenLists
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.report import counted
from mlmfast.data.prepare.split_writer import SplitWriter
from mlmfast.data.sources.mds.shards import is_mds_folder, mds_splits
from mlmfast.data.store.manifest import COLUMN, STARTS
from mlmfast.data.tokenization.load import LoadedTokenizer, id_dtype
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


_BATCH_ROWS = 10_000
# File names of a split, as `convert --to parquet` writes them and the Hub expects them.
_SPLIT_FILE = re.compile(r"(train|test|validation)-\d{5}-of-\d{5}\.parquet")


def open_token_lists(sources: Iterable[str | Path], column: str) -> dict[str, TokenLists]:
    """Find the splits of Parquet files, of a folder of them or of MDS, or of a `datasets` folder.

    Returns:
        {"train": lists}, {"test": lists} or both.

    Raises:
        NotFoundError: A file or folder does not exist.
        InputError: There are no lists of token ids.
        MissingDependencyError: The source is a `datasets` folder, and the package is not installed.
    """
    paths = [as_path(source, home=True) for source in sources]
    if not paths:
        raise InputError("There is no input: name Parquet files, or a folder of MDS or `datasets`.")
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"There is no file or folder {str(path)!r}.")
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        if any((folder / name).exists() for name in ("state.json", "dataset_dict.json")):
            return _datasets_splits(folder, column)
        if shards := _mds_folders(folder):
            splits = _train_and_test(shards, folder)
            return {split: mds_lists(path, column) for split, path in splits.items()}
        paths = sorted(folder.glob("*.parquet"))
        if not paths:
            raise InputError(
                f"{str(folder)!r} is no folder of `datasets` or of MDS shards, and no Parquet file "
                "is in it."
            )
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        match = _SPLIT_FILE.fullmatch(path.name)
        by_split.setdefault(match[1] if match else "train", []).append(path)
    return {
        split: _parquet(files, column)
        for split, files in _train_and_test(by_split, paths[0]).items()
    }


def _mds_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of MDS shards by split; a single one is "train"."""
    if is_mds_folder(folder):
        return {"train": folder}
    return {"validation" if name == "val" else name: folder / name for name in mds_splits(folder)}


def _train_and_test(splits: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return the splits as train and test; a split called validation becomes test."""
    if "validation" in splits and "test" not in splits:
        splits = {"test" if name == "validation" else name: split for name, split in splits.items()}
    if set(splits) - {"train", "test"}:
        raise InputError(
            f"{str(source)!r} has the splits {', '.join(splits)}; a block store has train and test "
            "alone. Convert the others by themselves."
        )
    return {name: splits[name] for name in ("train", "test") if name in splits}


def _parquet(paths: list[Path], column: str) -> TokenLists:
    import pyarrow.parquet as pq

    kinds, rows, starts = [], 0, True
    for path in paths:
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{str(path)!r} is no whole Parquet file: {error}") from error
        kinds.append(_kind(file.schema_arrow, column, str(path)))
        starts &= _has_starts(file.schema_arrow, column)
        rows += file.metadata.num_rows
        if kinds[-1] != kinds[0]:
            raise InputError(
                f"{str(path)!r} holds {kinds[-1]}, but {str(paths[0])!r} holds {kinds[0]}."
            )

    columns = [column, STARTS] if starts else [column]

    def read() -> Iterator[pa.RecordBatch]:
        for path in paths:
            try:
                batches = pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=columns)
                yield from (batch.select(columns) for batch in batches)
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{str(path)!r} is no whole Parquet file: {error}") from error

    return TokenLists(str(paths[0]), kinds[0], rows, read, starts)


def _datasets_splits(folder: Path, column: str) -> dict[str, TokenLists]:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            f"{str(folder)!r} is a folder of the package datasets, which is needed to read it: "
            "pip install 'mlmfast[train]'."
        ) from error
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{str(folder)!r} cannot be opened by datasets: {error}") from error
    splits = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    return {
        split: _dataset(data, column, f"{folder} ({split})")
        for split, data in _train_and_test(dict(splits), folder).items()
    }


def _dataset(data: Any, column: str, name: str) -> TokenLists:
    schema = data.features.arrow_schema
    kind, starts = _kind(schema, column, name), _has_starts(schema, column)
    columns = [column, STARTS] if starts else [column]

    def read() -> Iterator[pa.RecordBatch]:
        for table in data.select_columns(columns).with_format("arrow").iter(_BATCH_ROWS):
            yield from table.select(columns).to_batches()

    return TokenLists(name, kind, len(data), read, starts)


def _has_starts(schema: pa.Schema, column: str) -> bool:
    """Whether the data says where documents begin in the rows of `column`, as a store does."""
    return column == COLUMN and STARTS in schema.names


def _kind(schema: pa.Schema, column: str, name: str) -> pa.DataType:
    if column not in schema.names:
        known = ", ".join(map(repr, schema.names))
        raise InputError(f"{name!r} has no column {column!r}, but {known}: use --column.")
    kind = schema.field(column).type
    if not _is_list_of_integers(kind):
        raise InputError(
            f"Column {column!r} of {name!r} holds {kind}, not lists of token ids. Text becomes a "
            "store with `mlmfast prepare`."
        )
    return kind


def _is_list_of_integers(kind: pa.DataType) -> bool:
    is_list = getattr(kind, "value_type", None) is not None and not pa.types.is_dictionary(kind)
    return is_list and pa.types.is_integer(kind.value_type)


_DEFAULT_BLOCK_SIZE = 128


def write_store(
    splits: dict[str, TokenLists],
    folder: Path,
    tokenizer: LoadedTokenizer,
    options: PrepareOptions,
    *,
    block_size: int | None,
    advance: Callable[[int], object],
) -> None:
    """Write the splits into `folder` as stores, with unchanged ids.

    Args:
        splits: The result of `open_token_lists`.
        folder: An existing, empty folder.
        tokenizer: The tokenizer that made the ids.
        options: How to group; its block size is ignored.
        block_size: Tokens per block; None uses the rows' length if their type fixes it, else 128.
        advance: Called with the number of rows after each batch.

    Raises:
        InputError: A row is null, an id is outside the vocabulary, or there is less than one block.
    """
    for name, lists in splits.items():
        size = block_size or lists.width or _DEFAULT_BLOCK_SIZE
        writer = SplitWriter(
            name,
            folder if len(splits) == 1 else folder / name,
            tokenizer,
            replace(options, block_size=size),
            document_starts=lists.knows_documents,
        )
        first = 0
        for batch in lists.read():
            ids = _checked(batch.column(0), first, lists.name, tokenizer)
            if lists.starts:
                ids = _divided(ids, batch.column(1), first, lists.name)
            writer.add_tokens(ids, documents=len(batch))
            first += len(batch)
            advance(len(batch))
        tokens = writer.writer.tokens
        writer.close({"inputs": [lists.name]})
        if not writer.writer.blocks:
            raise InputError(
                f"{counted(first, 'row')} of {lists.name!r} hold {counted(tokens, 'token')}, which "
                f"is less than one block of {size}. Use a smaller --block-size or --remainder pad."
            )
    if len(splits) > 1:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))


def _divided(rows: pa.LargeListArray, starts: pa.Array, first: int, name: str) -> pa.LargeListArray:
    """Divide rows, the first of which is row `first`, into the documents that begin in them."""
    offsets = numpy_numbers(rows.offsets)
    kind = pa.large_list(pa.int64())
    if starts.null_count or not _is_list_of_integers(starts.type):
        raise InputError(f"{name}: its column {STARTS!r} holds no lists of positions.")
    lists = starts.cast(kind)
    positions, ends = numpy_numbers(lists.flatten()), numpy_numbers(lists.offsets)
    counts, lengths = np.diff(ends), np.diff(offsets)
    of_row = np.repeat(np.arange(len(rows)), counts)
    begins = np.ones(len(positions), bool)  # whether a row's first start
    begins[1:] = of_row[1:] != of_row[:-1]
    ascend = np.where(begins, positions == 0, positions > np.roll(positions, 1))
    good = ascend & (positions < lengths[of_row])
    bad = of_row[~good] if not good.all() else np.flatnonzero((counts == 0) & (lengths > 0))
    if len(bad):
        raise InputError(
            f"{name}, row {first + int(bad[0]):,}: its {STARTS!r} are not ascending positions of "
            "the row that begin with 0."
        )
    documents = np.append(offsets[of_row] + positions, offsets[-1])
    return pa.LargeListArray.from_arrays(arrow_numbers(documents), rows.values)


def _checked(
    batch: pa.Array, first: int, name: str, tokenizer: LoadedTokenizer
) -> pa.LargeListArray:
    """Check a batch that begins with row `first`; return it as LargeList of the store's id type."""
    if batch.null_count:
        row = batch.is_null().index(True).as_py()
        raise InputError(f"{name}, row {first + row:,} is null.")
    lists = batch.cast(pa.large_list(batch.type.value_type))
    offsets = lists.offsets.to_numpy()
    offsets = offsets - offsets[0]
    values = lists.flatten()
    if values.null_count:
        at = values.is_null().index(True).as_py()
    else:
        ids = values.to_numpy(zero_copy_only=False)
        invalid = ids >= tokenizer.id_bound
        if ids.dtype.kind == "i":
            invalid |= ids < 0
        if not invalid.any():
            kind = id_dtype(tokenizer.id_bound)
            return pa.LargeListArray.from_arrays(offsets, pa.array(ids.astype(kind)))
        at = int(np.argmax(invalid))
    row = int(np.searchsorted(offsets, at, side="right")) - 1
    raise InputError(
        f"{name}, row {first + row:,}, position {at - offsets[row]:,}: {values[at].as_py()} is no "
        f"id of the tokenizer {tokenizer.name!r}, whose ids are below {tokenizer.id_bound:,}."
    )
