"""How text becomes the blocks that a model reads: recorded by a training, and taken from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from mlmfast.data.blocks.options import PACKINGS
from mlmfast.options import option

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore

_AS_TRAINED = "[default: as in the training of the model]"


@dataclass(frozen=True, kw_only=True)
class TextBlocks:
    """The options of `prepare` that decide what a model sees of a text; None is "not known"."""

    block_size: int | None = option(
        "Tokens in a block.  [default: as in the training of the model, or as many as it takes, at "
        "most 1024]",
        metavar="N",
    )
    special_tokens: str | None = option(
        "Wrap every document, or every block, in the tokenizer's special tokens, or add none.  "
        f"{_AS_TRAINED}",
        choices=("document", "block", "none"),
    )
    packing: str | None = option(
        "Let documents run on from block to block, keep them whole, or give each a block of its "
        f"own.  {_AS_TRAINED}",
        choices=(*PACKINGS, "none"),
    )
    kmer: int | None = option(
        f"Give the tokenizer the K-mers of every document.  {_AS_TRAINED}", metavar="K"
    )
    kmer_stride: int | None = option(
        f"Letters from the start of one k-mer to the start of the next.  {_AS_TRAINED}",
        metavar="N",
    )

    @classmethod
    def of(cls, store: BlockStore) -> Self:
        """Return how the blocks of a store were made; nothing is known of blocks made of tokens."""
        from mlmfast.data.store.joined import JoinedStore

        manifest = (store.stores[0] if isinstance(store, JoinedStore) else store).manifest
        if manifest.tokenizer_engine is None:
            return cls(block_size=manifest.block_size)
        return cls(
            block_size=manifest.block_size,
            special_tokens=manifest.special_tokens,
            packing=manifest.packing,
            kmer=manifest.source.get("kmer"),
            kmer_stride=manifest.source.get("kmer_stride"),
        )

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return what `to_json` gave; of anything else, what has the names of the fields."""
        known = content if isinstance(content, dict) else {}
        return cls(**{each.name: known.get(each.name) for each in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return asdict(self)

    def over(self, other: TextBlocks) -> TextBlocks:
        """Return these options, and those of `other` where one is not known."""
        mine = self.known()
        if "kmer" in mine and "kmer_stride" not in mine:  # the stride goes with its k-mers
            mine["kmer_stride"] = 1
        return TextBlocks(**(other.known() | mine))

    def known(self) -> dict[str, Any]:
        """Return the options that are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}
