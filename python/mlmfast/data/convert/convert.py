"""`convert`: block stores to and from other formats."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.convert.from_lists import open_token_lists, write_store
from mlmfast.data.convert.megatron import write_megatron
from mlmfast.data.convert.parquet import write_parquet
from mlmfast.data.convert.raw import write_raw
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.store.folder import (
    holds_store_alone,
    is_store_folder,
    is_store_listing,
    upload_order,
)
from mlmfast.data.store.manifest import COLUMN
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.fs.paths import as_path, is_stray
from mlmfast.fs.remote.upload import uploaded
from mlmfast.fs.remote.urls import is_url
from mlmfast.options import check_choice

_WRITERS = {"parquet": write_parquet, "megatron": write_megatron, "raw": write_raw}
_OUTPUT_FILE = re.compile(
    r"(train|test)(-\d{5}-of-\d{5}\.parquet|(\.documents)?\.bin|\.idx|\.json)"
)


@dataclass
class ConvertReport:
    """The result of `convert`."""

    output: Path | str
    to: str
    blocks: dict[str, int] = field(default_factory=dict)
    """Number of blocks of each split."""
    files: list[str] = field(default_factory=list)
    """Paths of the files in `output`, relative to it."""
    bytes: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {**vars(self), "output": str(self.output), "seconds": round(self.seconds, 3)}


def convert(
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    to: str,
    tokenizer: Any = None,
    column: str = COLUMN,
    block_size: int | None = None,
    remainder: str = "drop",
    packing: str = "concat",
    special_tokens: str = "none",
    shard_tokens: int = 1 << 26,
    overwrite: bool = False,
    progress: bool = False,
) -> ConvertReport:
    """Convert a block store to another format, or token lists of another format to a store.

    Ids are never changed; a block store is verified first. A store with the splits train and test
    gives files for both; a single store becomes the split train.

    Args:
        source: A block store, or its URL; with `to="store"`, Parquet files, a folder of them, a
            folder of MDS shards (or of the folders train, val and test), or a folder of the
            `datasets` library.
        output: The folder to write; it appears only when it is complete. Or a URL: the files are
            written in the cache folder and then uploaded.
        to: "parquet" (train-00000-of-00001.parquet ..., one per shard, with where documents
            begin), "megatron" (train.bin and train.idx, an indexed data set of Megatron-LM and NeMo
            whose documents are the store's, or its blocks if it does not know them), "raw"
            (train.bin, little-endian ids that `numpy.memmap` opens, train.documents.bin, where
            documents begin, and train.json, which holds their types and shapes), or "store".
        tokenizer: The tokenizer that made the ids; required for a store, which holds its files.
        column: The column with the lists of ids; this and the options below are for a store only.
        block_size: Tokens per block; None uses the rows' length if their type fixes it, else 128.
        remainder: "drop" or "pad" the tokens after the last whole block.
        packing: "concat" or "best_fit"; each row is a document, unless a column document_starts
            divides it into documents. Rows of one fixed length without that column are blocks: the
            store does not know where documents begin in them.
        special_tokens: "none", or "block" to begin and end every block with the tokenizer's own.
        shard_tokens: Approximate number of tokens per file of the store; bounds the memory used.
        overwrite: Replace the output of an earlier conversion.
        progress: Show a progress bar on standard error.

    Returns:
        The report.

    Raises:
        InputError: An option or the input cannot be used.
        StoreError: The source is not a block store, or it is damaged.
        NotFoundError: The source or the tokenizer does not exist.
        OutputExistsError: `output` exists already.
    """
    if is_url(output):
        with uploaded(
            str(output),
            overwrite=overwrite,
            is_ours=is_store_listing if to == "store" else _are_ours,
            last=upload_order,
        ) as folder:
            report = convert(
                source,
                folder,
                to=to,
                tokenizer=tokenizer,
                column=column,
                block_size=block_size,
                remainder=remainder,
                packing=packing,
                special_tokens=special_tokens,
                shard_tokens=shard_tokens,
                progress=progress,
            )
        report.output = str(output)
        return report
    output = Path(output)
    start = time.perf_counter()
    sources = [source] if isinstance(source, str | Path) else list(source)
    report = ConvertReport(output, to)
    check_choice("to", to, (*_WRITERS, "store"))
    if to == "store":
        if tokenizer is None:
            raise InputError("A store holds its tokenizer: name the one that made the ids.")
        if special_tokens not in ("none", "block"):
            raise InputError(f"special_tokens must be none or block; got {special_tokens!r}.")
        options = PrepareOptions(
            tokenizer=tokenizer,
            block_size=1 if block_size is None else block_size,
            remainder=remainder,
            packing=packing,
            special_tokens=special_tokens,
            shard_tokens=shard_tokens,
        )
        with atomic_output_dir(output, overwrite=overwrite, is_ours=holds_store_alone) as folder:
            if len(sources) == 1 and is_store_folder(as_path(sources[0], home=True)):
                _verified(sources[0], progress=progress)
            splits = open_token_lists(sources, column)
            rows = sum(lists.rows for lists in splits.values())
            with _bar(rows, "row", enabled=progress) as advance:
                write_store(
                    splits,
                    folder,
                    load_tokenizer(tokenizer),
                    options,
                    block_size=block_size,
                    advance=advance,
                )
        paths = [output / name for name in splits] if len(splits) > 1 else [output]
        stores = {name: open_splits(path) for name, path in zip(splits, paths, strict=True)}
        report.blocks = {name: len(store["train"]) for name, store in stores.items()}
    else:
        if len(sources) != 1:
            raise InputError(f"one block store is converted at a time; got {len(sources)} inputs.")
        with atomic_output_dir(output, overwrite=overwrite, is_ours=_is_ours) as folder:
            opened = _verified(sources[0], progress=progress)
            report.blocks = {name: len(store) for name, store in opened.items()}
            with _bar(sum(report.blocks.values()), "block", enabled=progress) as advance:
                for name, store in opened.items():
                    _WRITERS[to](store, folder, name, advance)
    files = [path for path in sorted(output.rglob("*")) if path.is_file()]
    report.files = [str(path.relative_to(output)) for path in files]
    report.bytes = sum(path.stat().st_size for path in files)
    report.seconds = time.perf_counter() - start
    return report


def _verified(path: str | Path, *, progress: bool) -> dict[str, BlockStore]:
    """Open a store and verify its checksums, so that damage is not converted too."""
    stores = open_splits(path)
    for store in stores.values():
        store.verify(progress=progress)
    return stores


def _are_ours(paths: Sequence[str]) -> bool:
    return all(_OUTPUT_FILE.fullmatch(path) for path in paths)


def _is_ours(folder: Path) -> bool:
    return all(
        is_stray(entry) or (_OUTPUT_FILE.fullmatch(entry.name) and entry.is_file())
        for entry in folder.iterdir()
    )


@contextmanager
def _bar(total: int, unit: str, *, enabled: bool) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    # None: no bar if standard error is not a terminal.
    disable = None if enabled else True
    with tqdm(total=total, unit=unit, unit_scale=True, desc="convert", disable=disable) as bar:
        yield bar.update
