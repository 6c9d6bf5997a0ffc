"""Several block stores of one tokenizer and block size, seen as one: `JoinedStore`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.store.shards import LocalShards
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.manifest import Manifest
    from mlmfast.data.tokenization.load import LoadedTokenizer

# The fields of manifests that must be the same: the length, and what the ids of a block mean.
_SAME = (
    "block_size",
    "tokenizer_sha256",
    "vocab_size",
    "special_ids",
    "mask_token_id",
    "pad_token_id",
)


class JoinedStore(BlockStore):
    """The blocks of several stores, one store after the other, without a copy.

    Its manifest adds up those of the stores. `path` names all their folders, for messages.

    Args:
        stores: The stores, one at least.

    Raises:
        InputError: They have other tokenizers or block sizes, or one is empty.
    """

    def __init__(self, stores: Sequence[BlockStore]) -> None:
        check_joinable(stores)
        self.stores = tuple(stores)
        folders = Path(" and ".join(str(store.path) for store in stores))
        arrays = [shard for store in stores for shard in store.shards]
        self._hold(LocalShards(folders, _add_up([store.manifest for store in stores]), arrays))
        self.first_blocks = np.cumsum([0, *map(len, stores)]).astype(np.uint64)
        """The number here of each store's first block, and that of all blocks, `[S + 1]`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return JoinedStore, (self.stores,)

    @property
    def location(self) -> str:
        """Where the stores are: their folders and URLs."""
        return " and ".join(store.location for store in self.stores)

    @property
    def tokenizer(self) -> LoadedTokenizer:
        """The tokenizer of all stores."""
        return self.stores[0].tokenizer

    @property
    def document_starts(self) -> Sequence[tuple[np.ndarray, np.ndarray]] | None:
        """Where documents begin in the blocks of each shard; None if a store does not know."""
        if not self.manifest.document_starts:
            return None
        return tuple(starts for store in self.stores for starts in store.document_starts or ())

    def _number_documents(
        self, block_ids: np.ndarray, out: np.ndarray, threads: int | None
    ) -> np.ndarray:
        sources = np.searchsorted(self.first_blocks, block_ids, side="right") - 1
        for source in np.unique(sources).tolist():
            rows = np.flatnonzero(sources == source)
            own = block_ids[rows] - self.first_blocks[source]
            out[rows] = self.stores[source].document_ids(own, threads=threads)
        return out

    def to_datasets(self) -> Any:
        """Open the stores as one `datasets.Dataset`."""
        try:
            from datasets import concatenate_datasets
        except ImportError as error:
            raise MissingDependencyError(
                "to_datasets() needs the package datasets: pip install 'mlmfast[train]'."
            ) from error
        return concatenate_datasets([store.to_datasets() for store in self.stores])

    def verify(self, *, progress: bool = False) -> None:
        """Read every file of the stores, as `BlockStore.verify` does."""
        for store in self.stores:
            store.verify(progress=progress)


def check_joinable(stores: Sequence[BlockStore], *, lengths: bool = True) -> None:
    """Raise InputError unless the ids of all stores mean the same.

    Args:
        stores: The stores, one at least.
        lengths: Whether their blocks must have one length, too.
    """
    for store in stores:
        if not len(store):
            raise InputError(f"The block store {store.path} is empty.")
    first = stores[0]
    for store in stores[1:]:
        for name in _SAME if lengths else _SAME[1:]:
            one, other = getattr(first.manifest, name), getattr(store.manifest, name)
            if one != other:
                raise InputError(
                    f"The block stores {first.path} and {store.path} cannot be mixed: their {name} "
                    f"is {one} and {other}. Prepare both with the same tokenizer"
                    f"{' and the same --block-size' if lengths else ''}."
                )


def _add_up(manifests: Sequence[Manifest]) -> Manifest:
    """Describe all blocks as one store; what differs between the stores is the weaker claim."""
    first = manifests[0]
    packings = {each.packing for each in manifests}
    known = all(each.text_bytes for each in manifests)
    return replace(
        first,
        blocks=sum(each.blocks for each in manifests),
        tokens=sum(each.tokens for each in manifests),
        padding_tokens=sum(each.padding_tokens for each in manifests),
        dropped_tokens=sum(each.dropped_tokens for each in manifests),
        documents=sum(each.documents for each in manifests),
        text_bytes=sum(each.text_bytes for each in manifests) if known else 0,
        source={"inputs": [name for each in manifests for name in each.source.get("inputs", [])]},
        shards=tuple(shard for each in manifests for shard in each.shards),
        packing=first.packing if len(packings) == 1 else "concat",
        document_starts=all(each.document_starts for each in manifests),
        checksum=None,
    )
