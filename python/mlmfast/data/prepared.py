"""Blocks that are made of text on the way to something else, and kept for the next time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare_run import run_prepare
from mlmfast.data.prepare_state import fingerprint
from mlmfast.data.sources import open_sources
from mlmfast.data.store import open_splits
from mlmfast.data.tokenizer_files import load_tokenizer
from mlmfast.errors import StoreError

if TYPE_CHECKING:
    from mlmfast.data.prepare_options import PrepareOptions
    from mlmfast.data.store import BlockStore

logger = logging.getLogger(__name__)


def prepared(
    inputs: Any, options: PrepareOptions, *, cache_dir: str | None = None, anew: bool = False
) -> dict[str, BlockStore]:
    """Prepare text in the cache folder, or take the blocks that the same text gave before.

    Text that cannot be recognised again (a stream, a table) is prepared each time.

    Args:
        inputs: as `mlmfast.prepare` takes them.
        options: how; the tokenizer may be a loaded one.
        cache_dir: the cache folder; None for `~/.cache`.
        anew: prepare in any case.

    Returns:
        The stores by split, `train` alone unless there is a `test_size`.

    Raises:
        InputError: a text or an option that cannot be used.
        NotFoundError: a file is not there.
    """
    tokenizer = load_tokenizer(options.tokenizer)
    options = replace(options, tokenizer=tokenizer)
    stream = hasattr(inputs, "__arrow_c_stream__")
    sources = [] if stream else open_sources(inputs, format=options.format)
    found = None if stream else fingerprint(sources, tokenizer, options)
    words = found or [options.block_size, options.packing, tokenizer.sha256, os.getpid()]
    key = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:32]
    home = cache_dir or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "mlmfast" / "blocks" / key
    if found is not None and not anew and folder.is_dir():
        try:
            kept = open_splits(folder)
        except StoreError as error:
            logger.warning("the blocks in the cache cannot be used and are made anew: %s", error)
        else:
            logger.info("the text was prepared before: blocks of %s", folder)
            return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    report = run_prepare(inputs, folder, replace(options, overwrite=True))
    for warning in report.warnings:
        logger.warning("%s", warning)
    logger.info("prepared %s documents: blocks of %s", f"{report.documents:,}", folder)
    return report.stores
