"""Downloading the shards of a store while its blocks are used: `download_shards`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlmfast.errors import MlmfastError
from mlmfast.fs.remote.urls import shown

if TYPE_CHECKING:
    from threading import Event

    import numpy as np

    from mlmfast.data.store.remote.cached_files import CachedFiles

logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.5


def download_shards(files: CachedFiles, whole: list[np.ndarray | None], stopped: Event) -> None:
    """Download the shards that the cache has room for, and put each into `whole` when it is there.

    Shards that another process downloads are left to it. An error ends the downloads, since blocks
    are then still read one by one.

    Args:
        files: The files of the store.
        whole: The shards `[n, L]` that are in the cache; None for the others.
        stopped: Ends the downloads.
    """
    absent = [number for number, shard in enumerate(whole) if shard is None]
    try:
        while absent and not stopped.is_set():
            remaining = []
            for number in absent:
                shard = files.manifest.shards[number]
                fetched = files.fetch(shard, wait=False, stopped=stopped.is_set)
                if fetched:
                    whole[number] = files.map_whole(shard).ids
                elif fetched is None:
                    logger.info(
                        "the cache has no room for more of %s: the blocks of %d of its %d files "
                        "are read one by one",
                        shown(files.url),
                        sum(each is None for each in whole),
                        len(whole),
                    )
                    return
                else:
                    remaining.append(number)
            absent = remaining
            if absent:
                stopped.wait(_POLL_SECONDS)
    except InterruptedError:
        return
    except (MlmfastError, OSError) as error:
        logger.warning("the download of a block store ended: %s", error)
