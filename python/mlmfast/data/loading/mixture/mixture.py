"""Block stores to draw from, each with its share: `Mixture`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.masker import MixtureMasker
from mlmfast.data.loading.mixture.order import MixtureOrder, source_seed
from mlmfast.data.loading.mixture.shares import normalize, shares_by_size, slots_of
from mlmfast.data.store.cut import CutStore
from mlmfast.data.store.joined import JoinedStore, check_joinable
from mlmfast.data.store.named import names_of
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlmfast.data.masking.options import MaskOptions

AUTO = "auto"
"""The weight of a store that has the share of its size."""


class Mixture:
    """Several block stores to train on, each with its share of the blocks.

    `mlmfast.BlockLoader`, `MaskedBlocks` and `mlmfast.train` take a mixture in the place of a
    store. Which block of which store comes when is a pure function of (seed, number): the same on
    any number of ranks and workers, and after a resume, which takes no time. Memory does not grow
    with the stores. Among 65,536 blocks in a row (from a multiple of that on), every store has its
    share to one block. A store goes through its blocks in epochs of its own: each block comes once
    before any comes again, then with other masks.

    An epoch of the mixture has as many blocks as all stores together. A store whose share is larger
    than its size repeats in it, another one is not read to its end.

    Args:
        stores: Block stores or their folders, or a dict of them by name; of a folder with splits,
            `train` is read. All must have the same tokenizer and block size. Without names, a store
            has that of its folder.
        probabilities: The share of each store, as in `datasets.interleave_datasets`; they are
            divided by their sum. None for shares by size.
        temperature: Flatten the shares by size: they are in proportion to the number of tokens
            without padding, to the power of 1 / temperature. 1 (the default) for the sizes
            themselves; higher ones give small stores more.

    Attributes:
        names: Name of each store.
        stores: The opened stores.
        probabilities: Share of each store; their sum is 1.
        tests: The `test` splits beside the stores, by name.

    Raises:
        NotFoundError: There is no such store.
        StoreError: A store is damaged.
        InputError: The stores cannot be mixed, or the shares are not positive numbers.
    """

    def __init__(
        self,
        stores: Sequence[BlockStore | str | Path] | Mapping[str, BlockStore | str | Path],
        probabilities: Sequence[float] | None = None,
        *,
        temperature: float | None = None,
    ) -> None:
        given = list(stores.values() if isinstance(stores, Mapping) else stores)
        if not given:
            raise InputError("A mixture needs a block store at least.")
        if probabilities is not None and temperature is not None:
            raise InputError(
                f"The temperature of a mixture ({temperature:g}) is for shares by size: leave out "
                "the probabilities (--data FOLDER auto), or the temperature."
            )
        splits = [
            {"train": one} if isinstance(one, BlockStore) else open_splits(one) for one in given
        ]
        self.stores = tuple(split["train"] for split in splits)
        self.names = tuple(stores) if isinstance(stores, Mapping) else names_of(given)
        _check_distinct(self.stores)
        check_joinable(self.stores)
        self.tests: dict[str, BlockStore] = {
            name: split["test"]
            for name, split in zip(self.names, splits, strict=True)
            if "test" in split
        }
        if probabilities is None:
            sizes = [one.manifest.tokens - one.manifest.padding_tokens for one in self.stores]
            self.probabilities = shares_by_size(sizes, 1.0 if temperature is None else temperature)
        else:
            self.probabilities = normalize(list(probabilities), self.names)
        self._slots = slots_of(self.probabilities, self.names)

    @classmethod
    def of_weights(
        cls, weighted: Iterable[tuple[str, str]], temperature: float | None = None
    ) -> Mixture:
        """Return the mixture of folders and weights as a command line has them.

        Args:
            weighted: Folders with their weights: numbers, or `auto` for all.
            temperature: Of the shares by size, for `auto`.

        Raises:
            InputError: A weight is neither, or only some are `auto`; or as of the class.
        """
        folders, weights = zip(*weighted, strict=True)
        if all(weight == AUTO for weight in weights):
            return cls(folders, temperature=temperature)
        if AUTO in weights:
            raise InputError(
                f"The weights of the mixture are {', '.join(map(str, weights))}: give {AUTO} for "
                "all stores, or a number for each."
            )
        return cls(
            folders,
            [_number(*pair) for pair in zip(folders, weights, strict=True)],
            temperature=temperature,
        )

    def cut(self, block_size: int) -> Mixture:
        """Return the mixture of the same stores with their blocks cut; see `CutStore`.

        Args:
            block_size: Tokens of a block, which divide those of the stores' blocks.

        Raises:
            InputError: The blocks of a store cannot be cut.
        """
        stores = [CutStore(store, block_size) for store in self.stores]
        found = Mixture(dict(zip(self.names, stores, strict=True)), self.probabilities)
        found.tests = {name: CutStore(store, block_size) for name, store in self.tests.items()}
        return found

    def __len__(self) -> int:
        """Number of blocks of an epoch: those of all stores together."""
        return sum(map(len, self.stores))

    def __repr__(self) -> str:
        paths = {name: str(one.path) for name, one in zip(self.names, self.stores, strict=True)}
        return f"mlmfast.Mixture({paths!r}, {list(self.probabilities)!r})"

    @cached_property
    def joined(self) -> JoinedStore:
        """The blocks of all stores, one store after the other."""
        return JoinedStore(self.stores)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number that each store has in its seeds."""
        return tuple(range(len(self.stores)))

    @property
    def fill_rate(self) -> float:
        """The share of the positions of the drawn blocks that is not padding."""
        pairs = zip(self.probabilities, self.stores, strict=True)
        return sum(share * one.manifest.fill_rate for share, one in pairs)

    def check_order(
        self,
        *,
        shuffle: bool = True,
        pack_documents: bool = False,
        group_by_length: bool = False,
        limit: int | None = None,
    ) -> None:
        """Raise InputError for an order or a choice of blocks that is not the mixture's own."""
        for name, given in {
            "shuffle=False (train_sampling_strategy=sequential)": not shuffle,
            "pack_documents": pack_documents,
            "group_by_length": group_by_length,
            "a limit of the blocks (max_train_samples)": limit is not None,
        }.items():
            if given:
                raise InputError(
                    f"{name} does not go with a mixture, whose blocks come in an order of its own: "
                    "leave it out, or train on one store."
                )

    def order(self, seed: int) -> MixtureOrder:
        """Return which blocks come when.

        Args:
            seed: Seed of the order, 0 to 2^64 - 1.
        """
        return MixtureOrder(tuple(map(len, self.stores)), self._slots, seed)

    def masker(self, *, seed: int, order_seed: int, options: MaskOptions) -> MixtureMasker:
        """Return what reads and masks the blocks of the mixture.

        Args:
            seed: Seed of the masks, 0 to 2^64 - 1.
            order_seed: Seed of the order, 0 to 2^64 - 1.
            options: How the masks are drawn; see `BlockMasker`.
        """
        for each in (seed, order_seed):
            if not 0 <= each < 1 << 64:
                raise InputError(f"seed must be between 0 and 2^64 - 1, got {each}")
        seeds = [source_seed(seed, number) for number in self.numbers]
        return MixtureMasker(self.joined, self.order(order_seed), seeds=seeds, options=options)


def _check_distinct(stores: Sequence[BlockStore]) -> None:
    """Raise InputError if a store comes twice."""
    folders = [store.path.resolve() for store in stores]
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise InputError(
                f"The block store {stores[number].path} comes twice in the mixture: give it once, "
                "with the sum of its shares."
            )


def _number(folder: str, weight: Any) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError):
        raise InputError(
            f"The weight of {folder} is {weight!r}; expected a number or {AUTO} "
            f"(--data {folder} 0.7)."
        ) from None
