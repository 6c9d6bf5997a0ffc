"""What a run of `prepare` did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmfast.data.blocks.options import fill_rate

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


@dataclass
class PrepareReport:
    """What `prepare` did."""

    output: Path | str
    stores: dict[str, BlockStore] = field(default_factory=dict)
    """{"train": ..., "test": ...}, or {"train": ...} alone."""
    documents: int = 0
    """Documents that were tokenized."""
    empty: int = 0
    """Documents read without a character; kept unless `drop_empty`."""
    null: int = 0
    """Documents without text (null, or a record without the column); left out."""
    replaced: int = 0
    """Documents in which invalid UTF-8 was replaced."""
    skipped: int = 0
    """Documents left out for invalid UTF-8."""
    duplicates: int = 0
    """Documents left out because their text, or nearly that, came before."""
    filtered: dict[str, int] = field(default_factory=dict)
    """Documents left out, by the rule of a filter; the first that left out a document counts."""
    dropped_lines: dict[str, int] = field(default_factory=dict)
    """Lines left out of the documents that passed the filters, by rule."""
    kept_shards: int = 0
    """Shards kept from the earlier run that this one resumed."""
    kept_text_bytes: int = 0
    """UTF-8 bytes of the text of the earlier run, part of `text_bytes`."""
    kept_tokens: int = 0
    """Tokens of the earlier run, part of `tokens`."""
    text_bytes: int = 0
    """UTF-8 bytes of the tokenized text."""
    tokens: int = 0
    """Tokens of that text, including special tokens."""
    dropped_tokens: int = 0
    """Tokens that are in no block."""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def fill_rate(self) -> float:
        """The share of all blocks' positions that is no padding."""
        manifests = [store.manifest for store in self.stores.values()]
        return fill_rate(
            sum(manifest.tokens for manifest in manifests),
            sum(manifest.padding_tokens for manifest in manifests),
        )

    @property
    def blocks(self) -> int:
        """Blocks of all splits."""
        return sum(map(len, self.stores.values()))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {
            "output": str(self.output),
            "splits": {
                name: {
                    "path": store.location,
                    "documents": store.manifest.documents,
                    "blocks": len(store),
                    "tokens": store.manifest.tokens,
                    "padding_tokens": store.manifest.padding_tokens,
                    "fill_rate": round(store.manifest.fill_rate, 6),
                    "dropped_tokens": store.manifest.dropped_tokens,
                }
                for name, store in self.stores.items()
            },
            "block_size": next(iter(self.stores.values())).block_size,
            "documents": self.documents,
            "empty_documents": self.empty,
            "null_documents": self.null,
            "replaced_documents": self.replaced,
            "skipped_documents": self.skipped,
            "duplicate_documents": self.duplicates,
            "filtered_documents": self.filtered,
            "dropped_lines": self.dropped_lines,
            "text_bytes": self.text_bytes,
            "tokens": self.tokens,
            "blocks": self.blocks,
            "dropped_tokens": self.dropped_tokens,
            "fill_rate": round(self.fill_rate, 6),
            "seconds": round(self.seconds, 3),
            "kept_shards": self.kept_shards,
            "megabytes_per_second": round(
                (self.text_bytes - self.kept_text_bytes) / 1e6 / self.seconds, 3
            ),
            "tokens_per_second": round((self.tokens - self.kept_tokens) / self.seconds),
            "warnings": self.warnings,
        }


def counted(number: int, noun: str) -> str:
    """Return a count in words, such as "1 block" or "2,375 documents"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
