"""The options of `prepare`, checked once at the door, and its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmfast.data.blocks.options import PACKINGS, fill_rate, packing_name
from mlmfast.data.prepare.split import check_test_size
from mlmfast.data.sources.base import POLICIES, delimiter_of, quoting_of
from mlmfast.data.sources.formats import FORMATS
from mlmfast.data.tokenization.encoder import ENGINES
from mlmfast.errors import InputError
from mlmfast.runtime.cpu import thread_count

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore

SPECIAL_TOKENS = ("document", "block", "none")
_REMAINDERS = ("drop", "pad")
_DEDUPLICATIONS = ("exact",)
_RUNNERS = ("local", "ray")
_UNPACKED = "none"


@dataclass(frozen=True)
class PrepareOptions:
    """How text becomes blocks; the defaults are the Hugging Face guide's."""

    tokenizer: Any
    """A folder, a tokenizer.json, a Hub name or a tokenizer object."""
    text_column: str = "text"
    """The column with the text; dots reach into nested fields, lists are joined by blanks."""
    block_size: int = 128
    """Tokens in a block."""
    test_size: float | None = None
    """The share of the documents that go to a test split; None makes no split."""
    special_tokens: str = "document"
    """"document" wraps every document as the tokenizer itself does, "block" begins every block with
    the tokenizer's cls (or bos) token and ends it with sep (or eos), "none" adds nothing."""
    remainder: str = "drop"
    """The tokens after the last whole block: "drop" them or "pad" the block."""
    packing: str = "concat"
    """"concat" lets documents run on from block to block, "best_fit" keeps them whole, "none" gives
    each a block of its own."""
    format: str | None = None
    """The files' format; None goes by their names."""
    csv_delimiter: str | None = None
    """What stands between the fields of a row; None: a comma in CSV, a tab in TSV."""
    csv_quoting: str = "minimal"
    """"minimal": quotes may surround a field of CSV and TSV; "none": quotes are text."""
    json_field: str | None = None
    """The field of a JSON file's only object that holds the list of records."""
    dataset_name: str | None = None
    """A data set on the Hub, a clone of its repository, or what `save_to_disk` wrote."""
    dataset_config: str | None = None
    """The configuration of a data set on the Hub."""
    split: str | None = None
    """The split of a data set, or a part of it ("train[:5000]")."""
    on_invalid_utf8: str = "error"
    """"error", "replace" or "skip"."""
    drop_empty: bool = False
    """Leave out documents without text or of white space alone; run_mlm.py keeps them."""
    seed: int = 0
    """Chooses which documents go to the test split, and their order with `shuffle_documents`."""
    limit: int | None = None
    """Read the first so many documents only."""
    shuffle_documents: bool = False
    """Put all documents into a random order that `seed` chooses; by way of the disk."""
    deduplicate: str | None = None
    """"exact": take a text once, where it comes first; known by a 128-bit hash."""
    add_mask_token: str | None = None
    """Give a tokenizer without mask token this one."""
    add_tokens: tuple[str, ...] = ()
    """Words that the tokenizer is to keep whole."""
    tokenizer_engine: str = "auto"
    """"auto" encodes with the fast core wherever it is exact, "library" with `tokenizers` alone;
    the ids are the same."""
    verify: int = 0
    """Encode so many documents with `tokenizers` as well, and compare."""
    engine: str = "local"
    """"local" works in this process, "ray" on a Ray cluster; the bytes are the same."""
    overwrite: bool = False
    """Replace a store that is there already."""
    resume: bool = True
    """Go on where a run of the same command was cut off."""
    shard_tokens: int = 1 << 26
    """About how many tokens one file of the store holds; bounds the memory."""
    threads: int | None = None
    """Threads that tokenize, of each task with engine="ray"; None takes all cores, or one there."""
    progress: bool = False
    """Show a progress bar on standard error."""

    def __post_init__(self) -> None:
        check_test_size(self.test_size)
        thread_count(self.threads)
        _among("special_tokens", self.special_tokens, SPECIAL_TOKENS)
        _among("remainder", self.remainder, _REMAINDERS)
        object.__setattr__(self, "packing", packing_name(self.packing))
        _among("packing", self.packing, (*PACKINGS, _UNPACKED))
        if self.packing == _UNPACKED and self.special_tokens == "block":
            raise InputError(
                "special_tokens='block' is for documents that share blocks: with packing='none', "
                "use 'document' or 'none'."
            )
        _among("on_invalid_utf8", self.on_invalid_utf8, POLICIES)
        if self.format is not None:
            _among("format", self.format, FORMATS)
        object.__setattr__(self, "csv_delimiter", delimiter_of(self.csv_delimiter))
        object.__setattr__(self, "csv_quoting", quoting_of(self.csv_quoting))
        if self.deduplicate is not None:
            _among("deduplicate", self.deduplicate, _DEDUPLICATIONS)
        _among("tokenizer_engine", self.tokenizer_engine, ENGINES)
        _among("engine", self.engine, _RUNNERS)
        if self.engine == "ray":
            self._check_ray()
        _at_least("verify", self.verify, 0)
        _at_least("block_size", self.block_size, 1)
        _at_least("shard_tokens", self.shard_tokens, 1)
        _at_least("seed", self.seed, 0)
        if self.limit is not None:
            _at_least("limit", self.limit, 1)

    def _check_ray(self) -> None:
        for option, chosen in (
            ("shuffle_documents", self.shuffle_documents),
            ("deduplicate", self.deduplicate is not None),
        ):
            if chosen:
                raise InputError(
                    f"{option} needs all documents in one place and cannot be had with engine "
                    "'ray'; use engine 'local', or do that to the text before."
                )
        if self.packing == _UNPACKED:
            raise InputError("packing='none' cannot be had with engine 'ray'; use engine 'local'.")


@dataclass
class PrepareReport:
    """What `prepare` did."""

    output: Path
    stores: dict[str, BlockStore] = field(default_factory=dict)
    """{"train": ..., "test": ...}, or {"train": ...} alone."""
    documents: int = 0
    """Documents that were tokenized."""
    empty: int = 0
    """Of those read, how many held no character; kept unless `drop_empty`."""
    null: int = 0
    """Documents without text (null, or a record without the column); left out."""
    replaced: int = 0
    """Documents in which invalid UTF-8 was replaced."""
    skipped: int = 0
    """Documents that were left out for invalid UTF-8."""
    duplicates: int = 0
    """Documents that were left out since their text had come before."""
    kept_shards: int = 0
    """Files that an earlier run had finished, and"""
    kept_text_bytes: int = 0
    """the text that it had tokenized, and"""
    kept_tokens: int = 0
    """the tokens that it had made of that; part of the numbers here."""
    text_bytes: int = 0
    """UTF-8 bytes of the text that was tokenized."""
    tokens: int = 0
    """Tokens that came of it, special tokens included."""
    dropped_tokens: int = 0
    """Of these, how many filled no block."""
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
                    "path": str(store.path),
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


def _among(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}; got {value!r}.")


def _at_least(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number from {least} up; got {value!r}.")
