"""Blocks of a store, gathered and masked in one pass of the core: `BlockMasker`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.masking.options import MaskOptions, build_masker
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast import _core
    from mlmfast.data.store.store import BlockStore

Buffers = dict[str, np.ndarray]
DOCUMENT_IDS = "document_ids"
"""The array of a batch that numbers the documents of each block."""
# Whole words are masked only after the words of a sample of so many blocks were measured.
_SAMPLE = 64


class BlockMasker:
    """Reads blocks of a store by their ids and masks them in the same pass.

    The masks are those of `mask_tokens` for the same rows and `block_ids`.

    Args:
        store: The blocks, `[N, L]`.
        seed: Seed of the masks, 0 to 2^64 - 1.
        options: How the masks are drawn. For whole words without `word_starts`, the store's own
            tokenizer and `word_boundaries` decide where words begin.

    Raises:
        InputError: An option is unknown, out of its range, or does not fit another.
    """

    def __init__(self, store: BlockStore, *, seed: int, options: MaskOptions) -> None:
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed must be between 0 and 2^64 - 1, got {seed}")
        self.store = store
        self.seed = seed
        self.options = _with_word_starts(store, options)
        manifest = store.manifest
        self.pad_id = manifest.pad_token_id if manifest.padding_tokens else None
        self._masker = build_masker(
            mask_token_id=manifest.mask_token_id,
            vocab_size=manifest.vocab_size,
            special_ids=manifest.special_ids,
            options=self.options,
        )
        self._shards: list[np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "seed": self.seed, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the dense outputs; `attention_mask` only where the store has padding."""
        names = ("input_ids", "labels")
        return names if self.pad_id is None else (*names, "attention_mask")

    @property
    def columns_with_documents(self) -> tuple[str, ...]:
        """Names of the dense outputs and `document_ids`.

        Raises:
            InputError: The store does not know where documents begin.
        """
        self.store.check_document_starts()
        return (*self.columns, DOCUMENT_IDS)

    def fill(
        self,
        block_ids: np.ndarray,
        buffers: Buffers,
        *,
        epoch: int,
        rate: float | None = None,
        threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask the blocks `block_ids` `[B]` into buffers `[B, L]`, all int64 or all int32.

        A buffer `document_ids`, always int32, gets the numbers of the documents.

        Args:
            block_ids: uint64 `[B]`.
            buffers: One array for each of `columns`, by name; `labels` may be missing.
            epoch: The epoch whose masks are drawn.
            rate: The mask rate; None for that of the options.
            threads: Threads at most; None for as many as are worth it.

        Returns:
            The chosen positions, int64 `[M]`, flat into `B * L`; and the labels at these positions,
            `[M]`, if there is no buffer for labels, else None.

        Raises:
            IndexError: The store has no such block.
            InputError: The epoch is outside of 0 to 2^64 - 1, or an id outside of the vocabulary.
            StoreError: The document starts are damaged.
        """
        if len(block_ids) and int(block_ids.max()) >= len(self.store):
            raise IndexError(f"block {block_ids.max()} of a store of {len(self.store)} blocks")
        rows = self.store.rows(block_ids)
        if DOCUMENT_IDS in buffers:
            out = buffers[DOCUMENT_IDS]
            if rows is None:
                self.store.document_ids(block_ids, out=out, threads=threads)
            else:
                self.store.document_ids_of(rows, block_ids, out=out, threads=threads)
        masker = self._masker if rate is None else self._masker.with_probability(rate)
        try:
            if rows is not None:
                return self._mask_rows(masker, rows, block_ids, buffers, epoch, threads)
            if self._shards is None:
                self._shards = list(self.store.shards)
            return masker.mask_blocks(
                self._shards,
                block_ids,
                buffers["input_ids"],
                buffers.get("labels"),
                buffers.get("attention_mask"),
                pad_id=self.pad_id,
                seed=self.seed,
                epoch=epoch,
                threads=threads,
            )
        except OverflowError:
            raise InputError(f"epoch must be between 0 and 2^64 - 1, got {epoch}") from None
        except ValueError as error:
            raise InputError(str(error)) from None

    @property
    def reads_ahead(self) -> bool:
        """Whether `prefetch` does something."""
        return self.store.is_partial

    def prefetch(self, block_ids: np.ndarray, epoch: int) -> None:
        """Say which blocks a later call of `fill` will read; a store elsewhere loads them."""
        self.store.prefetch(block_ids)

    def _mask_rows(
        self,
        masker: _core.Masker,
        rows: np.ndarray,
        block_ids: np.ndarray,
        buffers: Buffers,
        epoch: int,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask rows that were read already, as `mask_blocks` does."""
        if "attention_mask" in buffers:
            buffers["attention_mask"][:] = rows != self.pad_id
        return masker.mask(
            rows,
            buffers["input_ids"],
            buffers.get("labels"),
            seed=self.seed,
            epoch=epoch,
            block_ids=block_ids,
            special_tokens_mask=None,
            pad_id=None,
            strict=True,
            threads=threads,
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what the masked blocks depend on, in values that JSON can hold."""
        manifest = self.store.manifest
        checksums = "".join(shard.sha256 for shard in manifest.shards)
        options: dict[str, Any] = dict(sorted(self.options.items()))
        starts = options.pop("word_starts", None)
        if starts is not None:
            options["word_starts"] = hashlib.sha256(np.asarray(starts).tobytes()).hexdigest()
        return {
            "data": hashlib.sha256(checksums.encode()).hexdigest(),
            "blocks": len(self.store),
            "seed": self.seed,
            "masks": options,
        }


def _with_word_starts(store: BlockStore, options: MaskOptions) -> MaskOptions:
    boundaries = options.get("word_boundaries")
    if options.get("mode") != "whole_word" or options.get("word_starts") is not None:
        if boundaries is not None:
            raise InputError(
                f"word_boundaries ({boundaries}) tells where whole words begin: it goes with "
                "mode='whole_word', and not beside word_starts"
            )
        return options
    from mlmfast.data.tokenization.word_boundaries import warn_of_long_words, word_starts

    options = options.copy()
    options.pop("word_boundaries", None)
    starts = word_starts(
        store.tokenizer.tokenizer, store.manifest.vocab_size, boundaries=boundaries or "marker"
    )
    sample = store[np.linspace(0, len(store) - 1, min(len(store), _SAMPLE), dtype=np.int64)]
    warn_of_long_words(sample, starts, np.isin(sample, list(store.manifest.special_ids)))
    return {**options, "word_starts": starts}
