"""Blocks that a training prepares from text, in the cache for the next run on the same text."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.checkpoint import run_fingerprint
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.open import open_sources
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import StoreError
from mlmfast.fs import cache as fs_cache

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.report import PrepareReport
    from mlmfast.data.store.store import BlockStore

logger = logging.getLogger(__name__)


def prepare_cached(
    inputs: Any,
    options: PrepareOptions,
    *,
    cache_dir: str | None = None,
    overwrite_cache: bool = False,
) -> dict[str, BlockStore]:
    """Prepare text in the cache folder, or open the blocks of an earlier run on the same text.

    Text that can be read only once (a stream, a table) is prepared each time; its blocks are
    stored under a checksum of their own, so that no other text ever replaces them.

    Args:
        inputs: as `mlmfast.prepare` takes them.
        options: the options of `prepare`; the tokenizer may be a loaded one.
        cache_dir: the cache folder; None for `~/.cache`.
        overwrite_cache: prepare the text even if its blocks are in the cache.

    Returns:
        The stores by split, `train` alone unless there is a `test_size`.

    Raises:
        InputError: a text or an option that cannot be used.
        NotFoundError: a file does not exist.
    """
    tokenizer = load_tokenizer(options.tokenizer)
    options = replace(options, tokenizer=tokenizer)
    cache = fs_cache.cache_dir("blocks", cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    stream = hasattr(inputs, "__arrow_c_stream__")
    sources = [] if stream else open_sources(inputs, format=options.format)
    fingerprint = None if stream else run_fingerprint(sources, tokenizer, options)
    if fingerprint is None:
        return _prepare_by_content(inputs, cache, options)
    folder = cache / _key(fingerprint)
    if not overwrite_cache and folder.is_dir() and (cached := _open_cached(folder)) is not None:
        logger.info("the text was prepared before: blocks of %s", folder)
        return cached
    report = _prepare(inputs, folder, replace(options, overwrite=True))
    logger.info("prepared %s documents: blocks of %s", f"{report.documents:,}", folder)
    return report.stores


def _prepare_by_content(inputs: Any, cache: Path, options: PrepareOptions) -> dict[str, BlockStore]:
    """Prepare text that can be read only once, and name its folder by the checksum of its blocks.

    Two such texts never share a folder, and the same text gives the same folder again.
    """
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=cache) as temporary:
        made = Path(temporary) / "blocks"
        report = _prepare(inputs, made, options)
        folder = cache / _key(
            {name: store.manifest.checksum for name, store in report.stores.items()}
        )
        report.stores.clear()  # files that are open cannot be moved on Windows
        logger.info("prepared %s documents: blocks of %s", f"{report.documents:,}", folder)
        if folder.is_dir():
            cached = _open_cached(folder)
            if cached is not None:
                return cached
            shutil.rmtree(folder, ignore_errors=True)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster, with the same blocks
                raise
        return open_splits(folder)


def _prepare(inputs: Any, folder: Path, options: PrepareOptions) -> PrepareReport:
    report = run_prepare(inputs, folder, options)
    for warning in report.warnings:
        logger.warning("%s", warning)
    return report


def _open_cached(folder: Path) -> dict[str, BlockStore] | None:
    """Open blocks in the cache; None if they are damaged."""
    try:
        return open_splits(folder)
    except StoreError as error:
        logger.warning("the blocks in the cache cannot be used and are prepared again: %s", error)
        return None


def _key(content: Any) -> str:
    return fs_cache.digest([json.dumps(content, sort_keys=True).encode()])
